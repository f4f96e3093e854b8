"""The screen of diagnose: each run, its causes, root first; every cause ends in what to do."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from graphfix.atc.codes import is_shaped_like_a_code
from graphfix.atc.diagnosis import Cause, Diagnosis, NamedNode

WIDTH = 100
_COLOURS = {"error": "31", "warning": "33"}
_INDENT = "  "


def render(diagnosis: Diagnosis, *, verbose: bool = False, colour: bool = False) -> str:
    """Return the diagnosis as text."""
    lines = _title(diagnosis)
    for run in diagnosis.runs:
        causes = [c for c in diagnosis.causes if c.run == run.number]
        if len(diagnosis.runs) > 1:
            where = f"{run.source}, lines {run.first}-{max(run.first, run.last)}"
            lines += [
                "",
                f"run {run.number} of {len(diagnosis.runs)}, {_outcome(run.outcome)}   {where}",
            ]
        for cause in causes:
            lines += ["", *_cause(cause, verbose, colour)]
        needs_words = not causes or causes[0].code in ("unexplained", "truncated")
        if run.seen and needs_words and run.outcome != "succeeded":
            lines += ["", "lines that look like errors:"]
            shown = run.seen if verbose else run.seen[:5]
            lines += [_cut(_INDENT + line) for line in shown]
    lines += ["", *_end(diagnosis)]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _title(diagnosis: Diagnosis) -> list[str]:
    logs = ", ".join(diagnosis.logs[:3]) + (
        f" and {len(diagnosis.logs) - 3} more" if len(diagnosis.logs) > 3 else ""
    )
    model = f"   names from {diagnosis.model}" if diagnosis.model else ""
    head = f"{logs or 'standard input'}   ATC {_outcome(diagnosis.outcome)}"
    return [_cut(head + model)] if len(head + model) <= WIDTH else [_cut(head), _cut(model.strip())]


def _outcome(outcome: str | None) -> str:
    return {"failed": "failed", "succeeded": "succeeded"}.get(outcome or "", "end unknown")


def _cause(cause: Cause, verbose: bool, colour: bool) -> list[str]:
    label = f"{cause.code} ({cause.stage})"
    also = f"   [also {', '.join(cause.also[:6])}]" if cause.also else ""
    wrapped = _wrap(f"{label}   {cause.headline}{also}", "", " " * 6)
    if colour:
        wrapped[0] = wrapped[0].replace(label, f"\x1b[{_COLOURS[cause.severity]}m{label}\x1b[0m", 1)
    lines = wrapped
    shown = cause.nodes if verbose else cause.nodes[:6]
    for node in shown:
        lines += _node(node)
    if len(cause.nodes) > len(shown):
        lines.append(f"{_INDENT}and {len(cause.nodes) - len(shown)} more (--verbose)")
    for key in ("reason", "compiler", "what"):
        if cause.facts.get(key) and str(cause.facts[key]) not in cause.headline:
            lines += _wrap(f"{key}: {cause.facts[key]}", _INDENT, _INDENT + "  ", 4)
    for entry in cause.facts.get("expected", ())[:3]:
        where = f" for {entry['node']}" if entry["node"] else ""
        text = f"the log names no node; check predicts {entry['code']}{where}: "
        lines += _wrap(text + entry["message"], _INDENT, _INDENT + "  ", 3)
    if cause.role == "catch-all" and cause.text:
        lines += _wrap(f"text: {cause.text}", _INDENT, _INDENT + "  ", 3)
    if verbose:
        lines += _wrap(cause.cause, _INDENT, _INDENT)
        lines += _wrap(
            f"line {cause.line} of {cause.source or 'the log'}; {cause.evidence} "
            f"({cause.certainty})", _INDENT, _INDENT,
        )  # fmt: skip
    if cause.follows is not None:
        return [*lines, f"{_INDENT}-> mostly follows {cause.follows}; mend that first"]
    lines += _wrap(f"-> {cause.remedy}", _INDENT, _INDENT + "   ")
    for command in cause.commands[: None if verbose else 3]:
        lines.append(f"{_INDENT}   $ {command}")
    return lines


def _node(node: NamedNode) -> list[str]:
    kind = node.kind if node.kind != "node" else "node"
    name = node.node or node.raw or "(no name)"
    typed = node.key or node.op_type
    text = f"{kind} {name}" + (f", {typed}" if typed and typed != name else "")
    if node.node is not None and node.raw not in (node.node, node.key, ""):
        written = f", which {node.rule} wrote for it" if node.by == "origin" else ""
        text += f"   (in the log: {node.raw}{written})"
    if node.origin and list(node.origin) != [node.node]:
        text += f"   written by {node.rule} for {', '.join(node.origin)}"
    elif node.node is None and not typed:
        text += "   (not in the model)" if node.by else ""
    lines = _wrap(text, _INDENT, _INDENT + "    ")
    for note in node.notes:
        lines += _wrap(note, _INDENT + "    ", _INDENT + "    ")
    return lines


def _end(diagnosis: Diagnosis) -> Sequence[str]:
    errors = [c for c in diagnosis.causes if c.severity == "error"]
    coded = next((c.code for c in errors if is_shaped_like_a_code(c.code)), None)
    if errors:
        more = f"More: graphfix explain {coded}; " if coded else "More: "
        return [f"{more}--verbose says what each means; --format json for programs."]
    if diagnosis.outcome == "succeeded":
        if diagnosis.causes:
            return ["ATC succeeded; the warnings cost speed or say what was ignored."]
        return ["ATC succeeded and warned of nothing. Next: graphfix compare MODEL.onnx MODEL.om"]
    return _wrap(
        "No known code and no end of a run of ATC in it. Bring the whole output (`atc ... > "
        "atc.log 2>&1`), or run with --log=debug and give the folder ~/ascend/log/debug/plog.",
        "", "",
    )  # fmt: skip


def _wrap(text: str, first: str, rest: str, lines: int | None = None) -> list[str]:
    wrapped = textwrap.wrap(
        _printable(text), WIDTH, initial_indent=first, subsequent_indent=rest,
        break_on_hyphens=False,
    )  # fmt: skip
    if lines is not None and len(wrapped) > lines:
        wrapped = [*wrapped[: lines - 1], _cut(wrapped[lines - 1] + " ...")]
    return wrapped or [first.rstrip()]


def _cut(text: str) -> str:
    text = _printable(text)
    return text if len(text) <= WIDTH else text[: WIDTH - 4] + " ..."


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)

"""The report of the fp16 preview: text for the terminal, and Markdown."""

from __future__ import annotations

import math

from tabulate import tabulate

from graphfix.comparison.half.result import Culprit, HalfOutput, Preview
from graphfix.report.compare import count, shorten, wrap

_ROWS = 15
_NODES = 6
_LINES = 12
_HEAD = ["output", "error", "cosine", "max rel", "verdict", "with the list"]


def render(report: Preview, command: str = "graphfix compare MODEL --preview fp16") -> str:
    """Return the report as text of at most 100 columns; `command` is what the hints repeat."""
    title, *rest = _head(report)
    lines = wrap(title)
    for line in rest:
        lines += wrap(line, "         ")
    lines += ["", *_outputs(report, "simple"), ""]
    for output in _worst(report)[:_ROWS]:
        lines += _culprits(output)
    lines += _remedy(report, command)
    if report.note is not None:
        lines += wrap(report.note)
    if report.refused is not None:
        lines += wrap(f"Note: {report.refused}")
    lines += wrap("Assumed: " + " ".join(says for says, _ in report.assumptions), "  ")
    return "\n".join(line.rstrip() for line in lines) + "\n"


def render_markdown(report: Preview, command: str = "graphfix compare MODEL --preview fp16") -> str:
    """Return the report as Markdown."""
    title, *rest = _head(report)
    lines = [
        f"## {title}",
        "",
        *[f"- {line}" for line in rest],
        "",
        *_outputs(report, "github"),
        "",
    ]
    for output in _worst(report):
        rows = [
            [c.kind, f"`{c.node}`", c.op_type, c.says, _error(c.error)] for c in output.culprits
        ]
        if rows:
            head = ["", "node", "operator", "what", "error alone"]
            table = tabulate(rows, head, tablefmt="github", disable_numparse=True)
            lines += [f"### {output.name}", "", table, ""]
    lines += ["```", *_remedy(report, command), "```"]
    for text in (report.note, report.refused):
        if text is not None:
            lines += ["", text]
    lines += ["", "Assumed:", ""]
    lines += [f"- {says} (certainty: {certainty})" for says, certainty in report.assumptions]
    return "\n".join(lines) + "\n"


def _head(report: Preview) -> list[str]:
    """Return what was computed, how the nodes are held, and what was fed."""
    where = (
        f"as {report.soc} would hold it" if report.soc is not None else "on no SoC in particular"
    )
    c = report.counts
    title = (
        f"{report.model}: half precision {where} ({report.mode}, CANN {report.cann}). Predicted on "
        "the CPU; no NPU was used."
    )
    text = f"{count(c['half'], 'node')} in half"
    if c["no_float32"]:
        text += f" ({c['no_float32']:,} of them have no float32 kernel)"
    text += f", {c['float32']:,} in float32"
    if c["no_float16"]:
        text += f" ({c['no_float16']:,} have no float16 kernel)"
    text += f", {c['other']:,} with nothing to round"
    inputs = ", ".join(f"{n} {t}" for n, t in report.inputs.items()) or "none"
    return [title, f"Nodes    {text}", f"Inputs   {inputs}; {count(report.samples, 'sample')}"]


def _worst(report: Preview) -> list[HalfOutput]:
    return sorted(report.outputs, key=lambda o: (o.passed, -o.error))


def _outputs(report: Preview, style: str) -> list[str]:
    if not report.outputs:
        return ["The model has no output."]
    worst = _worst(report)
    rows = []
    for o in worst[:_ROWS]:
        m = o.metrics
        cosine = "-" if m.cosine is None else f"{m.cosine:.6f}"
        rel = "-" if m.max_rel is None else f"{m.max_rel:.1e}"
        verdict = "usable" if o.passed else "NOT USABLE"
        name = shorten(o.name, 36)
        rows.append([name, _error(o.error), cosine, rel, verdict, _error(o.kept)])
    lines = tabulate(rows, _HEAD, tablefmt=style, disable_numparse=True).splitlines()
    if len(worst) > _ROWS:
        failing = sum(not o.passed for o in worst[_ROWS:])
        lines.append(f"... and {len(worst) - _ROWS} more outputs, {failing} not usable")
    lines.append("")
    return lines + wrap(
        "error: relative Euclidean, of integers the share that differs; usable up to "
        f"{report.max_error:g} (--max-error)."
    )


def _culprits(output: HalfOutput) -> list[str]:
    """Return an output's worst nodes; equal ones are one line."""
    if output.passed and not any(c.kind == "overflow" for c in output.culprits):
        return []
    problem = f": {output.problem}" if output.problem is not None else ""
    lines = wrap(f"{shorten(output.name, 60)}{problem}", "  ")
    groups: dict[tuple[str, str, str], list[Culprit]] = {}
    for c in output.culprits:
        key = (c.kind, c.op_type, c.says if c.kind != "error" else c.node)
        groups.setdefault(key, []).append(c)
    for group in list(groups.values())[:_NODES]:
        c = group[0]
        who = shorten(c.node, 40)
        if len(group) > 1:
            who = f"{len(group)} x {c.op_type}, {who} first"
        else:
            who = f"{who} ({c.op_type})"
        fixed = "" if c.can_keep else "; has no float32 kernel"
        lines += wrap(f"  {c.kind:<9} {who}: {c.says}{fixed}", "            ")
    if len(groups) > _NODES:
        lines.append(f"  ... and {len(groups) - _NODES} more (--format json lists them)")
    return [*lines, ""]


def _remedy(report: Preview, command: str) -> list[str]:
    failing = [o for o in report.outputs if not o.passed]
    if not failing:
        return wrap(f"Usable: {count(len(report.outputs), 'output')} in half (predicted).")
    lines = wrap(
        f"Not usable in half: {len(failing)} of {count(len(report.outputs), 'output')} (predicted)."
    )
    keep = report.keep
    if keep is None:
        if report.keep_all is not None:
            best = max((report.keep_all[o.name] for o in failing), default=0.0)
            lines += wrap(
                "--keep_dtype does not help: with all nodes kept that have a float32 kernel, the "
                f"error stays at {_error(best)}. Try --precision-mode must_keep_origin_dtype, a "
                "mixed mode, or another chip."
            )
        return lines
    worst = max((o.kept for o in failing if o.kept is not None), default=0.0)
    brings = "brings all of them to" if keep.reaches else "brings the error down to"
    lines += wrap(
        f"Keeping {count(len(keep.nodes), 'node')} in float32 {brings} {_error(worst)} at most "
        f"(predicted){'' if keep.complete else '; the search ended early (--search-runs)'}:"
    )
    lines += [f"  {shorten(line, 96)}" for line in keep.lines[:_LINES]]
    if len(keep.lines) > _LINES:
        lines.append(f"  ... and {len(keep.lines) - _LINES} more lines")
    lines += wrap(f"Write it: {command} --keep-dtype-out keep_dtype.cfg", "  ")
    lines += wrap(
        "Use it: atc ... --keep_dtype=keep_dtype.cfg, or graphfix convert ... --set "
        "keep_dtype=keep_dtype.cfg", "  ",
    )  # fmt: skip
    if report.mixlist is not None:
        names = ", ".join(report.mixlist.document["black-list"]["to-add"])
        worst = max(report.mixlist.errors[o.name] for o in failing)
        lines += wrap(
            f"Or by operator, {names} on the black list: {_error(worst)} at most (predicted); "
            "--mixlist-out mixlist.json writes it for atc --modify_mixlist."
        )
    return lines


def _error(value: float | None) -> str:
    if value is None:
        return "-"
    if math.isinf(value):
        return "infinite"
    return "0" if value == 0 else f"{value:.1e}"

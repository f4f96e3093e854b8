"""The screen: one table, the worst first, a verdict at the end; at most 100 columns."""

from __future__ import annotations

import os
import textwrap
from collections import Counter
from typing import TextIO

from graphfix.analysis import Report
from graphfix.report.grouping import Group, group

WIDTH = 100
_COLOURS = {
    "rejected": "31",
    "miscompiled": "35",
    "fallback": "33",
    "precision": "33",
    "dynamic": "36",
    "note": "2",
}
_COLUMNS = (("effect", 11), ("code", 5), ("what CANN does", 45), ("nodes", 5), ("what to do", 26))


def wants_colour(stream: TextIO) -> bool:
    """Whether to colour: a terminal, and NO_COLOR not set."""
    return stream.isatty() and not os.environ.get("NO_COLOR")


def render(report: Report, *, verbose: bool = False, colour: bool = False) -> str:
    """Return the report as text."""
    if report.error is not None:
        return _wrap(f"error: {report.error}") + "\n"
    lines = [_title(report), _target(report), ""]
    shown = [g for g in group(report.findings) if verbose or g.effect != "note"]
    notes = sum(len(g.findings) for g in group(report.findings) if g.effect == "note")
    if shown:
        lines += _table(shown, len(report.target.socs), colour)
        lines.append("")
    if verbose:
        lines += _details(shown)
    if report.matrix:
        lines += [*_matrix(report.matrix), ""]
    lines += verdict_lines(report)
    if shown:
        lines.append(_more(shown, verbose, notes))
    elif notes:
        lines.append(f"{notes} note{'s' * (notes != 1)}: --verbose shows more.")
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _title(report: Report) -> str:
    opset = f"opset {report.opset}" if report.opset is not None else "no ONNX opset"
    nodes = f"{report.nodes:,} node{'s' * (report.nodes != 1)}"
    head = f"{report.path}   {opset}, {nodes}"
    signature = f"{_list(report.inputs)} -> {_list(report.outputs)}"
    if len(head) + len(signature) + 2 <= WIDTH:
        return f"{head}, {signature}"
    return (
        head + "\n" + textwrap.fill(signature, WIDTH, initial_indent="  ", subsequent_indent="  ")
    )


def _list(items: list[str], limit: int = 4) -> str:
    more = f", and {len(items) - limit} more" if len(items) > limit else ""
    return (", ".join(items[:limit]) or "nothing") + more


def _target(report: Report) -> str:
    target = report.target
    where = ", ".join(f"{s.name} ({s.family})" for s in target.socs) or "any SoC"
    text = (
        f"Target   {where}, CANN {target.release.name}, {target.precision_mode}. Predicted from "
        "tables; no ATC was run."
    )
    return textwrap.fill(text, WIDTH, subsequent_indent="         ")


def _table(groups: list[Group], targets: int, colour: bool) -> list[str]:
    widths = [w for _, w in _COLUMNS]
    lines = [
        "  ".join(
            name.rjust(w) if name == "nodes" else name.ljust(w) for name, w in _COLUMNS
        ).rstrip(),
        "  ".join("-" * w for w in widths),
    ]
    for g in groups:
        socs = f" [{', '.join(g.first.socs)}]" if 0 < len(g.first.socs) < targets else ""
        cells = [
            [g.effect],
            [g.first.code],
            textwrap.wrap(_printable(g.what()) + socs, widths[2]) or [""],
            [f"{len(g.findings)}"],
            _short(_printable(g.remedy()), widths[4]),
        ]
        for i in range(max(len(c) for c in cells)):
            row = [c[i] if i < len(c) else "" for c in cells]
            padded = [
                text.rjust(w) if n == 3 else text.ljust(w)
                for n, (text, w) in enumerate(zip(row, widths, strict=True))
            ]
            if colour and i == 0:
                padded[0] = f"\x1b[{_COLOURS[g.effect]}m{padded[0]}\x1b[0m"
            lines.append("  ".join(padded).rstrip())
    return lines


def _short(text: str, width: int, lines: int = 4) -> list[str]:
    """Wrap a remedy; `--verbose` and `graphfix explain` have the rest of a long one."""
    wrapped = textwrap.wrap(text, width) or [""]
    if len(wrapped) > lines:
        wrapped = [*wrapped[: lines - 1], textwrap.shorten(wrapped[lines - 1] + " " * width, width)]
        wrapped[-1] = wrapped[-1][: width - 4].rstrip() + " ..."
    return wrapped


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)


def _details(groups: list[Group]) -> list[str]:
    lines = []
    for g in groups:
        lines.append(f"{g.first.code} {g.first.name}  ({len(g.findings)})")
        for f in g.findings:
            where = f"{f.scope}: " if f.scope else ""
            node = f"{f.node} ({f.op_type})" if f.node else "the model"
            lines.append(
                textwrap.fill(
                    _printable(f"{where}{node}: {f.message}"),
                    WIDTH,
                    initial_indent="  ",
                    subsequent_indent="    ",
                )
            )
        lines.append(
            textwrap.fill(
                f"evidence: {g.first.evidence} ({g.first.certainty})",
                WIDTH,
                initial_indent="  ",
                subsequent_indent="    ",
            )
        )
        lines.append(
            textwrap.fill(
                f"to do: {_printable(g.remedy())}",
                WIDTH,
                initial_indent="  ",
                subsequent_indent="    ",
            )
        )
        lines.append("")
    return lines


def _matrix(matrix: dict[str, Counter[str]]) -> list[str]:
    columns = ("AI Core", "AI CPU", "local", "folded", "none", "unknown", "unregistered")
    used = [c for c in columns if any(counts.get(c) for counts in matrix.values())]
    width = min(14, (WIDTH - 17) // max(1, len(used)))
    head = "nodes by engine".ljust(17) + "".join(c.rjust(width) for c in used)
    rows = [
        soc.ljust(17) + "".join(str(counts.get(c, 0)).rjust(width) for c in used)
        for soc, counts in matrix.items()
    ]
    return [head, *rows]


def verdict_lines(report: Report) -> list[str]:
    """Return the verdict, predicted, in one or two lines."""
    findings = report.findings
    compile_refused = sum(f.effect == "rejected" and f.stage == "compile" for f in findings)
    counts = {e: report.count(e) for e in ("miscompiled", "fallback", "precision", "dynamic")}
    if report.verdict == "refused":
        refused = sum(f.effect == "rejected" and f.stage == "parse" for f in findings)
        code = (
            "its parser would crash"
            if report.error_code == "CRASH"
            else f"it would print {report.error_code} first"
        )
        text = f"Refused by ATC (predicted): {refused} finding{'s' * (refused != 1)}; {code}."
    elif report.verdict == "not compiled":
        text = (
            f"ATC's parser would take it, its compiler would refuse {compile_refused} "
            f"node{'s' * (compile_refused != 1)} (predicted)."
        )
    elif report.verdict == "miscompiled":
        text = "ATC would take it and compute something else (predicted)."
    else:
        text = "ATC would take it (predicted)."
    rest = [
        f"{n} {word}"
        for word, n in (
            ("silently different", counts["miscompiled"]),
            ("on the AI CPU", counts["fallback"]),
            ("precision hazard" + "s" * (counts["precision"] != 1), counts["precision"]),
            ("about dynamic shapes", counts["dynamic"]),
        )
        if n
    ]
    if rest:
        text += " Also: " + ", ".join(rest) + "." if report.verdict != "taken" else ""
    lines = textwrap.wrap(text, WIDTH)
    for soc, engines in report.engines.items():
        parts = [f"{n} {words}" for e, words in _ENGINE_WORDS.items() if (n := engines.get(e))]
        if parts:
            noun = "node" if parts[0].startswith("1 ") else "nodes"
            parts[0] = parts[0].replace(" ", f" {noun} ", 1)
        lines += textwrap.wrap(f"{soc}: " + ", ".join(parts) + ".", WIDTH, subsequent_indent="  ")
    return lines


_ENGINE_WORDS = {
    "AI Core": "on the AI Core",
    "AI CPU": "on the AI CPU",
    "local": "that need no kernel",
    "folded": "folded",
    "none": "without a fitting kernel",
    "unknown": "with an unknown kernel",
    "unregistered": "unregistered",
}


def _more(shown: list[Group], verbose: bool, notes: int) -> str:
    parts = [f"graphfix explain {shown[0].first.code}"]
    if not verbose:
        parts.append(
            "--verbose lists nodes and evidence"
            + (f", and {notes} note{'s' * (notes != 1)}" if notes else "")
        )
    parts.append("--format json for programs")
    return textwrap.fill("More: " + "; ".join(parts) + ".", WIDTH, subsequent_indent="      ")


def _wrap(text: str) -> str:
    return textwrap.fill(text, WIDTH)

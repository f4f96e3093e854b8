"""Markdown: the same table, for an issue or a pull request."""

from __future__ import annotations

from tabulate import tabulate

from graphfix.analysis import Report
from graphfix.report.grouping import group
from graphfix.report.text import verdict_lines


def render(report: Report, *, verbose: bool = False) -> str:
    """Return the report as Markdown."""
    lines = [f"## {_escape(report.path)}", ""]
    if report.error is not None:
        return "\n".join([*lines, _escape(report.error), ""])
    socs = ", ".join(s.name for s in report.target.socs) or "any SoC"
    lines += [
        f"Opset {report.opset}, {report.nodes:,} nodes. Target {socs}, CANN "
        f"{report.target.release.name}, {report.target.precision_mode}. "
        "Predicted from tables; no ATC was run.",
        "",
    ]
    groups = [g for g in group(report.findings) if verbose or g.effect != "note"]
    if groups:
        rows = [
            [
                g.effect,
                g.first.code,
                _escape(g.what()),
                len(g.findings),
                _escape(g.names()),
                _escape(g.remedy()),
            ]
            for g in groups
        ]
        lines += [
            tabulate(
                rows,
                ["effect", "code", "what CANN does", "nodes", "first nodes", "what to do"],
                tablefmt="github",
            ),
            "",
        ]
    lines += [*verdict_lines(report), ""]
    return "\n".join(lines)


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")

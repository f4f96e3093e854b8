"""graphfix check MODEL...: what ATC will do, node by node."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from graphfix.analysis import EFFECT_ORDER, Report, check, unreadable
from graphfix.analysis.codes import CODES, find_code
from graphfix.cli.options import (
    add_custom_op,
    add_target,
    check_output,
    shapes_of,
    tables_of,
    target_of,
    write_output,
)
from graphfix.errors import UnreadableModel, UsageError
from graphfix.support import Tables, Target

EXIT_CLEAN, EXIT_FINDINGS, EXIT_USAGE = 0, 1, 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("models", nargs="+", metavar="MODEL", help="an .onnx file")
    add_target(parser)
    parser.add_argument(
        "--shape",
        action="append",
        default=[],
        metavar="NAME=D,D,...",
        help="bind an input's dims; may be repeated",
    )
    parser.add_argument("--format", choices=("text", "markdown", "json"), default="text")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write there, not to stdout")
    parser.add_argument(
        "--fail-on",
        default="rejected",
        metavar="EFFECT",
        choices=(*EFFECT_ORDER, "never"),
        help="exit 1 from this effect on: "
        + ", ".join(EFFECT_ORDER)
        + ", never (default %(default)s)",
    )
    parser.add_argument("--select", default="", metavar="CODES", help="show only these codes")
    parser.add_argument("--ignore", default="", metavar="CODES", help="leave these codes out")
    add_custom_op(parser)
    parser.add_argument(
        "--weights", action="store_true", help="read all weights for the precision checks"
    )
    parser.add_argument("--verbose", action="store_true", help="list every node, and notes")


def run(options: argparse.Namespace) -> int:
    """Check the models, print the report, return the exit code."""
    target, tables = target_of(options), tables_of(options)
    shapes = shapes_of(options.shape)
    select, ignore = _codes("--select", options.select), _codes("--ignore", options.ignore)
    check_output("--output", options.output, map(Path, options.models))
    reports = [_check(path, target, tables, shapes, options) for path in options.models]
    for report in reports:
        report.findings = [
            f
            for f in report.findings
            if (not select or any(f.code.startswith(c) for c in select))
            and not any(f.code.startswith(c) for c in ignore)
        ]
    _write(reports, target, options)
    if any(r.error is not None for r in reports):
        return EXIT_USAGE
    return EXIT_FINDINGS if any(_fails(r, options.fail_on) for r in reports) else EXIT_CLEAN


def _check(
    path: str, target: Target, tables: Tables, shapes: dict[str, tuple[int, ...]],
    options: argparse.Namespace,
) -> Report:  # fmt: skip
    try:
        return check(
            path,
            target,
            shapes=shapes,
            tables=tables,
            weights=options.weights,
        )
    except UnreadableModel as error:
        if len(options.models) == 1 and options.format != "json":
            raise
        return unreadable(path, target, error)


def _codes(option: str, text: str) -> list[str]:
    """Read a list of codes or names; a prefix such as GF2 stands for all codes that start so."""
    found = []
    for word in (w.strip() for w in text.split(",") if w.strip()):
        upper = word.upper()
        is_prefix = len(upper) in (3, 4) and any(code.startswith(upper) for code in CODES)
        try:
            found.append(upper if is_prefix else find_code(word).code)
        except UsageError as error:
            raise UsageError(f"{option} {error}") from None
    return found


def _fails(report: Report, fail_on: str) -> bool:
    if fail_on == "never":
        return False
    worst = report.worst()
    return worst is not None and EFFECT_ORDER.index(worst) <= EFFECT_ORDER.index(fail_on)


def _write(reports: list[Report], target: Target, options: argparse.Namespace) -> None:
    if options.format == "json":
        from graphfix.report.json import render as render_json

        text = render_json(reports, target)
    elif options.format == "markdown":
        from graphfix.report.markdown import render as render_markdown

        text = "\n".join(render_markdown(r, verbose=options.verbose) for r in reports)
    else:
        from graphfix.report.text import render, wants_colour

        colour = options.output is None and wants_colour(sys.stdout)
        text = "\n".join(render(r, verbose=options.verbose, colour=colour) for r in reports)
    if options.output is None:
        sys.stdout.write(text)
        return
    write_output("--output", options.output, text)

"""graphfix diagnose LOG: what went wrong in a run of ATC, in which node, and what to do."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from graphfix.cli.options import check_output, write_output
from graphfix.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    add = parser.add_argument
    add("logs", nargs="+", metavar="LOG",
        help="ATC's output, plog files, or the folder ~/ascend/log; `-`: stdin")  # fmt: skip
    add("--model", metavar="M", help="what ATC read, or what that was made from: names the nodes")
    add("--fix-report", type=Path, metavar="FILE",
        help="what --report of fix or convert wrote: names nodes that fix made")  # fmt: skip
    add("--soc", default="", metavar="SOC", help="a value of --soc_version, for the commands")
    add(
        "--cann", metavar="RELEASE", help="the CANN release whose tables explain (8.1.RC1, 2026.08)"
    )
    add("--format", choices=("text", "json"), default="text", help="how to print")
    add("-o", "--output", type=Path, metavar="FILE", help="write there instead of the screen")
    add("--verbose", action="store_true", help="all nodes, what each code means, the evidence")


def run(options: argparse.Namespace) -> int:
    """Print the diagnosis; return 1 when a run failed or has an error, else 0."""
    from graphfix.atc.diagnosis import diagnose, diagnose_lines
    from graphfix.atc.diagnosis.reading import is_binary, read_stream
    from graphfix.graph import load
    from graphfix.report.diagnose import render
    from graphfix.report.text import wants_colour
    from graphfix.support import Target

    target = Target.of([s.strip() for s in options.soc.split(",") if s.strip()], options.cann)
    paths = [Path(log) for log in options.logs if log != "-"]
    check_output("--output", options.output, paths)
    model = load(options.model) if options.model is not None else None
    report = _fix_report(options.fix_report) if options.fix_report is not None else None
    if "-" in options.logs:
        if paths:
            raise UsageError("-: give either `-` or files, not both.")
        lines = read_stream(sys.stdin.buffer, "")
        found = diagnose_lines(lines, model, target=target, fix_report=report)
    else:
        found = diagnose(paths, model, target=target, fix_report=report)
        if not found.causes and (odd := next(filter(is_binary, paths), None)) is not None:
            raise UsageError(
                f"{odd}: is a binary file, no log. Give ATC's output (`atc ... > atc.log 2>&1`); "
                "a model goes behind --model."
            )
    if options.format == "json":
        text = json.dumps(found.to_json(), indent=1, ensure_ascii=False) + "\n"
    else:
        colour = options.output is None and wants_colour(sys.stdout)
        text = render(found, verbose=options.verbose, colour=colour)
    if options.output is not None:
        write_output("--output", options.output, text)
    else:
        sys.stdout.write(text)
    failed = any(r.outcome == "failed" for r in found.runs)
    return 0 if found.is_clean and not failed else 1


def _fix_report(path: Path) -> Mapping[str, Any]:
    """Read the report of fix, or the one inside a report of convert. Raises UsageError."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"--fix-report {path}: cannot be read ({error.strerror}).") from None
    except ValueError:
        raise UsageError(
            f"--fix-report {path}: is no JSON; give what `fix --report` wrote."
        ) from None
    inner = document.get("fix") if isinstance(document, dict) else None
    document = inner if isinstance(inner, dict) else document
    if not isinstance(document, dict) or document.get("schema") != "graphfix.fix/1":
        raise UsageError(f"--fix-report {path}: is no report of fix or convert (graphfix.fix/1).")
    return document

"""graphfix memory MODEL: weights and activations per profile, against the chip's memory."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from graphfix.cli.options import check_output, target_of, write_output
from graphfix.errors import UsageError
from graphfix.support import releases
from graphfix.support.target import DEFAULT_PRECISION_MODE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    from graphfix.cli.convert import add_profiles

    add = parser.add_argument
    add("model", metavar="MODEL", help="an .onnx file")
    add("--soc", metavar="S", default="", help="the chip whose memory is compared (graphfix socs)")
    add("--cann", metavar="RELEASE", help=f"CANN release: {', '.join(releases())}")
    add("--precision-mode", default=DEFAULT_PRECISION_MODE, metavar="MODE",
        help="atc's --precision_mode: how floats are held (default %(default)s)")  # fmt: skip
    add_profiles(parser)
    add("--top", type=int, default=5, metavar="N",
        help="how many of the largest tensors to name (default %(default)s)")  # fmt: skip
    add("--format", choices=("text", "json"), default="text")
    add("--output", type=Path, metavar="FILE", help="write there, not to stdout")


def run(options: argparse.Namespace) -> int:
    """Print the estimate, return 1 when the chip cannot hold the model."""
    from graphfix.analysis.memory import memory
    from graphfix.atc.invocation import profile_shapes
    from graphfix.cli.convert import profiles_of
    from graphfix.graph import load
    from graphfix.report.memory import render

    target = target_of(options)
    if len(target.socs) > 1:
        raise UsageError("--soc: memory compares with one chip at a time; give one.")
    if options.top < 0:
        raise UsageError(f"--top {options.top}: give a whole number from 0 on.")
    check_output("--output", options.output, [Path(options.model)])
    model = load(options.model)
    shapes = profile_shapes(model, profiles_of(options))
    found = memory(model, target, shapes, largest=options.top)
    if options.format == "json":
        text = json.dumps(found.to_json(), indent=1, ensure_ascii=False) + "\n"
    else:
        text = render(found)
    if options.output is not None:
        write_output("--output", options.output, text)
    else:
        print(text, end="")
    return 1 if found.verdict == "too large" else 0

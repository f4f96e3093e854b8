"""graphfix export SPEC -o model.onnx: a framework's model as the ONNX file that CANN likes best."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from graphfix.cli.options import (
    add_target,
    check_apart,
    check_output,
    tables_of,
    target_of,
    write_output,
)
from graphfix.frameworks.request import (
    EXPORTERS,
    Request,
    dynamic_of,
    inputs_of,
    opset_of,
    output_names_of,
)

if TYPE_CHECKING:
    from graphfix.frameworks.outcome import Export


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    add = parser.add_argument
    add("spec", metavar="SPEC",
        help="package.module:factory or file.py:factory (a class or function that gives a "
        "torch.nn.Module), a TorchScript or ExportedProgram file; a SavedModel or Paddle "
        "model")  # fmt: skip
    add("-o", "--output", type=Path, required=True, metavar="OUT.onnx", help="the file to write")
    add("--input", action="append", default=[], metavar="NAME=DTYPE[D,D]",
        help="an input, as in 'ids=int64[1,512]'; values: 'ids=int64[1,512]<50000', "
        "'x=float32[1,3,224,224]:0..1'; may be repeated")  # fmt: skip
    add("--dynamic", action="append", default=[], metavar="NAME:AXIS=SYMBOL",
        help="leave an axis open, as in input_ids:1=seq; may be repeated (default: all "
        "static)")  # fmt: skip
    add("--output-names", default="", metavar="A,B", help="the names of the outputs")
    add("--exporter", choices=("auto", *EXPORTERS), default="auto",
        help="of PyTorch; auto tries both (default)")  # fmt: skip
    add("--opset", default="auto", metavar="N", help="auto tries several (default)")
    add("--trust", action="store_true",
        help="load pickles, which run whatever code they hold")  # fmt: skip
    add_target(parser)
    add("--report", type=Path, metavar="FILE", help="write a JSON report there")


def run(options: argparse.Namespace) -> int:
    """Export, print the table, return the exit code."""
    from graphfix.frameworks.export import ExportFailed, export
    from graphfix.report.export import render

    inputs = inputs_of(options.input)
    request = Request(
        options.spec,
        inputs,
        dynamic_of(options.dynamic, inputs),
        None if options.exporter == "auto" else options.exporter,
        opset_of(options.opset),
        output_names_of(options.output_names, inputs),
        options.trust,
    )
    check_output("--report", options.report, [Path(options.spec)])
    check_apart(o=options.output, report=options.report)
    try:
        done = export(
            request, options.output, target_of(options), tables=tables_of(options), on_tick=Clock()
        )
    except ExportFailed as error:
        print(render(error.export))
        _report(options, error.export)
        raise
    finally:
        _clear()
    print(render(done), end="")
    _report(options, done)
    return 0


def _report(options: argparse.Namespace, done: Export) -> None:
    if options.report is not None:
        text = json.dumps(done.to_json(), indent=1, ensure_ascii=False) + "\n"
        write_output("--report", options.report, text)


class Clock:
    """Shows the elapsed time on a terminal, once a second."""

    def __init__(self) -> None:
        self._shown = 0.0

    def __call__(self, seconds: float) -> None:
        """Show them."""
        if sys.stderr.isatty() and time.monotonic() - self._shown >= 1:
            self._shown = time.monotonic()
            print(f"\r  exporting, {seconds:.0f} s ", end="", file=sys.stderr, flush=True)


def _clear() -> None:
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr)

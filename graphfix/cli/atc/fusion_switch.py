"""graphfix atc fusion-switch: the file that switches fusion passes off."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from graphfix.atc.fusion_switch import KINDS, fusion_switch, unknown_passes
from graphfix.cli.options import check_output, words_of, write_output
from graphfix.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this subcommand's arguments."""
    add = parser.add_argument
    add("--off", required=True, metavar="PASS[,PASS]",
        help="fusion passes to switch off, or ALL; ATC names them in its log (E20007) and in "
        "fusion_result.json")  # fmt: skip
    add("--on", default="", metavar="PASS[,PASS]", help="passes that stay on beside --off ALL")
    add("--kind", choices=("graph", "ub", "both"), default="both",
        help="graph fusion, UB fusion, or both (default)")  # fmt: skip
    add("--result", type=Path, metavar="fusion_result.json",
        help="what an earlier run of ATC wrote; warns of names that it lacks")  # fmt: skip
    add("-o", "--output", type=Path, metavar="FILE",
        help="write there, for instance fusion_switch.cfg (default: the screen)")  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Write the file, return the exit code."""
    off, on = words_of(options.off), words_of(options.on)
    kinds = {"graph": KINDS[:1], "ub": KINDS[1:], "both": KINDS}[options.kind]
    text = fusion_switch(off, on, kinds)
    if options.result is not None:
        for warning in unknown_passes([*off, *on], _read(options.result)):
            print(f"graphfix: warning: {warning}", file=sys.stderr)
    if options.output is None:
        sys.stdout.write(text)
        return 0
    check_output("-o", options.output, [options.result] if options.result is not None else [])
    write_output("-o", options.output, text)
    path = options.output.absolute()
    print(f"{options.output}: {', '.join(off)} off" + (f", {', '.join(on)} on" if on else ""))
    print(f"use it:  graphfix convert MODEL --soc S --set fusion_switch_file={path}")
    print(f"or:      atc ... --fusion_switch_file={path}")
    return 0


def _read(path: Path) -> object:
    try:
        document: object = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"--result {path}: cannot be read ({error.strerror}).") from None
    except ValueError:
        raise UsageError(
            f"--result {path}: is not JSON; give the fusion_result.json that ATC wrote."
        ) from None
    return document

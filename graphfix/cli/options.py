"""Options that several commands share, and how they are read."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from graphfix.analysis.codes import BY_NAME
from graphfix.errors import TableError, UsageError, nearest
from graphfix.support import Tables, Target, releases
from graphfix.support.target import DEFAULT_PRECISION_MODE

if TYPE_CHECKING:
    from graphfix.rewrite.rule import Rule


def add_target(parser: argparse.ArgumentParser) -> None:
    """Add --soc, --cann, --precision-mode and --op-support."""
    parser.add_argument(
        "--soc",
        metavar="S[,S...]",
        default="",
        help="SoC versions, as atc --soc_version takes them (graphfix socs)",
    )
    parser.add_argument(
        "--cann",
        metavar="RELEASE",
        help=f"CANN release: {', '.join(releases())} (the first is the default)",
    )
    parser.add_argument(
        "--precision-mode",
        default=DEFAULT_PRECISION_MODE,
        metavar="MODE",
        help="atc's --precision_mode (default %(default)s)",
    )
    parser.add_argument(
        "--op-support",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="operator tables of your own, laid on top; may be repeated",
    )


def add_fixing(parser: argparse.ArgumentParser) -> None:
    """Add the options of a fix: --opset, --custom-op, --select, --ignore, --rules, ..."""
    parser.add_argument("--opset", type=int, metavar="N", help="force this opset (11 to 18)")
    add_custom_op(parser)
    parser.add_argument("--select", default="", metavar="RULES", help="use only these rules")
    parser.add_argument("--also", default="", metavar="RULES",
                        help="use these optional rules too, for instance fuse")  # fmt: skip
    parser.add_argument("--ignore", default="", metavar="RULES", help="leave these rules out")
    parser.add_argument("--rules", action="append", default=[], type=Path, metavar="DIR",
                        help="a folder with rules of your own; may be repeated")  # fmt: skip
    parser.add_argument("--allow", choices=("approximate",), action="append", default=[],
                        help="let rules fire that change results or the contract")  # fmt: skip
    parser.add_argument("--verify", choices=("site", "model", "off"), default="site",
                        help="prove every distinct site (default), compare whole outputs too, or "
                        "nothing")  # fmt: skip


def add_custom_op(parser: argparse.ArgumentParser) -> None:
    """Add --custom-op, which `tables_of` reads."""
    parser.add_argument("--custom-op", action="append", default=[],
                        metavar="DOMAIN::TYPE[@OPSET]",
                        help="an operator that your plugin takes; may be repeated")  # fmt: skip


def check_opset(options: argparse.Namespace) -> None:
    """Refuse an --opset that CANN does not register. Raises UsageError."""
    if options.opset is not None and not 11 <= options.opset <= 18:
        raise UsageError(f"--opset {options.opset}: CANN registers opsets up to 18; give 11 to 18.")


def rules_of(options: argparse.Namespace) -> list[Rule]:
    """Return the rules that the options choose; those of the user's folders are printed."""
    from graphfix.rewrite.registry import load_folder, own_rules, select

    rules = list(own_rules())
    for folder in options.rules:
        extra = load_folder(folder)
        print(f"rules of {folder}: {', '.join(r.name for r in extra) or 'none'}")
        rules += extra
    return select(
        rules, words_of(options.select), words_of(options.ignore), also=words_of(options.also)
    )


def words_of(text: str) -> list[str]:
    """Read words that are parted by commas."""
    return [w.strip() for w in text.split(",") if w.strip()]


def target_of(options: argparse.Namespace) -> Target:
    """Return the target that the options name."""
    socs = [s.strip() for s in options.soc.split(",") if s.strip()]
    return Target.of(socs, options.cann, options.precision_mode)


def tables_of(options: argparse.Namespace) -> Tables:
    """Return the tables with the user's files on top."""
    tables = Tables.with_files(options.op_support)
    tables.custom_ops = frozenset(map(_custom_op, getattr(options, "custom_op", ())))
    for path, operators in tables.overlays:
        for name in operators:
            operator = tables.operator(name)
            for constraint in operator.constraints if operator is not None else ():
                if constraint.finding not in BY_NAME:
                    raise TableError(
                        f"--op-support {path}: {constraint.key}: no finding is called "
                        f"{constraint.finding!r}. {nearest(constraint.finding, BY_NAME)}"
                    )
    return tables


def _custom_op(text: str) -> str:
    if not re.fullmatch(r"[^:@\s]+::[^:@\s]+(@[0-9]+)?", text):
        raise UsageError(
            f"--custom-op {text}: expected Domain::Type or Domain::Type@opset, for instance "
            "my.domain::MyOp; the domain of ONNX's own operators is ai.onnx."
        )
    return text


def shapes_of(texts: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """Read `name=1,3,224,224`; several may be joined by `;`. Raises UsageError."""
    shapes: dict[str, tuple[int, ...]] = {}
    for text in (part for t in texts for part in t.split(";") if part.strip()):
        name, equals, dims = text.strip().rpartition("=")
        try:
            numbers = tuple(int(d) for d in dims.split(",")) if dims.strip() else ()
        except ValueError:
            numbers = (-1,)
        if not equals or not name or any(n < 0 for n in numbers):
            raise UsageError(
                f"--shape {text}: expected name=1,3,224,224 with whole numbers from 0 "
                "on, without brackets; a scalar is `name=`."
            )
        shapes[name.strip()] = numbers
    return shapes


def check_output(option: str, output: Path | None, inputs: Iterable[Path]) -> None:
    """Refuse a file to write that is a folder, lacks one, or is an input. Raises UsageError."""
    if output is None:
        return
    if output.is_dir():
        raise UsageError(f"{option} {output}: is a folder; give a file.")
    if not output.parent.is_dir():
        raise UsageError(
            f"{option} {output}: there is no such folder ({output.parent}); create it first."
        )
    for path in inputs:
        if output.exists() and path.exists() and output.samefile(path):
            raise UsageError(
                f"{option} {output}: is an input, which is never changed; give another."
            )


def check_apart(**outputs: Path | None) -> None:
    """Refuse two outputs (`save_inputs=...` is --save-inputs) in one file. Raises UsageError."""
    seen: dict[Path, str] = {}
    for name, path in outputs.items():
        if path is None or (path.exists() and not path.is_file()):
            continue
        option = "-o" if name == "o" else f"--{name.replace('_', '-')}"
        other = seen.setdefault(path.resolve(), option)
        if other != option:
            raise UsageError(f"{option} {path}: is what {other} writes; give another file.")


def write_output(option: str, output: Path, text: str) -> None:
    """Write a report whole or not at all; raises UsageError when it cannot be written."""
    from graphfix.graph.saving import write_atomically

    try:
        write_atomically(output, text.encode("utf-8", "backslashreplace"))  # odd file names
    except OSError as error:
        raise UsageError(f"{option} {output}: cannot be written ({error.strerror}).") from None

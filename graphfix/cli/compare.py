"""graphfix compare A B: where the outputs of two sides part."""

from __future__ import annotations

import argparse
import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from graphfix.cli.options import check_output, shapes_of, write_output
from graphfix.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", re.IGNORECASE)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("a", metavar="A", help="the original, an .onnx file")
    parser.add_argument(
        "b",
        metavar="B",
        help="the other side: .onnx, .om, or saved outputs (.npy, .npz, .bin, a folder of them)",
    )
    add = parser.add_argument
    add("--input", action="append", default=[], metavar="[NAME=]FILE",
        help="input data: NAME=FILE, or a folder or .npz that holds all; may be repeated; what is "
        "not given is seeded random data that fits its use")  # fmt: skip
    add("--input-b", action="append", default=[], metavar="[NAME=]FILE",
        help="data that B gets as it is, such as the pixels of an OM with AIPP")  # fmt: skip
    add("--samples", type=int, default=1, metavar="N", help="how many inputs (default 1)")
    add("--seed", type=int, default=0, metavar="N", help="of the random inputs (default 0)")
    add("--shape", action="append", default=[], metavar="NAME=D,D,...",
        help="static dims of an input with open ones; may be repeated")  # fmt: skip
    depth = parser.add_mutually_exclusive_group()
    depth.add_argument("--layers", action="store_true",
        help="compare every inner value and name the first diverging node")  # fmt: skip
    depth.add_argument("--bisect", action="store_true",
        help="find it by halving, one value at a time: for models whose values do not fit in "
        "memory")  # fmt: skip
    add("--memory", default="2GiB", metavar="SIZE",
        help="what --layers may take in all (default %(default)s)")  # fmt: skip
    add("--by-order", action="store_true", help="pair inputs and outputs by position, not by name")
    add("--optimize", choices=("on", "off"), default="off",
        help="ONNX Runtime's graph optimizations for B (default off)")  # fmt: skip
    add("--provider", action="append", default=[], metavar="NAME",
        help="execution provider of ONNX Runtime for B; may be repeated")  # fmt: skip
    add("--bin", action="append", default=[], metavar="NAME=DTYPE:D,D,...",
        help="dtype and shape of a saved .bin where they are not the original's; may be "
        "repeated")  # fmt: skip
    add("--device", type=int, default=0, metavar="N", help="the NPU that runs an .om (default 0)")
    add("--aipp", type=Path, metavar="FILE",
        help="settings of an OM's dynamic AIPP, an atc --insert_op_conf file")  # fmt: skip
    add("--atol", type=float, metavar="X", help="absolute tolerance (default by dtype)")
    add("--rtol", type=float, metavar="X", help="relative tolerance (default by dtype)")
    add("--cosine", type=float, metavar="X",
        help="least cosine; alone, it is what counts instead of single elements")  # fmt: skip
    add("--format", choices=("text", "markdown", "json"), default="text")
    add("--output", type=Path, metavar="FILE", help="write the report there")
    add("--picture", type=Path, metavar="FILE.svg",
        help="with --layers, draw the error of every value")  # fmt: skip
    add("--save-inputs", type=Path, metavar="DIR", help="write what was fed, as .npy")
    add("--save-outputs", type=Path, metavar="DIR", help="write the outputs of both, as .npy")


def run(options: argparse.Namespace) -> int:
    """Compare, print or write the report, return the exit code."""
    _check(options)
    from graphfix.comparison.compare import compare
    from graphfix.comparison.metrics import Tolerance
    from graphfix.comparison.runtimes.onnxruntime import CPU
    from graphfix.report.compare import picture, render, render_markdown

    chosen = (options.atol, options.rtol, options.cosine)
    report = compare(
        options.a,
        options.b,
        inputs=options.input,
        inputs_b=options.input_b,
        samples=options.samples,
        seed=options.seed,
        shapes=shapes_of(options.shape),
        layers=options.layers,
        bisect=options.bisect,
        memory=size_of(options.memory),
        by_order=options.by_order,
        optimize=options.optimize == "on",
        providers=options.provider or (CPU,),
        tolerance=Tolerance(*chosen) if any(c is not None for c in chosen) else None,
        save_inputs=options.save_inputs,
        save_outputs=options.save_outputs,
        bins=bins_of(options.bin),
        device=options.device,
        aipp=options.aipp,
    )
    if options.format == "json":
        text = json.dumps(report.to_json(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    elif options.format == "markdown":
        text = render_markdown(report)
    else:
        text = render(report, shlex.join(["graphfix", "compare", options.a, options.b]))
    if options.output is not None:
        write_output("--output", options.output, text)
    else:
        print(text, end="")
    if options.picture is not None and report.layers is not None:
        write_output("--picture", options.picture, picture(report.layers))
    if report.stopped is not None:
        return 2
    return 0 if report.passed else 1


def size_of(text: str) -> int:
    """Read `512MiB` or `2G` as bytes, in units of 1,024. Raises UsageError."""
    found = _SIZE.fullmatch(text.strip())
    if found is None or float(found[1]) == 0:
        raise UsageError(f"--memory {text}: expected a size such as 512MiB or 2GiB.")
    return int(float(found[1]) * _UNITS[found[2].lower()])


def bins_of(texts: Sequence[str]) -> dict[str, tuple[np.dtype, tuple[int, ...]]]:
    """Read `--bin NAME=DTYPE:D,D,...`; a scalar is `NAME=DTYPE:`. Raises UsageError."""
    import numpy as np

    forms: dict[str, tuple[np.dtype, tuple[int, ...]]] = {}
    for text in texts:
        name, equals, form = text.rpartition("=")
        dtype, colon, dims = form.partition(":")
        try:
            kind = np.dtype(dtype)
            shape = tuple(int(d) for d in dims.split(",")) if dims.strip() else ()
        except (TypeError, ValueError):
            equals = ""
        if not (name and equals and colon) or kind.kind not in "biufc" or min(shape, default=0) < 0:
            raise UsageError(
                f"--bin {text}: expected NAME=float16:1,1000, a numpy dtype and whole numbers."
            )
        forms[name] = (kind, shape)
    return forms


def _check(options: argparse.Namespace) -> None:
    """Refuse what makes no sense before any work. Raises UsageError."""
    sides = [Path(options.a), Path(options.b)]
    check_output("--output", options.output, sides)
    check_output("--picture", options.picture, sides)
    if options.picture is not None and not options.layers:
        raise UsageError("--picture: draws what --layers finds; give both.")
    if options.samples < 1:
        raise UsageError(f"--samples {options.samples}: at least one is needed.")
    if options.seed < 0:
        raise UsageError(f"--seed {options.seed}: give a whole number from 0 on.")
    if options.device < 0:
        raise UsageError(f"--device {options.device}: give a number from 0 on.")
    for name in ("atol", "rtol"):
        number = getattr(options, name)
        if number is not None and not number >= 0:
            raise UsageError(f"--{name} {number}: give a number from 0 on.")
    if options.cosine is not None and not -1 <= options.cosine <= 1:
        raise UsageError(f"--cosine {options.cosine}: give a number from -1 to 1.")
    for option in ("save_inputs", "save_outputs"):
        folder = getattr(options, option)
        if folder is not None and folder.exists() and not folder.is_dir():
            raise UsageError(f"--{option.replace('_', '-')} {folder}: is a file; give a folder.")
    size_of(options.memory)

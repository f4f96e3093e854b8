"""graphfix compare: where the outputs of two sides part, or what half precision will cost one."""

from __future__ import annotations

import argparse
import json
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from graphfix.cli.options import (
    add_target,
    check_apart,
    check_output,
    shapes_of,
    tables_of,
    target_of,
    write_output,
)
from graphfix.errors import UsageError
from graphfix.support.target import DEFAULT_PRECISION_MODE

if TYPE_CHECKING:
    import numpy as np

_MOST_SAMPLES = 10_000
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", re.IGNORECASE)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("a", metavar="A", help="the original, an .onnx file")
    parser.add_argument(
        "b",
        metavar="B",
        nargs="?",
        help="the other side: .onnx, .om, or saved outputs (.npy, .npz, .bin, a folder of them)",
    )
    add = parser.add_argument
    add("--input", action="append", default=[], metavar="[NAME=]FILE",
        help="input data: NAME=FILE, NAME=FOLDER with one file per sample, NAME=NUMBER, or a "
        "folder or .npz that holds all; may be repeated; what is not given is seeded random data "
        "that fits its use")  # fmt: skip
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
        help="what --layers and --preview may take in all (default %(default)s)")  # fmt: skip
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
    add("--atol", type=float, metavar="X",
        help="absolute tolerance (default: float64 1e-9, float32 1e-5, float16 1e-3, bfloat16 "
        "1e-2; integers must be equal)")  # fmt: skip
    add("--rtol", type=float, metavar="X",
        help="relative tolerance (default: float64 1e-8, float32 1e-4, float16 1e-2, bfloat16 "
        "5e-2)")  # fmt: skip
    add("--cosine", type=float, metavar="X",
        help="least cosine; alone, it is what counts instead of single elements")  # fmt: skip
    add("--euclidean", type=float, metavar="X",
        help="greatest relative Euclidean error; as --cosine. Default against an .om or its saved "
        "outputs: --cosine 0.99 --euclidean 0.05")  # fmt: skip
    add("--format", choices=("text", "markdown", "json"), default="text")
    add("--output", type=Path, metavar="FILE", help="write the report there")
    add("--picture", type=Path, metavar="FILE.svg",
        help="with --layers, draw the error of every value")  # fmt: skip
    add("--save-inputs", type=Path, metavar="DIR", help="write what was fed, as .npy")
    add("--save-outputs", type=Path, metavar="DIR", help="write the outputs of both, as .npy")
    _add_preview(parser)


def _add_preview(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("preview of half precision, in place of B").add_argument
    add("--preview", choices=("fp16",),
        help="compute A as the target would hold it in half and say what that costs")  # fmt: skip
    add("--max-error", type=float, metavar="X",
        help="relative Euclidean error up to which an output is usable (default 0.01)")  # fmt: skip
    add("--keep-dtype", type=Path, metavar="FILE",
        help="keep the nodes of this file in float32, as atc --keep_dtype does")  # fmt: skip
    add("--keep-dtype-out", type=Path, metavar="FILE",
        help="write the shortest list found there, for atc --keep_dtype")  # fmt: skip
    add("--mixlist-out", type=Path, metavar="FILE",
        help="write the operators for atc --modify_mixlist there (mixed modes)")  # fmt: skip
    add("--search-runs", type=int, metavar="N",
        help="most runs for naming nodes and for the list (default 200; 0: neither)")  # fmt: skip
    add_target(parser)


def run(options: argparse.Namespace) -> int:
    """Compare, print or write the report, return the exit code."""
    _check(options)
    if options.preview is not None:
        return _preview(options)
    from graphfix.comparison.compare import compare
    from graphfix.comparison.metrics import Tolerance
    from graphfix.comparison.runtimes.onnxruntime import CPU
    from graphfix.report.compare import picture, render, render_markdown

    chosen = (options.atol, options.rtol, options.cosine, options.euclidean)
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
        text = _json(report.to_json())
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


def _preview(options: argparse.Namespace) -> int:
    from graphfix.comparison.half.preview import DEFAULT_MAX_ERROR, DEFAULT_RUNS, preview_fp16
    from graphfix.report.preview import render, render_markdown

    chosen = options.max_error
    runs = options.search_runs
    report = preview_fp16(
        options.a,
        target_of(options),
        inputs=options.input,
        samples=options.samples,
        seed=options.seed,
        shapes=shapes_of(options.shape),
        max_error=DEFAULT_MAX_ERROR if chosen is None else chosen,
        keep=_lines_of(options.keep_dtype),
        search_runs=DEFAULT_RUNS if runs is None else runs,
        memory=size_of(options.memory),
        tables=tables_of(options),
        save_inputs=options.save_inputs,
        bins=bins_of(options.bin),
    )
    command = shlex.join(["graphfix", "compare", options.a, "--preview", options.preview])
    if options.soc:
        command += f" --soc {shlex.quote(options.soc)}"
    if options.precision_mode != DEFAULT_PRECISION_MODE:
        command += f" --precision-mode {options.precision_mode}"
    if options.format == "json":
        text = _json(report.to_json())
    elif options.format == "markdown":
        text = render_markdown(report, command)
    else:
        text = render(report, command)
    lists = (
        ("--keep-dtype-out", options.keep_dtype_out,
         report.keep.text if report.keep is not None else None),
        ("--mixlist-out", options.mixlist_out,
         _json(report.mixlist.document) if report.mixlist is not None else None),
    )  # fmt: skip
    for option, path, content in lists:
        if path is not None and content is not None:
            write_output(option, path, content)
        elif path is not None:
            print(f"graphfix: {option} {path}: not written, there is no list.", file=sys.stderr)
    if options.output is not None:
        write_output("--output", options.output, text)
    else:
        print(text, end="")
    return 0 if report.passed else 1


def _lines_of(path: Path | None) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines() if path is not None else []
    except OSError as error:
        raise UsageError(f"--keep-dtype {path}: cannot be read ({error.strerror}).") from None
    except UnicodeDecodeError:
        raise UsageError(f"--keep-dtype {path}: is no text. Give one name a line.") from None


def _json(document: object) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


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
    if options.preview is None:
        _check_sides(options)
    else:
        _check_preview(options)
    sides = [Path(side) for side in (options.a, options.b) if side is not None]
    check_output("--output", options.output, sides)
    check_output("--picture", options.picture, sides)
    check_apart(
        output=options.output, picture=options.picture, keep_dtype_out=options.keep_dtype_out,
        mixlist_out=options.mixlist_out,
    )  # fmt: skip
    if options.picture is not None and not options.layers:
        raise UsageError("--picture: draws what --layers finds; give both.")
    if options.samples < 1:
        raise UsageError(f"--samples {options.samples}: at least one is needed.")
    if options.samples > _MOST_SAMPLES:
        raise UsageError(
            f"--samples {options.samples}: at most {_MOST_SAMPLES:,}, all of which are held in "
            "memory. Give fewer, and another --seed for others."
        )
    if options.seed < 0:
        raise UsageError(f"--seed {options.seed}: give a whole number from 0 on.")
    if options.device < 0:
        raise UsageError(f"--device {options.device}: give a number from 0 on.")
    for name in ("atol", "rtol", "euclidean"):
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


# options of the other kind of comparison, with what they are when nobody gives them
_OF_SIDES = {
    "layers": False, "bisect": False, "by_order": False, "optimize": "off", "provider": [],
    "picture": None, "save_outputs": None, "input_b": [], "device": 0, "aipp": None,
}  # fmt: skip
_OF_PREVIEW = ("max_error", "keep_dtype", "keep_dtype_out", "mixlist_out", "search_runs")


def _check_sides(options: argparse.Namespace) -> None:
    if options.b is None:
        raise UsageError(
            f"compare {options.a}: against what? Give a second model or saved outputs, or "
            "--preview fp16."
        )
    if options.aipp is not None and not options.b.lower().endswith(".om"):
        raise UsageError(f"--aipp {options.aipp}: is for an .om, and {options.b} is none.")
    for name in _OF_PREVIEW:
        # a project's graphfix.toml may say these for its previews
        if getattr(options, name) is not None and name not in ("max_error", "search_runs"):
            raise UsageError(f"{_option(name)}: is of --preview fp16; give both.")


def _check_preview(options: argparse.Namespace) -> None:
    if options.b is not None:
        raise UsageError(
            f"--preview {options.preview}: takes one model, but {options.b} stands there too. "
            "Leave it out."
        )
    for name, default in _OF_SIDES.items():
        if getattr(options, name) != default:
            raise UsageError(f"{_option(name)}: is for two sides, not for --preview. Leave it out.")
    for name in ("atol", "rtol", "cosine", "euclidean"):
        if getattr(options, name) is not None:  # perhaps of graphfix.toml: no reason to stop
            print(f"graphfix: {_option(name)} is not used by --preview, whose threshold is "
                  "--max-error.", file=sys.stderr)  # fmt: skip
    chosen = options.max_error
    if chosen is not None and not chosen >= 0:
        raise UsageError(f"--max-error {chosen}: give a number from 0 on.")
    if options.search_runs is not None and options.search_runs < 0:
        raise UsageError(f"--search-runs {options.search_runs}: give a number from 0 on.")
    inputs = [Path(options.a)]
    if options.keep_dtype is not None:
        inputs.append(options.keep_dtype)
    check_output("--keep-dtype-out", options.keep_dtype_out, inputs)
    check_output("--mixlist-out", options.mixlist_out, inputs)
    mixed = ("allow_mix_precision", "allow_mix_precision_fp16")
    if options.mixlist_out is not None and options.precision_mode not in mixed:
        raise UsageError(
            f"--mixlist-out: atc --modify_mixlist needs a mixed mode, this is "
            f"{options.precision_mode}. Give --precision-mode {mixed[0]}, or --keep-dtype-out."
        )


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"

"""The two sides: what a path is, which input and output is which, and what is fed."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import onnx

from graphfix.comparison.inputs import SIZES, bind, is_open, meanings, sample
from graphfix.comparison.runtimes import Arrays, Port, Runtime, RuntimeFailed
from graphfix.comparison.runtimes.layouts import SUFFIXES, Entry, Form
from graphfix.comparison.runtimes.onnxruntime import CPU, OnnxRuntime
from graphfix.comparison.runtimes.saved import Saved, read_form
from graphfix.errors import UsageError, nearest
from graphfix.graph import Model, Shape, load

Side: TypeAlias = "str | os.PathLike[str] | onnx.ModelProto | Model | Runtime"

# the size of open dims that is tried first: more than a few positions, quick to run; an image is
# often halved five times
_FIRST = 8
_FIRST_OF_IMAGES = 64


def open_side(
    what: Side,
    *,
    optimize: bool = False,
    providers: Sequence[str] = (CPU,),
    original: Runtime | None = None,
    device: int = 0,
    aipp: Path | None = None,
) -> Runtime:
    """Return the runtime of a model, an .om or saved data; `original` is the first side.

    `device` is the NPU that runs an .om, `aipp` the settings of its dynamic AIPP.
    """
    if isinstance(what, onnx.ModelProto):
        what = Model(what)
    if isinstance(what, Model):
        return OnnxRuntime(what, optimize=optimize, providers=providers)
    if not isinstance(what, str | os.PathLike):
        return what
    path = Path(what)
    if path.suffix == ".om":
        from graphfix.comparison.runtimes.aipp import read_config
        from graphfix.comparison.runtimes.om import OmRuntime

        return OmRuntime(path, device=device, aipp=read_config(aipp) if aipp is not None else None)
    if path.suffix in SUFFIXES or path.is_dir():
        if original is None:
            raise UsageError(
                f"{path}: saved data can be the second side only. Give the ONNX model first."
            )
        model = original.model if isinstance(original, OnnxRuntime) else None
        return Saved(path, list(original.outputs), model)
    return OnnxRuntime(load(path), optimize=optimize, providers=providers)


def pair_outputs(a: Runtime, b: Runtime, by_order: bool) -> dict[str, str]:
    """Return output of `a` -> output of `b`. Raises UsageError when they do not pair."""
    if by_order:
        if len(a.outputs) != len(b.outputs):
            raise UsageError(
                f"--by-order: {a.name} has {len(a.outputs)} outputs, {b.name} {len(b.outputs)}."
            )
        return dict(zip(a.outputs, b.outputs, strict=True))
    theirs = values_of(b.outputs, a)
    missing = [name for name in a.outputs if name not in theirs]
    if missing and isinstance(b, Saved):
        raise UsageError(
            f"{b.path}: holds nothing for output {_list(missing)}. Name the files after the "
            "outputs (NAME.npy), or as ais_bench does, STEM_0.bin, STEM_1.bin, ..."
        )
    if missing:
        raise UsageError(
            f"{b.name} has no output {_list(missing)}: it has {_list(b.outputs)}. Where they are "
            "the same in the same order, give --by-order."
        )
    return {name: theirs[name] for name in a.outputs}


# as acl.mdl.get_output_name_by_index tells them of an ONNX model: node, position, and the output's
# own name unless ATC was given --out_nodes
_OM_OUTPUT = re.compile(r"(?P<node>.+?):(?P<position>\d+)(?::(?P<value>.+))?")


def values_of(outputs: Sequence[str], a: Runtime) -> dict[str, str]:
    """Return value of the original -> output of the other side, by the name that an OM makes."""
    found = {name: name for name in outputs}
    model = a.model if isinstance(a, OnnxRuntime) else None
    nodes = {n.name: n for n in model.graph.nodes if n.name} if model is not None else {}
    for name in outputs:
        parts = _OM_OUTPUT.fullmatch(name)
        if parts is None:
            continue
        node, position = nodes.get(parts["node"]), int(parts["position"])
        if parts["value"] is not None:
            found.setdefault(parts["value"], name)
        elif node is not None and position < len(node.outputs):
            found.setdefault(node.outputs[position], name)
    return found


def pair_inputs(a: Runtime, b: Runtime, by_order: bool) -> dict[str, str]:
    """Return input of `b` -> input of `a`. Raises UsageError when `b` wants what `a` has not."""
    have = [port.name for port in a.inputs]
    if by_order and len(b.inputs) == len(have):
        return {port.name: name for port, name in zip(b.inputs, have, strict=True)}
    missing = [port.name for port in b.inputs if port.name not in have]
    if missing:
        raise UsageError(
            f"{b.name} wants input {_list(missing)}; {a.name} has {_list(have)}. Where they are "
            "the same in the same order, give --by-order."
        )
    return {port.name: port.name for port in b.inputs}


class Sample(dict[str, np.ndarray]):
    """What the original is fed, by name; `other` is what the other side gets as it is."""

    def __init__(self, arrays: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> None:
        super().__init__(arrays)
        self.other = other


def feeds_for(b: Runtime, feeds: Mapping[str, np.ndarray], names: Mapping[str, str]) -> Arrays:
    """Return the inputs of the other side: its names, its dtype where ATC narrowed it."""
    result = {}
    own = feeds.other if isinstance(feeds, Sample) else {}
    for port in b.inputs:
        if port.name in own:
            array = own[port.name]
        elif port.encoding is not None:
            array = port.encoding.encode(feeds[names[port.name]])
        else:
            array = _narrow(b, port, feeds[names[port.name]])
        if port.shape is not None and not _fits(port.shape, array.shape):
            raise UsageError(
                f"{b.name}: input {port.name} is declared as {_text(port.shape)}, but is fed "
                f"{_text(array.shape)}. Bind it with --shape."
            )
        result[port.name] = array
    return result


def _narrow(b: Runtime, port: Port, array: np.ndarray) -> np.ndarray:
    form = read_form(port)
    if form is None or form[0] == array.dtype:
        return array
    narrow = array.astype(form[0])
    if array.dtype.kind in "iu" and narrow.dtype.kind in "iu" and (narrow != array).any():
        raise UsageError(
            f"{b.name}: input {port.name} is {form[0].name}, which does not hold all values that "
            f"the original is fed ({array.min()} to {array.max()}). Give smaller ones with --input."
        )
    return narrow


def samples_for(
    a: Runtime,
    b: Runtime,
    names: Mapping[str, str],
    *,
    given: Sequence[Arrays] = (),
    count: int = 1,
    seed: int = 0,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    other: Sequence[Arrays] = (),
) -> list[Sample]:
    """Return what the original is fed: the user's arrays, and seeded data for all other inputs.

    Open dims take those of `shapes`, of the given arrays, of the other side's static ports, or the
    first size at which the original runs. `other` is what the other side gets as it is.
    """
    shapes = dict(shapes or {})
    _check_shapes(a, shapes)
    for arrays in given:
        _check_given(a, arrays)
    theirs = {names[p.name]: p for p in b.inputs}
    ports = [Port(p.name, p.dtype, _narrowed(p, theirs.get(p.name))) for p in a.inputs]
    means = meanings(a.model) if isinstance(a, OnnxRuntime) else {}
    total = max(count, len(given))

    def made(index: int, size: int) -> Sample:
        user = given[index % len(given)] if given else {}
        fixed = {**shapes, **{n: tuple(array.shape) for n, array in user.items()}}
        fixed = {**_gear(a, b, theirs, fixed), **fixed}
        random = sample(ports, bind(ports, fixed, size), [seed, index], means)
        result = Sample({**random, **user}, other[index % len(other)] if other else {})
        for name, port in theirs.items():
            if port.encoding is not None and port.name not in result.other:
                # both sides see what can be encoded; made-up data fills the whole range
                like = result[name]
                pixels = port.encoding.encode(like)
                if name not in user:
                    rng = np.random.default_rng([seed, index])
                    pixels = rng.integers(0, 256, pixels.shape).astype(pixels.dtype)
                result[name] = port.encoding.decode(pixels, like)
        return result

    fixed = set(shapes) | set(given[0] if given else ())
    rest = [p for p in ports if p.name not in fixed]
    if any(port.choices for port in theirs.values()):
        rest = [p for p in rest if p.name not in theirs or not theirs[p.name].choices]
    if not is_open(rest):
        return [made(i, SIZES[0]) for i in range(total)]
    if isinstance(a, OnnxRuntime):
        a.load()  # a model that does not load runs at no size
    reason, fallback = "", None
    first = _FIRST_OF_IMAGES if any(m.kind == "image" for m in means.values()) else _FIRST
    for size in (first, *SIZES):
        try:
            outputs = a.run(made(0, size))
        except RuntimeFailed as error:
            reason = reason or str(error)
            continue
        if not any(array.dtype.kind == "f" and np.isnan(array).any() for array in outputs.values()):
            return [made(i, size) for i in range(total)]
        fallback = fallback or size  # too small for a window, say: it tells nothing
    if fallback is not None:
        return [made(i, fallback) for i in range(total)]
    raise UsageError(
        f"no size of the open dims was found at which it runs; bind them with --shape. {reason}"
    )


def _narrowed(port: Port, other: Port | None) -> Shape | None:
    """Return a port's shape with what the other side fixes."""
    if port.shape is None or other is None or other.shape is None:
        return port.shape
    shape = other.shape
    if other.encoding is not None:
        sizes = [d if isinstance(d, int) else None for d in shape]
        shape = other.encoding.decoded_shape(sizes, port.shape)
    if len(shape) != len(port.shape):
        return port.shape
    return tuple(
        o if isinstance(o, int) and not isinstance(d, int) else d
        for d, o in zip(port.shape, shape, strict=True)
    )


def _gear(
    a: Runtime, b: Runtime, theirs: Mapping[str, Port], fixed: Mapping[str, tuple[int, ...]]
) -> dict[str, tuple[int, ...]]:
    """Return static shapes for the inputs of which the other side takes only some.

    The first of its choices that fits what is fixed; {} where it has none. Raises UsageError.
    """
    count = max((len(port.choices) for port in theirs.values()), default=0)
    own = {port.name: port.shape for port in a.inputs}
    tried = []
    for position in range(count):
        shapes: dict[str, tuple[int, ...]] = {}
        for name, port in theirs.items():
            shape: Sequence[int | str | None] = port.choices[position]
            declared = own.get(name)
            if port.encoding is not None and declared is not None:
                shape = port.encoding.decoded_shape(port.choices[position], declared)
            shapes[name] = tuple(d if isinstance(d, int) else -1 for d in shape)
        tried.append(" ".join(f"{n}={','.join(map(str, s))}" for n, s in shapes.items()))
        if all(
            fixed.get(name, shape) == shape and ((d := own.get(name)) is None or _fits(d, shape))
            for name, shape in shapes.items()
        ):
            return shapes
    if not count:
        return {}
    more = " ..." if count > 6 else ""
    raise UsageError(
        f"{b.name} was built for these sizes only: {'; '.join(tried[:6])}{more}. The original or "
        "--shape and --input ask for another. Bind one of those with --shape."
    )


def _fits(shape: Shape, dims: Sequence[int]) -> bool:
    return len(shape) == len(dims) and all(
        not isinstance(d, int) or d == n for d, n in zip(shape, dims, strict=True)
    )


def _text(shape: Shape) -> str:
    return "[" + ",".join("?" if d is None else str(d) for d in shape) + "]"


def user_inputs(
    texts: Sequence[str], a: Runtime, bins: Mapping[str, Form], option: str = "--input"
) -> list[Arrays]:
    """Read --input: NAME=FILE, NAME=FOLDER (one file per sample), NAME=NUMBER (for all elements of
    an input of fixed shape), or a folder or .npz of all.

    Returns one dict per sample. `bins` are dtype and shape of .bin files where the input does not
    tell them. Raises UsageError.
    """
    ports = {port.name: port for port in a.inputs}
    forms = {n: form for n, p in ports.items() if (form := read_form(p)) is not None}
    result: list[Arrays] = []
    for text in texts:
        name, equals, file = text.rpartition("=")
        if equals and name not in ports:
            raise UsageError(f"{option} {text}: no input is called {name}. {nearest(name, ports)}")
        if equals and not Path(file).exists() and (number := _number(file)) is not None:
            found = [{name: _filled(ports[name], number, text, option)}]
        elif equals and Path(file).is_dir():
            found = _one_each(Path(file), name, bins.get(name) or forms.get(name))
        else:
            saved = Saved(Path(file), [name] if equals else list(ports))
            saved.forms, saved.given = forms, bins
            found = []
            for index in range(saved.count):
                saved.sample = index
                found.append(saved.run({}, [name] if equals else list(ports)))
        for index, arrays in enumerate(found):
            if not arrays:
                raise UsageError(
                    f"{option} {text}: holds no input of the model ({_list(list(ports))}). Name "
                    f"the files after the inputs, or give {option} NAME=FILE."
                )
            if index == len(result):
                result.append({})
            result[index].update(arrays)
    return result


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _filled(port: Port, number: float, text: str, option: str) -> np.ndarray:
    form = read_form(port)
    dims = [d for d in form[1] if isinstance(d, int)] if form is not None else []
    if form is None or len(dims) != len(form[1]):
        raise UsageError(
            f"{option} {text}: a number is for an input of fixed shape; {port.name} is "
            f"{_text(port.shape) if port.shape is not None else 'of unknown shape'}. Give a file."
        )
    array = np.full(dims, number).astype(form[0])
    if array.size and float(array.flat[0]) != number and form[0].kind in "iub":
        raise UsageError(
            f"{option} {text}: {port.name} is {form[0].name}, which is no such number."
        )
    return array


def _one_each(folder: Path, name: str, form: Form | None) -> list[Arrays]:
    """Return one sample for each file of a folder, in the order of their names."""
    files = sorted(p for p in folder.iterdir() if p.suffix in (".npy", ".bin"))
    if not files:
        raise UsageError(f"{folder}: holds no .npy or .bin file.")
    return [{name: Entry(file).read(form)} for file in files]


def _check_given(a: Runtime, arrays: Arrays) -> None:
    for port in a.inputs:
        if port.name not in arrays:
            continue
        array, form = arrays[port.name], read_form(port)
        if form is None:
            continue
        if not _fits(form[1], array.shape) or array.dtype != form[0]:
            raise UsageError(
                f"--input {port.name}: {array.dtype.name}{_text(array.shape)} does not fit the "
                f"input, which is {form[0].name}{_text(form[1])}. Convert the file."
            )


def _check_shapes(a: Runtime, shapes: Mapping[str, tuple[int, ...]]) -> None:
    ports = {port.name: port for port in a.inputs}
    for name, dims in shapes.items():
        if name not in ports:
            raise UsageError(f"--shape {name}: no input is called so. {nearest(name, ports)}")
        own = ports[name].shape
        if own is not None and not _fits(own, dims):
            raise UsageError(
                f"--shape {name}={','.join(map(str, dims))} does not fit the input, which is "
                f"declared as {_text(own)}."
            )


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return (", ".join(names[:4]) or "none") + more

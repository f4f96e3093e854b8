"""Inputs for a comparison: seeded random data that a model can mean something by.

Integers that index a table stay below its rows, masks are 0 and 1, images lie in 0..1; all else is
normally distributed, small or random bits. The same seed gives the same data on every machine.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx.helper

from graphfix.comparison.runtimes import Arrays, Port, RuntimeFailed, ports_of
from graphfix.graph import Model, Shape, Value, dtypes

# sizes for open dims, tried one after the other until the model runs
SIZES = (2, 3, 1, 4, 5, 8, 16, 32, 64, 224, 1024, 16000)
# elements of one input; more is a slip in the model's dims, or does not fit in memory twice
_MAX_ELEMENTS = 2**28
# an open first dim is usually the batch: large ones tell nothing more
_MAX_BATCH = 4

# operators through which an index passes without a change of its range
_TRANSPARENT = frozenset(
    {"Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Transpose", "Slice"}
)
_MASK = re.compile(r"mask", re.IGNORECASE)
_CHANNELS = (1, 3, 4)


@dataclass(frozen=True)
class Meaning:
    """What an input stands for: `below` bounds integers from above, exclusively."""

    kind: str  # indices, mask, image, pixels, numbers
    below: int = 0


def meanings(model: Model) -> dict[str, Meaning]:
    """Return what each data input of a model means, as far as names and uses show it."""
    return {port.name: _meaning(port, model.graph.values[port.name]) for port in ports_of(model)}


def _meaning(port: Port, value: Value) -> Meaning:
    dtype = port.dtype or "float32"
    if dtype in ("bool", "string"):
        return Meaning("numbers")
    if dtype not in dtypes.FLOATS:
        rows = _indexed_rows(value)
        if rows:
            return Meaning("indices", min(rows))
    if _MASK.search(port.name):
        return Meaning("mask")
    if _is_image(port.shape):
        if dtype in dtypes.FLOATS:
            return Meaning("image")
        if dtype == "uint8":
            return Meaning("pixels", 256)
    return Meaning("numbers")


def _is_image(shape: Shape | None) -> bool:
    return (
        shape is not None and len(shape) == 4 and (shape[1] in _CHANNELS or shape[3] in _CHANNELS)
    )


def _indexed_rows(start: Value) -> list[int]:
    """Return the sizes of the axes that a value indexes, on its way through shape changes."""
    rows: list[int] = []
    stack, seen = [start], {start.name}
    while stack:
        value = stack.pop()
        for node, index in value.uses:
            if node.op_type in _TRANSPARENT and index == 0:
                following = node.output(0)
                if following is not None and following.name not in seen:
                    seen.add(following.name)
                    stack.append(following)
            elif node.op_type in ("Gather", "GatherElements") and index == 1:
                table = node.input(0)
                axis = node.attributes["axis"].i if "axis" in node.attributes else 0
                shape = table.shape if table is not None else None
                if shape is not None and -len(shape) <= axis < len(shape):
                    size = shape[axis]
                    if isinstance(size, int) and size > 0:
                        rows.append(size)
    return rows


def bind(
    ports: Sequence[Port], shapes: Mapping[str, tuple[int, ...]], size: int
) -> dict[str, tuple[int, ...]]:
    """Return static shapes: those given, `size` for every other open dim.

    A symbol is bound once for all ports; one that leads some port is taken for the batch, which
    stays small. A port of unknown rank counts as a scalar.
    """
    symbols: dict[str, int] = {}
    for port in ports:
        for dim, given in zip(port.shape or (), shapes.get(port.name, ()), strict=False):
            if isinstance(dim, str):
                symbols[dim] = given
    for port in ports:
        if port.shape and isinstance(port.shape[0], str):
            symbols.setdefault(port.shape[0], min(size, _MAX_BATCH))
    bound = {}
    for port in ports:
        if port.name in shapes:
            bound[port.name] = tuple(shapes[port.name])
            continue
        dims = []
        for axis, dim in enumerate(port.shape or ()):
            if isinstance(dim, int):
                dims.append(dim)
            elif dim is not None:
                dims.append(symbols.get(dim, size))
            else:
                dims.append(min(size, _MAX_BATCH) if axis == 0 else size)
        bound[port.name] = tuple(dims)
    return bound


def is_open(ports: Sequence[Port]) -> bool:
    """Whether some port has a dim that nothing fixes."""
    return any(not isinstance(d, int) for port in ports for d in port.shape or ())


def sample(
    ports: Sequence[Port],
    shapes: Mapping[str, tuple[int, ...]],
    seed: int | Sequence[int] = 0,
    means: Mapping[str, Meaning] | None = None,
) -> Arrays:
    """Return seeded data for every port; `shapes` gives each a static shape.

    Raises RuntimeFailed for a shape that no computer holds.
    """
    for port in ports:
        if math.prod(shapes[port.name]) > _MAX_ELEMENTS:
            dims = ",".join(map(str, shapes[port.name]))
            raise RuntimeFailed(
                f"too large to make up data: input {port.name} [{dims}] has more than "
                f"{_MAX_ELEMENTS:,} elements. Give smaller dims (--shape), or check the model's."
            )
    rng = np.random.default_rng(seed)
    means = means or {}
    return {p.name: _data(rng, p, shapes[p.name], means.get(p.name)) for p in ports}


def _data(
    rng: np.random.Generator, port: Port, shape: tuple[int, ...], meaning: Meaning | None
) -> np.ndarray:
    dtype = port.dtype or "float32"
    kind = meaning.kind if meaning is not None else "numbers"
    if meaning is not None and kind in ("indices", "pixels"):
        return as_dtype(rng.integers(0, meaning.below, shape), dtype)
    if kind == "image":
        return as_dtype(rng.random(shape), dtype)
    if kind == "mask":
        # padding comes last, and the first position is always there
        length = shape[-1] if shape else 1
        kept = rng.integers(math.ceil(length / 2), length, endpoint=True)
        return as_dtype(np.broadcast_to(np.arange(length) < kept, shape), dtype)
    return random_input(rng, port, shape)


def random_input(
    rng: np.random.Generator, port: Port, shape: tuple[int, ...], spread: float = 1.0
) -> np.ndarray:
    """Return seeded data that means nothing: normal floats, small integers, random bools."""
    dtype = port.dtype or "float32"
    if dtype in dtypes.FLOATS:
        return as_dtype(rng.normal(0, spread, shape), dtype)
    if dtype == "bool":
        return rng.integers(0, 2, shape).astype(bool)
    if dtype == "string":
        return rng.choice(np.array(["a", "b", ""], object), shape)
    low = 0 if dtype.startswith("u") or spread == 1.0 else -2
    return as_dtype(rng.integers(low, 2 if spread == 1.0 else 5, shape), dtype)


def as_dtype(data: np.ndarray, dtype: str) -> np.ndarray:
    """Return data in an ONNX element type, spelled as this product does (`double`)."""
    number = dtypes.NUMBERS[dtype]
    known = dtypes.numpy_dtype(number)
    if known is not None:
        return np.asarray(data).astype(known)
    return np.asarray(data).astype(onnx.helper.tensor_dtype_to_np_dtype(number))

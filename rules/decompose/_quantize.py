"""What spelling out quantized operators has in common: scales, zero points, exact integer sums."""

from __future__ import annotations

import numpy as np

from graphfix.graph import Node, Value, dtypes
from graphfix.rewrite import Builder, No

RANGES = {
    "uint8": (0, 255),
    "int8": (-128, 127),
    "uint16": (0, 65535),
    "int16": (-32768, 32767),
}
# sums of integers stay exact in float32 up to here
_WHOLE = 2**24
# a sum is cut into at most so many exact ones
_MOST_PIECES = 64


def number(node: Node, name: str, default: int) -> int:
    """Return an integer attribute."""
    return int(node.attributes[name].i) if name in node.attributes else default


def as_float(b: Builder, value: Value | None) -> str:
    """Return a value as float32; empty where there is none."""
    if value is None:
        return ""
    return value.name if value.dtype == "float32" else b.cast(value.name, "float32")


def is_zero(value: Value | None) -> bool:
    """Whether a zero point is left out or a constant 0."""
    return value is None or (
        value.constant is not None and value.known is not None and not value.known.any()
    )


class Spread:
    """Brings scales and zero points into a form that broadcasts to the quantized tensor.

    A scale is one number, one for each position of `axis`, or one for each `block` of them.
    """

    def __init__(self, b: Builder, x: Value, scale: Value, axis: int, block: int) -> None:
        self._b = b
        self._scale = scale
        self._block = block
        self._shape = x.shape
        self._axis = axis
        self.problem = self._problem()

    def _problem(self) -> str | None:
        shape, scale = self._shape, self._scale.shape
        if scale is None:
            return "the rank of the scale is not known"
        if scale == () or (scale == (1,) and not self._block):
            return None
        if shape is None:
            return "the rank of the input is not known"
        if not -len(shape) <= self._axis < len(shape):
            return "axis is out of range"
        self._axis %= len(shape)
        if not self._block:
            return None if len(scale) == 1 else "the scale is neither a number nor a vector"
        if len(scale) != len(shape):
            return "the scale of blocks has another rank"
        if not all(isinstance(d, int) for d in shape):
            return "blocks of an open shape"
        return None

    def misfit(self, zero: Value | None) -> str | None:
        """Return why a zero point cannot be brought into form beside the scale, None if it can."""
        if zero is None:
            return None
        if zero.shape is None:
            return "the rank of the zero point is not known"
        one = ((), (1,))  # both are one number
        if zero.shape in one and self._scale.shape in one:
            return None
        is_alike = self._scale.shape is not None and len(zero.shape) == len(self._scale.shape)
        return None if is_alike else "the zero point has another rank than the scale"

    def __call__(self, name: str, zero: Value | None = None) -> str:
        """Return the scale, or the zero point `zero`, by name, so that it broadcasts."""
        b, shape = self._b, self._shape
        scale = (zero or self._scale).shape
        if not name or not scale:
            return name
        if scale == (1,) and not self._block:
            return b.squeeze(name, [0])
        assert shape is not None
        if not self._block:
            behind = len(shape) - 1 - self._axis
            return b.reshape(name, [-1] + [1] * behind) if behind else name
        at, size = self._axis, shape[self._axis]
        dims = [int(d) for d in shape if isinstance(d, int)]
        blocks = -(-int(size) // self._block) if isinstance(size, int) else 0
        wide = [*dims[:at], blocks, self._block, *dims[at + 1 :]]
        spread = b.op("Expand", b.unsqueeze(name, [at + 1]), b.ints(*wide))
        joined = b.reshape(spread, [*dims[:at], blocks * self._block, *dims[at + 1 :]])
        if blocks * self._block == dims[at]:
            return joined
        return b.slice(joined, [0], [dims[at]], [at])


def saturated(b: Builder, steps: str, zero: str, dtype: str) -> str:
    """Return round(steps) + zero, clipped to an integer type and cast to it."""
    rounded = b.op("Round", steps)
    if zero:
        rounded = b.op("Add", rounded, zero)
    low, high = RANGES[dtype]
    limits = b.scalar(low, "float32"), b.scalar(high, "float32")
    return b.cast(b.op("Clip", rounded, *limits), dtype)


def centred(b: Builder, value: Value, zero: Value | None, spread: str | None = None) -> str:
    """Return an 8-bit value less its zero point as float32, which is exact.

    `spread` is the zero point's name where it had to be brought into a form that broadcasts.
    """
    x = b.cast(value.name, "float32")
    if zero is None or is_zero(zero):
        return x
    return b.op("Sub", x, b.cast(spread or zero.name, "float32"))


def greatest(value: Value, zero: Value | None) -> int:
    """Return how large the size of an 8-bit value less its zero point can be."""
    if is_zero(zero):
        return 128 if value.dtype == "int8" else 255
    return 255


def pieces_of(length: int, each: int) -> list[int] | No:
    """Cut a sum of `length` products, each at most `each`, into sums that float32 holds."""
    if length < 1 or each < 1:
        return No("the sum has no products")
    most = _WHOLE // each
    if most < 1:
        return No("a single product is beyond what float32 holds")
    count = -(-length // most)
    if count > _MOST_PIECES:
        return No(f"the sum of {length} products needs more than {_MOST_PIECES} exact parts")
    small, more = divmod(length, count)
    return [small + 1] * more + [small] * (count - more)


def known_type(dtype: str | None) -> str | None:
    """Return why a type cannot be written, None where it can."""
    if dtype is None:
        return "the element type is not known"
    if dtype not in dtypes.FLOATS and dtype not in (*RANGES, "int32"):
        return f"CANN has no type for {dtype}"
    return None


def requantized(b: Builder, total: str, scales: tuple[str, str, str], zero: str, dtype: str) -> str:
    """Return an integer sum, given as float32, times a * b / y, rounded and clipped."""
    first, second, third = scales
    factor = b.op("Div", b.op("Mul", first, second), third)
    return saturated(b, b.op("Mul", total, factor), zero, dtype)


def joined(b: Builder, parts: list[str]) -> str:
    """Return the sum of partial sums as int32: each is a whole number in float32."""
    whole = [b.cast(part, "int32") for part in parts]
    total = whole[0]
    for part in whole[1:]:
        total = b.op("Add", total, part)
    return total


def beside(b: Builder, name: str, value: Value | None, is_left: bool) -> str:
    """Return a scale or zero point of a matrix so that it broadcasts to the product.

    Vectors belong to the rows of a left matrix and to the columns of a right one.
    """
    shape = value.shape if value is not None else ()
    if shape == (1,):
        return b.squeeze(name, [0])
    return b.unsqueeze(name, [1]) if is_left and shape is not None and len(shape) == 1 else name


def exact_products(b: Builder, data: tuple[int, int], zeros: tuple[int, int]) -> list[str] | No:
    """Write the product of two 8-bit matrices less their zero points as sums exact in float32.

    `data` and `zeros` are positions of inputs. Return float32 products whose sum is the result.
    """
    left, right = (b.node.input(i) for i in data)
    points = [b.node.input(i) for i in zeros]
    if left is None or right is None or left.shape is None or right.shape is None:
        return No("the shape of an input is not known")
    if left.dtype not in ("uint8", "int8") or right.dtype not in ("uint8", "int8"):
        return No("an input is not known to be an 8-bit integer")
    if not left.shape or not right.shape:
        return No("an input is a scalar")
    if any(p is not None and p.shape is None for p in points):
        return No("the rank of a zero point is not known")
    length = next((d for d in (left.shape[-1], right.shape[-2:][0]) if isinstance(d, int)), None)
    if length is None:
        return No("the length of the inner axis is not known")
    sizes = pieces_of(length, greatest(left, points[0]) * greatest(right, points[1]))
    if isinstance(sizes, No):
        return sizes
    names = []
    for value, point, is_left in zip((left, right), points, (True, False), strict=True):
        spread = None
        if point is not None and not is_zero(point):
            spread = beside(b, point.name, point, is_left)
        names.append(centred(b, value, point, spread))
    if len(sizes) == 1:
        return [b.op("MatMul", *names)]
    axes = (len(left.shape) - 1, max(len(right.shape) - 2, 0))
    cut = [b.split(name, sizes, axis) for name, axis in zip(names, axes, strict=True)]
    return [b.op("MatMul", x, y) for x, y in zip(*cut, strict=True)]


def exact_convolutions(b: Builder, data: tuple[int, int], zeros: tuple[int, int]) -> list[str] | No:
    """Write the convolution of 8-bit data less its zero points as sums exact in float32.

    `data` are the positions of input and weight, `zeros` those of their zero points. The padding
    is 0 after the zero point is subtracted. Return float32 results whose sum is the result.
    """
    x, weight = (b.node.input(i) for i in data)
    x_zero, w_zero = (b.node.input(i) for i in zeros)
    if x is None or weight is None or x.shape is None or weight.shape is None:
        return No("the shape of an input is not known")
    if x.dtype not in ("uint8", "int8") or weight.dtype not in ("uint8", "int8"):
        return No("an input is not known to be an 8-bit integer")
    inner = weight.shape[1:]
    if len(inner) < 2 or not all(isinstance(d, int) for d in inner):
        return No("the shape of the weight is not known")
    if (x_zero is not None and x_zero.shape not in ((), (1,))) or (
        w_zero is not None and w_zero.shape is None
    ):
        return No("the form of a zero point is not known")
    channels, *window = (int(d) for d in inner if isinstance(d, int))
    each = greatest(x, x_zero) * greatest(weight, w_zero) * int(np.prod(window))
    sizes = pieces_of(channels, each)
    if isinstance(sizes, No):
        return sizes
    if len(sizes) > 1 and number(b.node, "group", 1) != 1:
        return No("the sums of a group are beyond what float32 holds")
    spread = None
    if w_zero is not None and not is_zero(w_zero):
        spread = per_channel(b, w_zero.name, w_zero, len(weight.shape) - 1)
    names = [centred(b, x, x_zero), centred(b, weight, w_zero, spread)]
    kept = {
        key: [*attribute.ints] or attribute.s or attribute.i
        for key, attribute in b.node.attributes.items()
    }
    kept.setdefault("kernel_shape", window)
    if len(sizes) == 1:
        return [b.op("Conv", *names, **kept)]
    cut = [b.split(name, sizes, 1) for name in names]
    return [b.op("Conv", *pair, **kept) for pair in zip(*cut, strict=True)]


def per_channel(b: Builder, name: str, value: Value | None, behind: int) -> str:
    """Return a scale or zero point of output channels with `behind` dims of 1 after them."""
    shape = value.shape if value is not None else ()
    if shape == (1,):
        return b.squeeze(name, [0])
    return b.reshape(name, [-1] + [1] * behind) if shape else name

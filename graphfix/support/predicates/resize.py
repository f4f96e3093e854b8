"""Resize: does the pixel that ONNX takes differ from the one that CANN takes?

Unknown sizes keep the risk open (true): a model whose sizes are dynamic cannot be called safe.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from graphfix.support.conditions import NodeView

# beyond this many output pixels of one axis the question is left open
_MAX_LENGTH = 1 << 16


def resize_scales_not_integer(view: NodeView) -> bool:
    """The scales are constant and some are no whole numbers."""
    scales = _scales(view)
    return scales is not None and any(not float(s).is_integer() for s in scales)


def resize_nearest_not_floor(view: NodeView) -> bool:
    """Some output pixel is not floor(x * in / out)."""
    return _differs(view, lambda x, i, o: x * i // o)


def resize_nearest_not_half_pixel(view: NodeView) -> bool:
    """Some output pixel is not floor((x + 0.5) * in / out)."""
    return _differs(view, lambda x, i, o: (2 * x + 1) * i // (2 * o))


def resize_nearest_not_corners(view: NodeView) -> bool:
    """Some output pixel is not floor(x * (in - 1) / (out - 1) + 0.5)."""
    return _differs(view, lambda x, i, o: math.floor(x * (i - 1) / (o - 1) + 0.5) if o > 1 else 0)


def resize_scale_inexact(view: NodeView) -> bool:
    """The constant scales are not out / in on some axis, and nearest then takes other pixels.

    Only sizes reach CANN. Sizes that are not known make it false: the scales of an exporter are
    exact more often than not.
    """
    lengths = _lengths(view)
    if lengths is None or all(abs(out / size - scale) < 1e-6 for size, out, scale in lengths):
        return False
    return _differs(view, lambda x, i, o: x * i // o)


def resize_shrinks(view: NodeView) -> bool:
    """Some axis gets shorter, or its length is unknown."""
    lengths = _lengths(view)
    return lengths is None or any(out < size for size, out, _ in lengths)


def resize_outer_axes(view: NodeView) -> bool:
    """Batch or channels change their size."""
    scales = _scales(view)
    if scales is not None and len(scales) == 4:
        return any(abs(s - 1) > 1e-6 for s in scales[:2])
    source, result = view.node.input(0), view.node.output(0)
    if source is None or result is None or source.shape is None or result.shape is None:
        return False
    return any(
        isinstance(a, int) and isinstance(b, int) and a != b
        for a, b in zip(source.shape[:2], result.shape[:2], strict=False)
    )


def _scales(view: NodeView) -> list[float] | None:
    position = 2 if len(view.node.inputs) > 2 else 1
    value = view.node.input(position)
    if value is None or value.known is None or value.known.size == 0:
        return None
    return [float(s) for s in value.known.reshape(-1).tolist()]


def _lengths(view: NodeView) -> list[tuple[int, int, float]] | None:
    """Return (input length, output length, scale) of each axis; None when one is unknown."""
    source, result = view.node.input(0), view.node.output(0)
    if source is None or result is None or source.shape is None or result.shape is None:
        return None
    scales = _scales(view)
    found = []
    for axis, (size, out) in enumerate(zip(source.shape, result.shape, strict=False)):
        if not isinstance(size, int) or not isinstance(out, int) or size < 1 or out < 1:
            if axis < 2 and size == out:
                continue  # the same symbol: batch or channels are not touched
            return None
        scale = scales[axis] if scales is not None and axis < len(scales) else out / size
        found.append((size, out, scale))
    return found


def _differs(view: NodeView, cann: Callable[[int, int, int], int]) -> bool:
    lengths = _lengths(view)
    if lengths is None:
        return True
    mode = _text(view.attribute("coordinate_transformation_mode"))
    rounding = _text(view.attribute("nearest_mode"))
    if mode == "tf_crop_and_resize":
        return True
    for size, out, scale in lengths:
        if size == out and abs(scale - 1) < 1e-9:
            continue
        if out > _MAX_LENGTH:
            return True
        if not scale > 0 or not math.isfinite(scale):
            return True
        for x in range(out):
            exact = _source_position(mode, x, size, out, scale)
            onnx = min(max(_round(rounding, exact), 0), size - 1)
            if onnx != min(max(cann(x, size, out), 0), size - 1):
                return True
    return False


def _source_position(mode: str, x: int, size: int, out: int, scale: float) -> float:
    # in float32, as ONNX Runtime computes it
    one, half, s = np.float32(1), np.float32(0.5), np.float32(scale)
    position = np.float32(x)
    if mode == "asymmetric":
        return float(position / s)
    if mode == "align_corners":
        return float(position * (size - one) / (out - one)) if out > 1 else 0.0
    if mode == "pytorch_half_pixel" and out <= 1:
        return 0.0
    if mode == "tf_half_pixel_for_nn":
        return float((position + half) / s)
    return float((position + half) / s - half)


def _round(mode: str, x: float) -> int:
    if mode == "floor":
        return math.floor(x)
    if mode == "ceil":
        return math.ceil(x)
    if mode == "round_prefer_ceil":
        return math.floor(x + 0.5)
    return math.ceil(x - 0.5)


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


PREDICATES = (
    resize_scales_not_integer,
    resize_nearest_not_floor,
    resize_nearest_not_half_pixel,
    resize_nearest_not_corners,
    resize_scale_inexact,
    resize_shrinks,
    resize_outer_axes,
)

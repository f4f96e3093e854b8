"""Windows and padding of pooling and convolution."""

from __future__ import annotations

import math

from graphfix.support.conditions import NodeView

# (kernel, stride, dilation, size or None) of one spatial axis
Axis = tuple[int, int, int, int | None]


def pool_window_large(view: NodeView) -> bool:
    """2-D pooling with a window of more than 255 elements or a stride above 63."""
    kernel, strides = _ints(view, "kernel_shape"), _ints(view, "strides")
    if kernel is None or len(kernel) != 2:
        return False
    return math.prod(kernel) > 255 or any(s > 63 for s in strides or ())


def same_padding_uneven(view: NodeView) -> bool:
    """On some axis the total padding of SAME_* is odd, so UPPER and LOWER differ."""
    return any((p := _same_padding(axis)) is not None and p % 2 == 1 for axis in _axes(view))


def same_padding_nonzero(view: NodeView) -> bool:
    """On some axis SAME_* pads at all; an unknown size keeps the risk open."""
    for kernel, stride, dilation, size in _axes(view):
        padding = _same_padding((kernel, stride, dilation, size))
        window = (kernel - 1) * dilation + 1
        if view.node.op_type == "ConvTranspose":
            extra = _ints(view, "output_padding") or [0]
            if extra[0] + window != stride:
                return True
        elif (padding is None and window > stride) or (padding or 0) > 0:
            return True
    return False


def pool_ceil_mode_matters(view: NodeView) -> bool:
    """Without auto_pad, rounding up gives another size on some axis.

    An unknown size keeps the risk open where the stride is above 1.
    """
    if view.attribute("auto_pad") not in (b"NOTSET", "NOTSET"):
        return False
    axes = _axes(view)
    pads = _ints(view, "pads") or [0] * (2 * len(axes))
    if len(pads) != 2 * len(axes):
        return False
    for i, (kernel, stride, dilation, size) in enumerate(axes):
        if size is None:
            if stride > 1:
                return True
            continue
        begin, end = pads[i], pads[i + len(axes)]
        rest = size + begin + end - ((kernel - 1) * dilation + 1)
        if rest % stride and (rest // stride + 1) * stride < size + begin:
            return True
    return False


def pads_order_matters(view: NodeView) -> bool:
    """`pads` has four entries whose second and third differ."""
    pads = _ints(view, "pads")
    return pads is not None and len(pads) == 4 and pads[1] != pads[2]


def _ints(view: NodeView, name: str) -> list[int] | None:
    value = view.attribute(name)
    return list(value) if isinstance(value, (list, tuple)) and value else None


def _axes(view: NodeView) -> list[Axis]:
    kernel = _ints(view, "kernel_shape")
    if kernel is None:
        return []
    ones = [1] * len(kernel)
    strides, dilations = _ints(view, "strides") or ones, _ints(view, "dilations") or ones
    value = view.node.input(0)
    sizes: list[int | None] = [None] * len(kernel)
    if value is not None and value.shape is not None and len(value.shape) == len(kernel) + 2:
        sizes = [d if isinstance(d, int) else None for d in value.shape[2:]]
    if not len(strides) == len(dilations) == len(kernel):
        return []
    return list(zip(kernel, strides, dilations, sizes, strict=True))


def _same_padding(axis: Axis) -> int | None:
    kernel, stride, dilation, size = axis
    window = (kernel - 1) * dilation + 1
    if stride == 1:
        return window - 1
    if size is None or stride < 1:
        return None
    return max((math.ceil(size / stride) - 1) * stride + window - size, 0)


PREDICATES = (
    pool_window_large, same_padding_uneven, same_padding_nonzero, pool_ceil_mode_matters,
    pads_order_matters,
)  # fmt: skip

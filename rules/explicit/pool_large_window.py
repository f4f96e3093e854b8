"""Split a large MaxPool, because CANN pools large windows on the AI CPU and loses attributes.

Why       A 2-D window of more than 255 elements, or a stride above 63, takes another way in which
          auto_pad SAME and ceil_mode are lost, and which runs on the AI CPU.
Rewrites  a window that covers the whole input -> ReduceMax; else one MaxPool per axis, where both
          stay below the limits; else pads that make the last window complete, without auto_pad
          and ceil_mode.
Leaves    Windows within the limits; a used Indices output; sizes that are not numbers, where the
          padding depends on them; dilated windows, and a last window in the padding alone.
Exact     the same for finite numbers; where a NaN is among them ONNX says nothing.
Source    ops-nn common/src/framework/max_pool_onnx_plugin.cpp, August 2026.
"""

import math

from graphfix.graph import Graph, Node, Shape
from graphfix.rewrite import Builder, Exactness, Example, NearMiss, No, Rule, Site

_LARGEST_WINDOW = 255
_LARGEST_STRIDE = 63


class PoolLargeWindow(Rule):
    """MaxPool with a large 2-D window -> ReduceMax, two MaxPools, or complete pads."""

    roots = ("MaxPool",)
    exactness = Exactness.ROUNDING
    fixes = ("MaxPool/large-window-auto-pad", "MaxPool/large-window-ceil-mode")
    tolerance = 0.0

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire on a 2-D window beyond the limits of the AI Core form."""
        x = node.input(0)
        if x is None or x.shape is None or len(x.shape) != 4:
            return No("the input is not known to be 4-D")
        kernel, strides, dilations = (
            _ints(node, name, 2) for name in ("kernel_shape", "strides", "dilations")
        )
        pads = _ints(node, "pads", 4, 0)
        if kernel is None or strides is None or dilations is None or pads is None:
            return No("the lists do not fit the input")
        if math.prod(kernel) <= _LARGEST_WINDOW and max(strides) <= _LARGEST_STRIDE:
            return No("the window is within the limits")
        if len(node.outputs) > 1:
            return No("the output Indices is listed")
        mode = node.attributes["auto_pad"].s if "auto_pad" in node.attributes else b"NOTSET"
        if mode != b"NOTSET" and any(pads):
            return No("pads stand beside auto_pad, which ONNX forbids")
        if mode in (b"NOTSET", b"VALID"):
            for i, size in enumerate(x.shape[2:]):
                window = (kernel[i] - 1) * dilations[i] + 1
                if isinstance(size, int) and size + pads[i] + pads[i + 2] < window:
                    return No("the window is larger than the input")
        ceil = "ceil_mode" in node.attributes and node.attributes["ceil_mode"].i != 0
        b = Builder(node, graph)
        exact = None
        if dilations == [1, 1]:
            exact = _complete_pads(x.shape, kernel, strides, pads, mode, ceil)
        if exact is not None and exact[1] == [1, 1] and _covers(x.shape, kernel, exact[0]):
            return b.site(b.reduce("ReduceMax", x.name, [2, 3]))
        if max(kernel) <= _LARGEST_WINDOW and max(strides) <= _LARGEST_STRIDE:
            if min(kernel) == 1:
                return No("the window has one axis only")
            result = x.name
            for i in range(2):
                own = {
                    "kernel_shape": _at(kernel, i, 1),
                    "strides": _at(strides, i, 1),
                    "dilations": _at(dilations, i, 1) if dilations != [1, 1] else None,
                    "pads": _at(pads[:2], i, 0) + _at(pads[2:], i, 0) if any(pads) else None,
                }
                result = b.copy(node, [result], **own)[0]
            return b.site(result)
        if mode in (b"NOTSET", b"VALID") and not ceil:
            return No("nothing is lost, and no smaller form is known")
        if exact is None:
            return No("the padding cannot be told from sizes that are numbers")
        return b.site(b.copy(node, auto_pad=None, ceil_mode=None, pads=exact[0])[0])

    examples = (
        Example(
            "g (float[N,3,18,20] x) => (float[N,3,1,1] y) { y = MaxPool"
            '<auto_pad = "SAME_UPPER", kernel_shape = [20, 20], strides = [20, 20]>(x) }',
            after=["ReduceMax"],
        ),
        Example(
            "g (float[1,2,H,40] x) => (float[1,2,A,20] y) { y = MaxPool"
            '<auto_pad = "SAME_UPPER", kernel_shape = [16, 17], strides = [2, 2]>(x) }',
            after="g (float[1,2,H,40] x) => (float[1,2,A,20] y) { h = MaxPool"
            '<auto_pad = "SAME_UPPER", kernel_shape = [16, 1], strides = [2, 1]>(x)  y = MaxPool'
            '<auto_pad = "SAME_UPPER", kernel_shape = [1, 17], strides = [1, 2]>(h) }',
            opset=13,
        ),
        Example(
            "g (float[1,2,45,40] x) => (float[1,2,7,7] y) { y = MaxPool<ceil_mode = 1, "
            "kernel_shape = [16, 17], pads = [3, 2, 1, 5], strides = [6, 5]>(x) }",
            after=["MaxPool", "MaxPool"],
            opset=11,
        ),
        Example(
            "g (float[1,2,70,70] x) => (float[1,2,2,2] y) { y = MaxPool"
            '<auto_pad = "SAME_LOWER", kernel_shape = [64, 65], strides = [64, 64]>(x) }',
            after="g (float[1,2,70,70] x) => (float[1,2,2,2] y) { y = MaxPool"
            "<kernel_shape = [64, 65], pads = [29, 30, 29, 29], strides = [64, 64]>(x) }",
        ),
        NearMiss(
            "g (float[1,2,20,20] x) => (float[1,2,6,4] y) { y = MaxPool<kernel_shape = [15, 17]>"
            "(x) }",
            reason="the window is within the limits",
        ),
        NearMiss(
            "g (float[1,2,20,H] x) => (float[1,2,A,B] y) "
            "{ y = MaxPool<kernel_shape = [21, 20]>(x) }",
            reason="the window is larger than the input",
        ),
        NearMiss(
            "g (float[1,2,90,90] x) => (float[1,2,2,2] y) "
            "{ y = MaxPool<kernel_shape = [2, 2], strides = [64, 64]>(x) }",
            reason="nothing is lost, and no smaller form is known",
        ),
        NearMiss(
            "g (float[1,2,H,W] x) => (float[1,2,A,B] y) { y = MaxPool"
            '<auto_pad = "SAME_UPPER", kernel_shape = [65, 65], strides = [64, 64]>(x) }',
            reason="the padding cannot be told from sizes that are numbers",
        ),
    )


def _ints(node: Node, name: str, count: int, default: int = 1) -> list[int] | None:
    """Return a list attribute, the default where it is left out, None where its length is wrong."""
    attribute = node.attributes.get(name)
    found = list(attribute.ints) if attribute is not None else []
    return found if len(found) == count else None if found else [default] * count


def _at(numbers: list[int], index: int, otherwise: int) -> list[int]:
    return [n if i == index else otherwise for i, n in enumerate(numbers)]


def _complete_pads(
    shape: Shape, kernel: list[int], strides: list[int], pads: list[int], mode: bytes, ceil: bool
) -> tuple[list[int], list[int]] | None:
    """Return pads with which the last window ends with them, and how many windows there are.

    None where a size is not a number, and where ONNX leaves it open what the last window sees.
    """
    begins, ends, counts = [], [], []
    for i in range(2):
        size, window, stride = shape[i + 2], kernel[i], strides[i]
        if not isinstance(size, int):
            return None
        if mode in (b"SAME_UPPER", b"SAME_LOWER"):
            count = -(-size // stride)
            total = (count - 1) * stride + window - size
            if total < 0:
                return None
            begin = total // 2 if mode == b"SAME_UPPER" else total - total // 2
        else:
            begin, end = (pads[i], pads[i + 2]) if mode == b"NOTSET" else (0, 0)
            rest = size + begin + end - window
            if rest < 0:
                return None
            count = rest // stride + 1
            if ceil and rest % stride:
                if count * stride >= size + begin:
                    return None
                count += 1
        begins.append(begin)
        ends.append(max(0, (count - 1) * stride + window - size - begin))
        counts.append(count)
    return begins + ends, counts


def _covers(shape: Shape, kernel: list[int], pads: list[int]) -> bool:
    """Whether the one window reaches over the whole input."""
    return all(
        isinstance(size, int) and kernel[i] - pads[i] >= size for i, size in enumerate(shape[2:])
    )

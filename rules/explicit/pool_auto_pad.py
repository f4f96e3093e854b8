"""Write the padding of SAME pooling out, because CANN mixes up SAME_LOWER and drops it in 3-D.

Why       CANN treats SAME_LOWER as SAME_UPPER, so that an odd row of padding lands on the wrong
          side; with 3-D windows auto_pad is dropped for AveragePool and LpPool.
Rewrites  auto_pad SAME_UPPER and SAME_LOWER -> pads; ceil_mode goes, SAME rounds up by itself.
Leaves    Spatial axes whose size is not a number, unless their stride is 1; dilated windows;
          windows below the stride, where ONNX does not say which elements are left out.
Exact     MaxPool exact; sums in another order otherwise, float32 within 2e-6.
Source    ops-nn max_pool, average_pool and lppool_onnx_plugin.cpp, August 2026.
"""

from graphfix.graph import Graph, Node
from graphfix.rewrite import Builder, Exactness, Example, NearMiss, No, Rule, Site


class PoolAutoPad(Rule):
    """Pooling with auto_pad SAME_* -> with pads."""

    roots = ("MaxPool", "AveragePool", "LpPool")
    exactness = Exactness.ROUNDING
    fixes = (
        "MaxPool/same-lower",
        "AveragePool/same-lower",
        "AveragePool/auto-pad-3d",
        "LpPool/same-lower",
        "LpPool/auto-pad-unused",
    )

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire on SAME_UPPER and SAME_LOWER where the padding can be told."""
        x = node.input(0)
        mode = node.attributes["auto_pad"].s if "auto_pad" in node.attributes else b"NOTSET"
        if mode not in (b"SAME_UPPER", b"SAME_LOWER"):
            return No("auto_pad is not SAME_UPPER or SAME_LOWER")
        if x is None or x.shape is None:
            return No("the rank is not known")
        sizes = x.shape[2:]
        kernel = _ints(node, "kernel_shape", len(sizes))
        strides = _ints(node, "strides", len(sizes))
        if "kernel_shape" not in node.attributes or kernel is None or strides is None:
            return No("kernel_shape or strides do not fit the input")
        if "pads" in node.attributes and any(node.attributes["pads"].ints):
            return No("pads stand beside auto_pad, which ONNX forbids")
        if any(d != 1 for d in _ints(node, "dilations", len(sizes)) or [0]):
            return No("the window is dilated")
        begins, ends = [], []
        for window, stride, size in zip(kernel, strides, sizes, strict=True):
            if stride == 1:
                total = window - 1
            elif isinstance(size, int):
                total = (-(-size // stride) - 1) * stride + window - size
                if total < 0:
                    return No("the last window ends before the input does")
            else:
                return No("the size of a spatial axis is not a number")
            begin = total // 2 if mode == b"SAME_UPPER" else total - total // 2
            begins.append(begin)
            ends.append(total - begin)
        b = Builder(node, graph)
        names = b.copy(node, auto_pad=None, ceil_mode=None, pads=begins + ends)
        return b.site({o: n for o, n in zip(node.outputs, names, strict=True) if o})

    examples = (
        Example(
            "g (float[N,3,6,7] x) => (float[N,3,3,4] y) { y = MaxPool"
            '<auto_pad = "SAME_LOWER", kernel_shape = [3, 3], strides = [2, 2]>(x) }',
            after="g (float[N,3,6,7] x) => (float[N,3,3,4] y) { y = MaxPool"
            "<kernel_shape = [3, 3], pads = [1, 1, 0, 1], strides = [2, 2]>(x) }",
        ),
        Example(
            "g (float[1,2,H] x) => (float[1,2,H] y) "
            '{ y = AveragePool<auto_pad = "SAME_LOWER", kernel_shape = [4]>(x) }',
            after="g (float[1,2,H] x) => (float[1,2,H] y) "
            "{ y = AveragePool<kernel_shape = [4], pads = [2, 1]>(x) }",
            opset=11,
        ),
        Example(
            "g (float[1,2,4,5,6] x) => (float[1,2,2,5,6] y) { y = AveragePool"
            '<auto_pad = "SAME_UPPER", kernel_shape = [3, 2, 1], strides = [2, 1, 1], '
            "count_include_pad = 1>(x) }",
            after=["AveragePool"],
            opset=13,
        ),
        Example(
            "g (float[1,2,5,6] x) => (float[1,2,5,6] y) "
            '{ y = LpPool<auto_pad = "SAME_LOWER", kernel_shape = [2, 2], p = 1>(x) }',
            after="g (float[1,2,5,6] x) => (float[1,2,5,6] y) "
            "{ y = LpPool<kernel_shape = [2, 2], p = 1, pads = [1, 1, 0, 0]>(x) }",
            opset=18,
        ),
        NearMiss(
            "g (float[1,2,5,6] x) => (float[1,2,4,5] y) "
            '{ y = MaxPool<auto_pad = "VALID", kernel_shape = [2, 2]>(x) }',
            reason="auto_pad is not SAME_UPPER or SAME_LOWER",
        ),
        NearMiss(
            "g (float[1,2,H,W] x) => (float[1,2,A,B] y) { y = MaxPool"
            '<auto_pad = "SAME_LOWER", kernel_shape = [2, 2], strides = [2, 2]>(x) }',
            reason="the size of a spatial axis is not a number",
        ),
        NearMiss(
            "g (float[1,2,4,8] x) => (float[1,2,2,2] y) { y = MaxPool"
            '<auto_pad = "SAME_LOWER", kernel_shape = [1, 5], strides = [2, 4]>(x) }',
            reason="the last window ends before the input does",
        ),
        NearMiss(
            "g (float[1,2,6,6] x) => (float[1,2,6,6] y) { y = MaxPool"
            '<auto_pad = "SAME_LOWER", kernel_shape = [2, 2], pads = [1, 1, 0, 0]>(x) }',
            reason="pads stand beside auto_pad",
        ),
        NearMiss(
            "g (float[1,2,6,6] x) => (float[1,2,6,6] y) { y = MaxPool"
            '<auto_pad = "SAME_LOWER", kernel_shape = [2, 2], dilations = [2, 2]>(x) }',
            reason="the window is dilated",
        ),
    )


def _ints(node: Node, name: str, count: int) -> list[int] | None:
    """Return a list attribute, ones where it is left out, None where its length is wrong."""
    attribute = node.attributes.get(name)
    found = list(attribute.ints) if attribute is not None else []
    return found if len(found) == count else None if found else [1] * count

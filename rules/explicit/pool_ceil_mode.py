"""Drop ceil_mode where it rounds nothing up, because its meaning changed at opset 22.

Why       From opset 22 on a last window that would start in the padding is left out; before, ONNX
          counted it. A model from there cannot be relabelled for CANN as it stands.
Rewrites  MaxPool, AveragePool, LpPool: ceil_mode 1 -> 0 where the windows fit without rounding up.
Leaves    Windows that hang over the end; spatial axes whose size is not a number; auto_pad;
          dilated windows of AveragePool and LpPool.
Exact     MaxPool exact; engines of two opsets sum in another order, float32 within 2e-6.
Source    ONNX operator schemas MaxPool-12, MaxPool-22, AveragePool-11, AveragePool-22.
"""

from graphfix.graph import Graph, Node
from graphfix.rewrite import Builder, Exactness, Example, NearMiss, No, Rule, Site


class PoolCeilMode(Rule):
    """Pooling with a ceil_mode that changes nothing -> without."""

    roots = ("MaxPool", "AveragePool", "LpPool")
    exactness = Exactness.ROUNDING
    is_local = True

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire on ceil_mode 1 where rounding down gives as many windows."""
        x = node.input(0)
        if "ceil_mode" not in node.attributes or not node.attributes["ceil_mode"].i:
            return No("ceil_mode is 0")
        if "auto_pad" in node.attributes and node.attributes["auto_pad"].s != b"NOTSET":
            return No("auto_pad decides the padding")
        if x is None or x.shape is None:
            return No("the rank is not known")
        sizes = x.shape[2:]
        kernel = _ints(node, "kernel_shape", 1, len(sizes))
        strides, dilations = (
            _ints(node, "strides", 1, len(sizes)),
            _ints(node, "dilations", 1, len(sizes)),
        )
        pads = _ints(node, "pads", 0, 2 * len(sizes))
        for axis, size in enumerate(sizes):
            if not isinstance(size, int):
                return No("the size of a spatial axis is not a number")
            begin, end, stride = pads[axis], pads[axis + len(sizes)], strides[axis]
            room = size + begin + end - ((kernel[axis] - 1) * dilations[axis] + 1)
            windows = -(-room // stride) + 1
            if (windows - 1) * stride >= size + begin:
                windows -= 1
            if windows != room // stride + 1:
                return No("a window hangs over the end")
        if node.op_type != "MaxPool" and any(d != 1 for d in dilations):
            return No("the window is dilated, which no other version of the operator knows")
        b = Builder(node, graph)
        changes = {"ceil_mode": None} | ({} if node.op_type == "MaxPool" else {"dilations": None})
        names = b.copy(node, **changes)
        return b.site({o: n for o, n in zip(node.outputs, names, strict=True) if o})

    examples = (
        Example(
            "g (float[1,3,2,2] x) => (float[1,3,1,1] y) { y = AveragePool<ceil_mode = 1, "
            "count_include_pad = 1, kernel_shape = [3, 3], pads = [1, 1, 1, 1], strides = [3, 3]>"
            "(x) }",
            after="g (float[1,3,2,2] x) => (float[1,3,1,1] y) { y = AveragePool<"
            "count_include_pad = 1, kernel_shape = [3, 3], pads = [1, 1, 1, 1], strides = [3, 3]>"
            "(x) }",
            opset=22,
            target=17,
        ),
        Example(
            "g (float[1,1,2,2] x) => (float[1,1,1,1] y) { y = MaxPool<ceil_mode = 1, "
            "kernel_shape = [1, 1], strides = [2, 2]>(x) }",
            after="g (float[1,1,2,2] x) => (float[1,1,1,1] y) { y = MaxPool<"
            "kernel_shape = [1, 1], strides = [2, 2]>(x) }",
            opset=22,
            target=17,
        ),
        NearMiss(
            "g (float[1,1,4,4] x) => (float[1,1,2,2] y) { y = MaxPool<ceil_mode = 1, "
            "kernel_shape = [3, 3], strides = [2, 2]>(x) }",
            reason="a window hangs over the end",
        ),
        NearMiss(
            "g (float[1,1,4,N] x) => (float[1,1,2,M] y) { y = MaxPool<ceil_mode = 1, "
            "kernel_shape = [2, 3], strides = [2, 2]>(x) }",
            reason="the size of a spatial axis is not a number",
        ),
        Example(
            "g (float[1,1,4,4] x) => (float[1,1,2,2] y) { y = AveragePool<ceil_mode = 1, "
            "dilations = [1, 1], kernel_shape = [2, 2], strides = [2, 2]>(x) }",
            after="g (float[1,1,4,4] x) => (float[1,1,2,2] y) { y = AveragePool<"
            "kernel_shape = [2, 2], strides = [2, 2]>(x) }",
            opset=22,
            target=17,
        ),
        NearMiss(
            "g (float[1,1,4,4] x) => (float[1,1,2,2] y) { y = AveragePool<ceil_mode = 1, "
            "dilations = [2, 2], kernel_shape = [2, 2]>(x) }",
            reason="the window is dilated",
            opset=22,
            target=17,
        ),
        NearMiss(
            "g (float[1,1,4,4] x) => (float[1,1,2,2] y) { y = MaxPool<kernel_shape = [2, 2], "
            "strides = [2, 2]>(x) }",
            reason="ceil_mode is 0",
        ),
        NearMiss(
            "g (float[1,1,4,4] x) => (float[1,1,2,2] y) { y = MaxPool<ceil_mode = 1, "
            'auto_pad = "SAME_UPPER", kernel_shape = [3, 3], strides = [2, 2]>(x) }',
            reason="auto_pad decides the padding",
        ),
    )


def _ints(node: Node, name: str, default: int, count: int) -> list[int]:
    written = list(node.attributes[name].ints) if name in node.attributes else []
    return written if len(written) == count else [default] * count

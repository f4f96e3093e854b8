"""Pad what LpPool with ceil_mode sees beyond the end, because CANN rounds the output size down.

Why       ceil_mode is dropped with a mere warning.
Rewrites  LpPool<ceil_mode = 1> -> LpPool with end pads so large that the last window is complete;
          zeros add nothing to a norm.
Leaves    Open spatial axes; auto_pad SAME; windows that start in the padding at the end, about
          which engines disagree.
Exact     exact.
Source    ops-nn common/src/framework/lppool_onnx_plugin.cpp, August 2026; ONNX operator schema
          LpPool-18.
"""

from graphfix.graph import Graph, Node
from graphfix.rewrite import Builder, Example, NearMiss, No, Rule, Site


class LpPoolCeil(Rule):
    """LpPool with ceil_mode -> with larger pads."""

    roots = ("LpPool",)
    fixes = ("LpPool/ceil-mode",)

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire on ceil_mode where the spatial axes are known."""
        if "ceil_mode" not in node.attributes or node.attributes["ceil_mode"].i == 0:
            return No("ceil_mode is 0")
        x = node.input(0)
        if x is None or x.shape is None or not all(isinstance(d, int) for d in x.shape[2:]):
            return No("a spatial axis is not known")
        if "auto_pad" in node.attributes and node.attributes["auto_pad"].s != b"NOTSET":
            return No("auto_pad is not NOTSET")
        size = [int(d) for d in x.shape[2:] if isinstance(d, int)]
        rank = len(size)
        kernel = list(node.attributes["kernel_shape"].ints)
        strides, dilations, pads = (
            list(node.attributes[k].ints) if k in node.attributes else d
            for k, d in (("strides", [1] * rank), ("dilations", [1] * rank),
                         ("pads", [0] * 2 * rank))
        )  # fmt: skip
        if not len(kernel) == len(strides) == len(dilations) == rank or len(pads) != 2 * rank:
            return No("the lists do not fit the input")
        for i in range(rank):
            reach = (kernel[i] - 1) * dilations[i] + 1
            free = size[i] + pads[i] + pads[i + rank] - reach
            if free < 0:
                return No("no window fits")
            count = -(-free // strides[i]) + 1
            if (count - 1) * strides[i] >= size[i] + pads[i]:
                return No("a window starts in the padding at the end")
            pads[i + rank] += (count - 1) * strides[i] - free
        b = Builder(node, graph)
        return b.site(b.copy(node, ceil_mode=None, pads=pads)[0])

    examples = (
        Example(
            "g (float[1,2,6,7] x) => (float[1,2,3,3] y)"
            " { y = LpPool<kernel_shape = [3, 3], strides = [2, 2], ceil_mode = 1>(x) }",
            after="g (float[1,2,6,7] x) => (float[1,2,3,3] y)"
            " { y = LpPool<kernel_shape = [3, 3], strides = [2, 2], pads = [0, 0, 1, 0]>(x) }",
            opset=18,
        ),
        Example(
            "g (float[N,2,8] x) => (float[N,2,5] y)"
            " { y = LpPool<kernel_shape = [3], strides = [2], pads = [1, 1], ceil_mode = 1,"
            " p = 1>(x) }",
            after="g (float[N,2,8] x) => (float[N,2,5] y)"
            " { y = LpPool<kernel_shape = [3], strides = [2], pads = [1, 2], p = 1>(x) }",
            opset=18,
        ),
        NearMiss(
            "g (float[1,2,H,7] x) => (float[1,2,A,3] y)"
            " { y = LpPool<kernel_shape = [3, 3], strides = [2, 2], ceil_mode = 1>(x) }",
            reason="a spatial axis is not known",
            opset=18,
        ),
        NearMiss(
            "g (float[1,2,6,7] x) => (float[1,2,2,3] y)"
            " { y = LpPool<kernel_shape = [3, 3], strides = [2, 2]>(x) }",
            reason="ceil_mode is 0",
            opset=18,
        ),
    )

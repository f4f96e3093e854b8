"""Write kernel_shape, and the padding of 3-D SAME, of Conv out, because CANN refuses without.

Why       The parser refuses a Conv that has none of kernel_shape, strides, pads and dilations, and
          a 3-D one whose auto_pad is SAME_UPPER or SAME_LOWER.
Rewrites  Conv(x, w) -> Conv<kernel_shape of w>(x, w); auto_pad SAME_* of 3-D -> pads. A 3-D Conv
          also gets strides, without which it is marked NCHW.
Leaves    Weights of unknown shape; SAME_* on spatial axes whose size is not a number, unless their
          stride is 1, or whose windows are smaller than the stride; a Conv that has it all.
Exact     exact.
Source    ops-nn common/src/framework/conv_onnx_plugin.cpp, August 2026.
"""

from graphfix.graph import Graph, Node, Shape
from graphfix.rewrite import Builder, Example, NearMiss, No, Rule, Site


class ConvAttributes(Rule):
    """Conv without kernel_shape, or 3-D with auto_pad SAME_* -> written out."""

    roots = ("Conv",)
    fixes = ("Conv/no-attributes", "Conv/auto-pad-3d", "Conv/format-3d")

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire when the shape of the weight is known and something is missing."""
        weight = node.input(1)
        if weight is None or weight.shape is None or len(weight.shape) < 3:
            return No("the shape of the weight is not known")
        kernel = [d for d in weight.shape[2:] if isinstance(d, int)]
        rank = len(weight.shape) - 2
        if len(kernel) != rank:
            return No("the shape of the weight is not known")
        changes: dict[str, list[int] | None] = {}
        has = {n: bool(node.attributes[n].ints) for n in _LISTS if n in node.attributes}
        if not has.get("kernel_shape"):
            changes["kernel_shape"] = kernel
        elif list(node.attributes["kernel_shape"].ints) != kernel:
            return No("kernel_shape does not fit the weight")
        mode = node.attributes["auto_pad"].s if "auto_pad" in node.attributes else b"NOTSET"
        if rank == 3 and mode in (b"SAME_UPPER", b"SAME_LOWER"):
            if "pads" in node.attributes and any(node.attributes["pads"].ints):
                return No("pads stand beside auto_pad, which ONNX forbids")
            x = node.input(0)
            pads = _same_pads(node, kernel, x.shape if x is not None else None, mode)
            if isinstance(pads, No):
                return pads
            changes["pads"], changes["auto_pad"] = pads, None
        if rank == 3 and not (has.get("strides") or has.get("pads") or has.get("dilations")):
            changes["strides"] = [1, 1, 1]
        if not changes:
            return No("it has its kernel_shape")
        b = Builder(node, graph)
        inputs = node.inputs if b.given(2) else node.inputs[:2]
        return b.site(b.copy(node, inputs, **changes)[0])

    examples = (
        Example(
            "g (float[N,2,8,8] x, float[3,2,5,3] w) => (float[N,3,4,6] y) { y = Conv(x, w) }",
            after="g (float[N,2,8,8] x, float[3,2,5,3] w) => (float[N,3,4,6] y) "
            "{ y = Conv<kernel_shape = [5, 3]>(x, w) }",
        ),
        Example(
            "g (float[1,2,L] x, float[1] c) => (float[1,1,M] y) "
            "<float[1,2,2] w = {1.0, 2.0, 3.0, 4.0}> { y = Conv(x, w, c) }",
            after=["Conv"],
            opset=11,
        ),
        Example(
            "g (float[1,2,4,5,6] x, float[3,2,3,2,3] w) => (float[1,3,2,3,3] y) { y = Conv"
            '<auto_pad = "SAME_LOWER", kernel_shape = [3, 2, 3], strides = [2, 2, 2]>(x, w) }',
            after="g (float[1,2,4,5,6] x, float[3,2,3,2,3] w) => (float[1,3,2,3,3] y) { y = Conv"
            "<kernel_shape = [3, 2, 3], pads = [1, 1, 1, 0, 0, 0], strides = [2, 2, 2]>(x, w) }",
        ),
        Example(
            "g (float[1,2,D,H,W] x, float[3,2,2,2,2] w) => (float[1,3,D,H,W] y) "
            '{ y = Conv<auto_pad = "SAME_UPPER", kernel_shape = [2, 2, 2]>(x, w) }',
            after="g (float[1,2,D,H,W] x, float[3,2,2,2,2] w) => (float[1,3,D,H,W] y) { y = Conv"
            "<kernel_shape = [2, 2, 2], pads = [0, 0, 0, 1, 1, 1], strides = [1, 1, 1]>(x, w) }",
            opset=13,
        ),
        NearMiss(
            "g (float[1,2,8,8] x, float[3,2,5,3] w) => (float[1,3,4,6] y) "
            "{ y = Conv<kernel_shape = [5, 3]>(x, w) }",
            reason="it has its kernel_shape",
        ),
        NearMiss(
            "g (float[1,2,8,8] x, float[3,2,K,K] w) => (float[1,3,A,B] y) { y = Conv(x, w) }",
            reason="the shape of the weight is not known",
        ),
        NearMiss(
            "g (float[1,2,D,H,W] x, float[3,2,2,2,2] w) => (float[1,3,A,B,C] y) { y = Conv"
            '<auto_pad = "SAME_UPPER", kernel_shape = [2, 2, 2], strides = [2, 2, 2]>(x, w) }',
            reason="the size of a spatial axis is not a number",
        ),
        NearMiss(
            "g (float[1,2,4,4,4] x, float[3,2,1,2,2] w) => (float[1,3,2,2,2] y) { y = Conv"
            '<auto_pad = "SAME_UPPER", strides = [2, 2, 2]>(x, w) }',
            reason="the last window ends before the input does",
        ),
    )


_LISTS = ("kernel_shape", "strides", "pads", "dilations")


def _same_pads(node: Node, kernel: list[int], shape: Shape | None, mode: bytes) -> list[int] | No:
    """Return the pads that SAME_UPPER or SAME_LOWER asks for, begins before ends."""
    rank = len(kernel)
    strides, dilations = (
        list(node.attributes[n].ints) if n in node.attributes else [] for n in _LISTS[1::2]
    )
    strides, dilations = strides or [1] * rank, dilations or [1] * rank
    if len(strides) != rank or len(dilations) != rank:
        return No("strides or dilations do not fit the weight")
    if shape is not None and len(shape) != rank + 2:
        return No("the input does not fit the weight")
    begins, ends = [], []
    for i in range(rank):
        window = (kernel[i] - 1) * dilations[i] + 1
        size = shape[i + 2] if shape is not None else None
        if strides[i] == 1:
            total = window - 1
        elif isinstance(size, int):
            total = (-(-size // strides[i]) - 1) * strides[i] + window - size
            if total < 0:
                return No("the last window ends before the input does")
        else:
            return No("the size of a spatial axis is not a number")
        begin = total // 2 if mode == b"SAME_UPPER" else total - total // 2
        begins.append(begin)
        ends.append(total - begin)
    return begins + ends

"""Write the shape attributes of ConvTranspose out, because CANN refuses or shares them.

Why       Without kernel_shape the parser refuses the node. A single entry in output_shape is
          refused, and an output_shape without auto_pad sets SAME_LOWER for all later nodes of the
          process. With a 1-D kernel auto_pad is lost.
Rewrites  kernel_shape from the weight; output_shape, auto_pad SAME_* and VALID -> pads and
          output_padding; auto_pad = NOTSET, which also ends what an earlier node has set.
Leaves    Weights of unknown shape; an output_shape where the spatial size of the input is not a
          number, or that pads cannot give; SAME_* beside output_padding or with a stride
          above the window; a node that has all of it.
Exact     exact.
Source    ops-nn common/src/framework/conv_transpose_onnx_plugin.cpp, August 2026; ONNX operator
          schema ConvTranspose-11.
"""

from graphfix.graph import Graph, Node
from graphfix.rewrite import Builder, Example, NearMiss, No, Rule, Site


class ConvTransposeShape(Rule):
    """ConvTranspose without kernel_shape, with output_shape or auto_pad -> written out."""

    roots = ("ConvTranspose",)
    fixes = (
        "ConvTranspose/kernel-shape",
        "ConvTranspose/output-shape-length",
        "ConvTranspose/leaked-auto-pad",
        "ConvTranspose/auto-pad-1d",
    )

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire when the shape of the weight is known and an attribute is missing or in the way."""
        x, weight = node.input(0), node.input(1)
        if weight is None or weight.shape is None or len(weight.shape) < 3:
            return No("the shape of the weight is not known")
        rank = len(weight.shape) - 2
        kernel = [d for d in weight.shape[2:] if isinstance(d, int)]
        if len(kernel) != rank:
            return No("the shape of the weight is not known")
        written, shape = _list(node, "kernel_shape"), _list(node, "output_shape")
        if written and written != kernel:
            return No("kernel_shape does not fit the weight")
        mode = node.attributes["auto_pad"].s if "auto_pad" in node.attributes else b"NOTSET"
        if written and not shape and mode == b"NOTSET":
            return No("it has its kernel_shape and no output_shape")
        if mode != b"NOTSET" and any(_list(node, "pads")):
            return No("pads stand beside auto_pad, which ONNX forbids")
        changes: dict[str, list[int] | str | None] = {"kernel_shape": kernel, "auto_pad": "NOTSET"}
        if shape or mode != b"NOTSET":
            sizes = x.shape[2:] if x is not None and x.shape is not None else (None,) * rank
            if len(sizes) != rank or (shape and len(shape) < rank):
                return No("the lists do not fit the weight")
            strides = _list(node, "strides") or [1] * rank
            dilations = _list(node, "dilations") or [1] * rank
            extra = _list(node, "output_padding") or [0] * rank
            if not len(strides) == len(dilations) == len(extra) == rank:
                return No("the lists do not fit the weight")
            begins, ends = [0] * rank, [0] * rank
            for i in range(rank):
                total = (kernel[i] - 1) * dilations[i] + 1 + extra[i] - strides[i]
                if shape:
                    size = sizes[i]
                    if not isinstance(size, int):
                        return No("the size of a spatial axis is not a number")
                    total += size * strides[i] - shape[len(shape) - rank + i]
                elif mode == b"VALID":
                    total = 0
                if not shape and mode != b"VALID" and (total < 0 or extra[i]):
                    return No("ONNX does not say what SAME pads here")
                if total < 0:
                    extra[i], total = extra[i] - total, 0
                    if extra[i] >= max(strides[i], dilations[i]):
                        return No("no pads give this output_shape")
                begins[i] = total // 2 if mode == b"SAME_UPPER" else total - total // 2
                ends[i] = total - begins[i]
            changes["pads"] = begins + ends
            changes["output_padding"] = extra if any(extra) else None
            changes["output_shape"] = None
        b = Builder(node, graph)
        inputs = node.inputs if b.given(2) else node.inputs[:2]
        return b.site(b.copy(node, inputs, **changes)[0])

    examples = (
        Example(
            "g (float[N,2,4,H] x, float[2,3,3,2] w) => (float[N,3,6,M] y) "
            "{ y = ConvTranspose(x, w) }",
            after="g (float[N,2,4,H] x, float[2,3,3,2] w) => (float[N,3,6,M] y) "
            '{ y = ConvTranspose<auto_pad = "NOTSET", kernel_shape = [3, 2]>(x, w) }',
        ),
        Example(
            "g (float[1,2,4] x, float[2,3,4] w) => (float[1,3,9] y) { y = ConvTranspose"
            "<kernel_shape = [4], output_shape = [9], strides = [2]>(x, w) }",
            after="g (float[1,2,4] x, float[2,3,4] w) => (float[1,3,9] y) { y = ConvTranspose"
            '<auto_pad = "NOTSET", kernel_shape = [4], pads = [1, 0], strides = [2]>(x, w) }',
            opset=11,
        ),
        Example(
            "g (float[1,2,L] x, float[2,3,4] w, float[3] c) => (float[1,3,M] y) { y = "
            'ConvTranspose<auto_pad = "SAME_UPPER", kernel_shape = [4], strides = [3]>(x, w, c) }',
            after=["ConvTranspose"],
            opset=13,
        ),
        Example(
            "g (float[1,2,3,4] x, float[2,3,2,2] w) => (float[1,3,8,7] y) { y = ConvTranspose"
            "<output_shape = [8, 7], strides = [3, 2]>(x, w) }",
            after=["ConvTranspose"],
        ),
        NearMiss(
            "g (float[1,2,4,4] x, float[2,3,3,3] w) => (float[1,3,6,6] y) "
            "{ y = ConvTranspose<kernel_shape = [3, 3]>(x, w) }",
            reason="it has its kernel_shape and no output_shape",
        ),
        NearMiss(
            "g (float[1,2,L] x, float[2,3,4] w) => (float[1,3,9] y) { y = ConvTranspose"
            "<output_shape = [9], strides = [2]>(x, w) }",
            reason="the size of a spatial axis is not a number",
        ),
        NearMiss(
            "g (float[1,2,4] x, float[2,3,K] w) => (float[1,3,M] y) { y = ConvTranspose(x, w) }",
            reason="the shape of the weight is not known",
        ),
        NearMiss(
            "g (float[1,2,4] x, float[2,3,1] w) => (float[1,3,M] y) "
            '{ y = ConvTranspose<auto_pad = "SAME_UPPER", strides = [2]>(x, w) }',
            reason="ONNX does not say what SAME pads here",
        ),
        NearMiss(
            "g (float[1,2,4] x, float[2,3,2] w) => (float[1,3,12] y) { y = ConvTranspose"
            "<output_shape = [12], strides = [2]>(x, w) }",
            reason="no pads give this output_shape",
        ),
    )


def _list(node: Node, name: str) -> list[int]:
    return list(node.attributes[name].ints) if name in node.attributes else []

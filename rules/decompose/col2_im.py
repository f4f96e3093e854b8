"""Write Col2Im as ConvTranspose, because CANN's parser refuses the pads that ONNX defines.

Why       The plugin wants two entries in pads where ONNX has four, and dilations and strides
          written out; other ranks than images it does not know.
Rewrites  Reshape of the columns to [N, channels * window, positions], ConvTranspose with one
          group for each channel and kernels of a single 1, which adds each value where it belongs.
Leaves    image_shape, block_shape, channels or columns that are not constant or not known; more
          than three spatial axes; kernels of more than 2^22 elements.
Exact     rounding: float32 within 2e-6, as overlapping values are added in another order.
Source    ops-cv common/src/framework/col2imv2_onnx_plugin.cpp, August 2026; ONNX operator schema
          Col2Im-18.
"""

import math

import numpy as np

from graphfix.graph import Graph, Node, Value
from graphfix.rewrite import Builder, Exactness, Example, NearMiss, No, Rule, Site


class DecomposeCol2Im(Rule):
    """Col2Im -> Reshape, ConvTranspose."""

    roots = ("Col2Im",)
    exactness = Exactness.ROUNDING
    fixes = ("Col2Im/pads-length", "Col2Im/missing-lists")

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire where shapes are constant."""
        x = node.input(0)
        image, block = _ints(node.input(1)), _ints(node.input(2))
        if image is None or block is None:
            return No("image_shape or block_shape is not constant")
        if x is None or x.dtype is None or x.shape is None or len(x.shape) != 3:
            return No("the shape or the element type is not known")
        area, rank = math.prod(block), len(image)
        if not 1 <= rank <= 3:
            return No(f"{rank} spatial axes, not 1 to 3")
        if not isinstance(x.shape[1], int) or not isinstance(x.shape[2], int):
            return No("the number of channels or columns is not known")
        channels = x.shape[1] // area
        lists = {key: list(node.attributes[key].ints) if key in node.attributes else default
                 for key, default in (("strides", [1] * rank), ("dilations", [1] * rank),
                                      ("pads", [0] * 2 * rank))}  # fmt: skip
        strides, dilations, pads = lists.values()
        window = [d * (k - 1) + 1 for d, k in zip(dilations, block, strict=True)]
        padded = [i + pads[a] + pads[a + rank] for a, i in enumerate(image)]
        free = [p - w for p, w in zip(padded, window, strict=True)]
        positions = [f // s + 1 for f, s in zip(free, strides, strict=True)]
        if min(free) < 0 or math.prod(positions) != x.shape[2]:
            return No("the number of columns does not fit")
        if channels * area * area > 1 << 22:
            return No("the kernels have more than 2^22 elements")
        b = Builder(node, graph)
        kernel = np.tile(np.eye(area).reshape(area, 1, *block), (channels, *[1] * (rank + 1)))
        rest = [f % s for f, s in zip(free, strides, strict=True)]
        y = b.op(
            "ConvTranspose",
            b.reshape(x.name, [0, 0, *positions]),
            b.constant(kernel, x.dtype),
            kernel_shape=block,
            strides=strides,
            dilations=dilations,
            pads=pads,
            group=channels,
            output_padding=rest if any(rest) else None,
        )
        return b.site(y)

    examples = (
        Example(
            "g (float[1,5,5] x) => (float[1,1,5,5] y) <int64[2] i = {5, 5}, int64[2] k = {1, 5}>"
            " { y = Col2Im(x, i, k) }",
            after=["Reshape", "ConvTranspose"],
            opset=18,
        ),
        Example(
            "g (float[N,8,12] x) => (float[N,2,6,7] y) <int64[2] i = {6, 7}, int64[2] k = {2, 2}>"
            " { y = Col2Im<strides = [2, 2], dilations = [1, 2], pads = [0, 1, 1, 1]>(x, i, k) }",
            after=["Reshape", "ConvTranspose"],
            opset=18,
        ),
        Example(
            "g (float[2,12,5] x) => (float[2,6,6] y) <int64[1] i = {6}, int64[1] k = {2}>"
            " { y = Col2Im(x, i, k) }",
            after=["Reshape", "ConvTranspose"],
            opset=18,
        ),
        NearMiss(
            "g (float[1,5,5] x, int64[2] i) => (float[1,1,A,B] y) <int64[2] k = {1, 5}>"
            " { y = Col2Im(x, i, k) }",
            reason="image_shape or block_shape is not constant",
            opset=18,
        ),
        NearMiss(
            "g (float[1,C,5] x) => (float[1,D,5,5] y) <int64[2] i = {5, 5}, int64[2] k = {1, 5}>"
            " { y = Col2Im(x, i, k) }",
            reason="the number of channels or columns is not known",
            opset=18,
        ),
    )


def _ints(value: Value | None) -> list[int] | None:
    if value is None or value.constant is None or value.known is None:
        return None
    return [int(i) for i in value.known.reshape(-1)]

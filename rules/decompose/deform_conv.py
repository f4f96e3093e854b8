"""Write DeformConv as GridSample and Conv, because CANN registers it at no opset.

Why       The parser of ATC does not know DeformConv (E19010); the custom operators of CANN want
          other offsets.
Rewrites  All taps of the kernel are sampled at once: offsets plus their constant base become the
          grid of a GridSample (bilinear, zeros outside), times the mask, then a 1x1 Conv over the
          channels times taps.
Leaves    Other than two spatial axes; shapes that are not known but for the batch.
Exact     rounding: float32 within 1e-4; coordinates are scaled to -1 .. 1 and back.
Source    ONNX operator schema DeformConv-19; registrations of the ops-* plugins, August 2026.
"""

import numpy as np

from graphfix.graph import Graph, Node
from graphfix.rewrite import Builder, Exactness, Example, NearMiss, No, Rule, Site

# the operators of the examples below, in topological order
_EXAMPLE_1 = [
    "Reshape", "Slice", "Squeeze", "Add", "Mul", "Add", "Unsqueeze", "Slice", "Squeeze", "Add",
    "Mul", "Add", "Unsqueeze", "Concat", "Reshape", "GridSample", "Reshape", "Reshape", "Conv",
]  # fmt: skip
_EXAMPLE_2 = [
    "Reshape", "Slice", "Squeeze", "Add", "Mul", "Add", "Unsqueeze", "Slice", "Squeeze", "Add",
    "Mul", "Add", "Unsqueeze", "Concat", "Reshape", "Reshape", "GridSample", "Reshape", "Mul",
    "Reshape", "Reshape", "Conv",
]  # fmt: skip


class DecomposeDeformConv(Rule):
    """DeformConv -> GridSample, Mul, Conv."""

    roots = ("DeformConv",)
    exactness = Exactness.ROUNDING
    fixes = ("GF101",)
    tolerance = 1e-4

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire where all shapes but the batch are known."""
        x, weight, offset = node.input(0), node.input(1), node.input(2)
        if x is None or weight is None or offset is None or x.dtype is None:
            return No("an input or its element type is not known")
        shapes = [value.shape for value in (x, weight, offset)]
        if any(shape is None or len(shape) != 4 for shape in shapes):
            return No("only two spatial axes are written out")
        dims = [d for shape, skip in zip(shapes, (1, 0, 1), strict=True) for d in shape[skip:]]
        if not all(isinstance(d, int) and d > 0 for d in dims):
            return No("a shape is not known")
        channels, height, width, results, each, rows, columns, _, high, wide = dims
        lists = {key: list(node.attributes[key].ints) if key in node.attributes else default
                 for key, default in (("strides", [1, 1]), ("dilations", [1, 1]),
                                      ("pads", [0, 0, 0, 0]))}  # fmt: skip
        groups = node.attributes["offset_group"].i if "offset_group" in node.attributes else 1
        b = Builder(node, graph)
        if b.opset < 16:
            return No("below opset 16 there is no GridSample")
        taps = rows * columns
        # [batch * groups, taps, (y, x), high, wide]
        moved = b.reshape(offset.name, [-1, taps, 2, high, wide])
        start, step, reach = lists["pads"], lists["strides"], lists["dilations"]
        coordinates = []
        for axis, (size, count, length) in enumerate(
            ((width, columns, wide), (height, rows, high))
        ):
            at = 1 - axis  # x comes first in the grid, y first in the offsets
            places = np.arange(length) * step[at] - start[at]
            inside = np.arange(count) * reach[at]
            base = inside[:, None] + places[None, :]
            if at == 0:
                base = base[:, None, :, None]
            else:
                base = base[None, :, None, :]
            base = np.broadcast_to(base, (rows, columns, high, wide)).reshape(taps, high, wide)
            part = b.squeeze(b.slice(moved, [at], [at + 1], [2]), [2])
            part = b.op("Add", part, b.constant(base.astype(np.float64), offset.dtype))
            part = b.op("Mul", part, b.scalar(2.0 / size, offset.dtype))
            part = b.op("Add", part, b.scalar(1.0 / size - 1.0, offset.dtype))
            coordinates.append(b.unsqueeze(part, [4]))
        grid = b.reshape(b.op("Concat", *coordinates, axis=4), [-1, taps * high, wide, 2])
        source = x.name
        if groups > 1:
            source = b.reshape(source, [-1, channels // groups, height, width])
        y = b.op("GridSample", source, grid, mode="bilinear", padding_mode="zeros",
                 align_corners=0)  # fmt: skip
        if b.given(4):
            mask = b.reshape(node.inputs[4], [-1, 1, taps * high, wide])
            y = b.op("Mul", y, mask)
        y = b.reshape(y, [-1, channels * taps, high, wide])
        kernel = b.reshape(weight.name, [results, each * taps, 1, 1])
        inputs = [y, kernel, *([node.inputs[3]] if b.given(3) else [])]
        group = node.attributes["group"].i if "group" in node.attributes else 1
        return b.site(b.op("Conv", *inputs, kernel_shape=[1, 1], group=group))

    examples = (
        Example(
            "g (float[1,1,3,3] x, float[1,1,2,2] w, float[1,8,4,4] o) => (float[1,1,4,4] y)"
            " { y = DeformConv<pads = [1, 1, 1, 1]>(x, w, o) }",
            after=_EXAMPLE_1,
            opset=19,
            target=18,
        ),
        Example(
            "g (float[N,4,5,6] x, float[2,2,3,1] w, float[N,12,2,3] o, float[2] b,"
            " float[N,6,2,3] m) => (float[N,2,2,3] y)"
            " { y = DeformConv<group = 2, offset_group = 2, strides = [2, 2]>(x, w, o, b, m) }",
            after=_EXAMPLE_2,
            opset=19,
            target=18,
        ),
        NearMiss(
            "g (float[1,1,H,3] x, float[1,1,2,2] w, float[1,8,P,2] o) => (float[1,1,P,2] y)"
            " { y = DeformConv(x, w, o) }",
            reason="a shape is not known",
            opset=19,
            target=18,
        ),
        NearMiss(
            "g (float[1,1,3,3] x, float[1,1,2,2] w, float[1,8,2,2] o) => (float[1,1,2,2] y)"
            " { y = DeformConv(x, w, o) }",
            reason="below opset 16 there is no GridSample",
            opset=19,
            target=15,
        ),
    )

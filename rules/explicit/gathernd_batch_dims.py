"""Put the batch position into the indices of GatherND, because CANN wants batch_dims 0.

Why       The plugin refuses any batch_dims other than 0 (EZ9999).
Rewrites  GatherND<batch_dims = b>(data, indices) -> GatherND(data, Concat(grid, indices)), where
          grid holds the b leading coordinates of every entry.
Leaves    batch_dims 0; batch dims that are not known numbers; unknown ranks.
Exact     exact.
Source    ops-nn index/gather_nd/framework/gather_nd_onnx_plugin.cpp, August 2026; ONNX operator
          schema GatherND-12.
"""

import math

import numpy as np

from graphfix.graph import Graph, Node
from graphfix.rewrite import Builder, Example, NearMiss, No, Rule, Site

# a larger grid is spread by an Add instead of being stored
_MAX_GRID = 1 << 16


class GatherNDBatchDims(Rule):
    """GatherND with batch_dims -> without, the batch position in the indices."""

    roots = ("GatherND",)
    fixes = ("GatherND/batch-dims",)

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire on a GatherND with batch_dims whose batch dims are known."""
        written = node.attributes.get("batch_dims")
        count = written.i if written is not None else 0
        if count == 0:
            return No("batch_dims is 0")
        data, indices = node.input(0), node.input(1)
        if data is None or indices is None or data.shape is None or indices.shape is None:
            return No("a rank is not known")
        if not 0 < count < min(len(data.shape), len(indices.shape)):
            return No("batch_dims is out of range")
        if indices.dtype != "int64":
            return No("the indices are not int64")
        batch = []
        for a, b in zip(data.shape[:count], indices.shape[:count], strict=True):
            known = {d for d in (a, b) if isinstance(d, int)}
            if len(known) != 1:
                return No("a batch dim is not known")
            batch.append(known.pop())
        rank = len(indices.shape)
        grid = np.moveaxis(np.indices(batch, np.int64), 0, -1)
        grid = grid.reshape(*batch, *[1] * (rank - 1 - count), count)
        b = Builder(node, graph)
        middle = [d for d in indices.shape[count:-1] if isinstance(d, int)]
        if len(middle) == rank - 1 - count and math.prod(middle) * grid.size <= _MAX_GRID:
            lead = b.constant(np.broadcast_to(grid, (*batch, *middle, count)).copy())
        else:
            column = b.slice(indices.name, [0], [1], [rank - 1])
            lead = b.op("Add", b.op("Mul", column, b.ints(0)), b.constant(grid))
        lifted = b.op("Concat", lead, indices.name, axis=rank - 1)
        return b.site(b.copy(node, [data.name, lifted], batch_dims=None)[0])

    examples = (
        Example(
            "g (float[2,3,4] x, int64[2,1] i) => (float[2,4] y)"
            " { y = GatherND<batch_dims = 1>(x, i) }",
            after="g (float[2,3,4] x, int64[2,1] i) => (float[2,4] y)"
            " <int64[2,1] b = {0, 1}> { h = Concat<axis = 1>(b, i) y = GatherND(x, h) }",
        ),
        Example(
            "g (float[2,3,4] x, int64[2,3,5,1] i) => (float[2,3,5] y)"
            " { y = GatherND<batch_dims = 2>(x, i) }",
            after=["Concat", "GatherND"],
            opset=12,
        ),
        Example(
            "g (float[2,3,4] x, int64[2,N,2] i) => (float[2,N] y)"
            " { y = GatherND<batch_dims = 1>(x, i) }",
            after=["Slice", "Mul", "Add", "Concat", "GatherND"],
        ),
        NearMiss(
            "g (float[2,3] x, int64[2,1] i) => (float[2,3] y) { y = GatherND(x, i) }",
            reason="batch_dims is 0",
        ),
        NearMiss(
            "g (float[N,3] x, int64[N,1] i) => (float[N] y) { y = GatherND<batch_dims = 1>(x, i) }",
            reason="a batch dim is not known",
        ),
        NearMiss(
            "g (float[] x, int64[2,1] i) => (float[] y) { y = GatherND<batch_dims = 1>(x, i) }",
            reason="a rank is not known",
        ),
    )

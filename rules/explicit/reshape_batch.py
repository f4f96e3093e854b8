"""Take a traced batch size out of Reshape, so that profiles can change it.

Why       Tracing writes the batch of the example into shapes. A model whose input is open still
          works at that size alone, and --dynamic_batch_size or gears fail at the others.
Rewrites  Reshape(x[N, ...], [2, a, b]) -> [0, a, b] or [-1, a, b], where x fills whole batches.
Leaves    Shapes that are computed or hold 0 or -1; data whose first dim is fixed; Expand, which
          takes a batch of 1 to the traced one, so that its result at 1 would change; Split along
          the batch, whose outputs are as many as the traced rows.
Exact     exact at the traced size; at others, at which the original fails, each batch of the traced
          size is computed as the original would. Proved at that size and at twice that.
Source    ONNX operator schema Reshape-14; ATC, --dynamic_batch_size.
"""

from dataclasses import replace

import numpy as np

from graphfix.graph import Graph, Node
from graphfix.rewrite import Builder, Example, NearMiss, No, Rule, Site


class ReshapeBatch(Rule):
    """Reshape to a traced batch -> to any batch."""

    roots = ("Reshape",)
    optional = True

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire where the first dim of the data is a symbol and the constant shape fixes it."""
        x, dims = node.input(0), node.input(1)
        if x is None or not x.shape or isinstance(x.shape[0], int):
            return No("the first dim of the data is not open")
        if any(not isinstance(dim, int) for dim in x.shape[1:]):
            return No("another dim of the data is open as well")
        if dims is None or dims.constant is None or dims.known is None:
            return No("the shape is no constant")
        wanted = [int(d) for d in dims.known.reshape(-1)]
        if not wanted or any(d <= 0 for d in wanted):
            return No("the shape holds 0 or -1 already")
        row = int(np.prod([int(d) for d in x.shape[1:] if isinstance(d, int)], dtype=np.int64))
        inner = int(np.prod(wanted[1:], dtype=np.int64))
        if not row or (wanted[0] * inner) % row:
            return No("the rows do not fill whole batches")
        size, first = wanted[0] * inner // row, 0 if inner == row else -1
        b = Builder(node, graph)
        site = b.site(b.op("Reshape", x.name, b.ints(first, *wanted[1:])))
        return replace(site, batch=(x.shape[0] or "", size))

    examples = (
        Example(
            "g (float[N,3,4] x) => (float[2,12] y) <int64[2] s = {2, 12}> { y = Reshape(x, s) }",
            after="g (float[N,3,4] x) => (float[2,12] y) <int64[2] s = {0, 12}> "
            "{ y = Reshape(x, s) }",
        ),
        Example(
            "g (float[N,6,4] x) => (float[4,3,4] y) <int64[3] s = {4, 3, 4}> { y = Reshape(x, s) }",
            after="g (float[N,6,4] x) => (float[4,3,4] y) <int64[3] s = {-1, 3, 4}> "
            "{ y = Reshape(x, s) }",
            opset=13,
        ),
        NearMiss(
            "g (float[2,3,4] x) => (float[2,12] y) <int64[2] s = {2, 12}> { y = Reshape(x, s) }",
            reason="the first dim of the data is not open",
        ),
        NearMiss(
            "g (float[N,M,4] x) => (float[2,12] y) <int64[2] s = {2, 12}> { y = Reshape(x, s) }",
            reason="another dim of the data is open as well",
        ),
        NearMiss(
            "g (float[N,3,4] x) => (float[N,12] y) <int64[2] s = {-1, 12}> { y = Reshape(x, s) }",
            reason="the shape holds 0 or -1 already",
        ),
        NearMiss(
            "g (float[N,3,4] x, int64[2] s) => (float[A,B] y) { y = Reshape(x, s) }",
            reason="the shape is no constant",
        ),
        NearMiss(
            "g (float[N,5] x) => (float[3,8] y) <int64[2] s = {3, 8}> { y = Reshape(x, s) }",
            reason="the rows do not fill whole batches",
        ),
    )

"""Write GlobalMaxPool as ReduceMax, because CANN names the spatial axes of 4-D inputs only.

Why       The plugin reduces axis 2 and the last one: of 5-D and larger inputs the axes between
          stay, and for 3-D ones the same axis is named twice.
Rewrites  GlobalMaxPool(x) -> ReduceMax<axes = 2 .. rank - 1, keepdims = 1>(x), rank 3, 5 and more.
Leaves    4-D inputs, which CANN reduces as ONNX does; unknown ranks.
Exact     the same for finite numbers; where a NaN is among them ONNX says nothing.
Source    ops-nn common/src/framework/global_max_pool_onnx_plugin.cpp, August 2026.
"""

from graphfix.graph import Graph, Node
from graphfix.rewrite import Builder, Exactness, Example, NearMiss, No, Rule, Site


class GlobalMaxPool(Rule):
    """GlobalMaxPool of other ranks than 4 -> ReduceMax."""

    roots = ("GlobalMaxPool",)
    exactness = Exactness.ROUNDING
    fixes = (
        "GlobalMaxPool/five-dimensions",
        "GlobalMaxPool/more-dimensions",
        "GlobalMaxPool/three-dimensions",
    )
    tolerance = 0.0

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire on an input of known rank other than 4."""
        x = node.input(0)
        if x is None or x.shape is None:
            return No("the rank is not known")
        rank = len(x.shape)
        if rank == 4:
            return No("CANN reduces both axes of a 4-D input")
        if rank < 3:
            return No("there is no spatial axis")
        b = Builder(node, graph)
        return b.site(b.reduce("ReduceMax", x.name, range(2, rank)))

    examples = (
        Example(
            "g (float[N,2,3,4,5] x) => (float[N,2,1,1,1] y) { y = GlobalMaxPool(x) }",
            after="g (float[N,2,3,4,5] x) => (float[N,2,1,1,1] y) "
            "{ y = ReduceMax<axes = [2, 3, 4], keepdims = 1>(x) }",
        ),
        Example(
            "g (float[2,3,D,H,W] x) => (float[2,3,1,1,1] y) { y = GlobalMaxPool(x) }",
            after="g (float[2,3,D,H,W] x) => (float[2,3,1,1,1] y) <int64[3] a = {2, 3, 4}> "
            "{ y = ReduceMax<keepdims = 1>(x, a) }",
            opset=18,
        ),
        NearMiss(
            "g (float[1,2,3,4] x) => (float[1,2,1,1] y) { y = GlobalMaxPool(x) }",
            reason="CANN reduces both axes of a 4-D input",
        ),
        NearMiss(
            "g (float[] x) => (float[] y) { y = GlobalMaxPool(x) }",
            reason="the rank is not known",
        ),
    )

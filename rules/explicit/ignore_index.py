"""Write ignore_index of SoftmaxCrossEntropyLoss out, because CANN puts 0 for one left out.

Why       Without ignore_index ONNX counts every label; GE takes 0 and so leaves out class 0.
Rewrites  The same node with ignore_index = -100, which no label can be: labels are classes, counted
          from 0.
Leaves    A node that has its ignore_index; constant labels of which one is negative.
Exact     rounding: a mean becomes the sum divided by the count; float32 within 2e-6.
Source    ops-nn common/src/framework/softmax_cross_entropy_loss_onnx_plugin.cpp, August 2026; ONNX
          operator schema SoftmaxCrossEntropyLoss-13.
"""

from graphfix.graph import Graph, Node
from graphfix.rewrite import Builder, Exactness, Example, NearMiss, No, Rule, Site

_NO_LABEL = -100


class IgnoreIndex(Rule):
    """SoftmaxCrossEntropyLoss without ignore_index -> with one that no label takes."""

    roots = ("SoftmaxCrossEntropyLoss",)
    exactness = Exactness.ROUNDING
    fixes = ("SoftmaxCrossEntropyLoss/ignore-index",)

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire where ignore_index is left out."""
        if "ignore_index" in node.attributes:
            return No("ignore_index is written out")
        labels = node.input(1)
        if labels is None or not node.outputs or not node.outputs[0]:
            return No("the labels or the loss are missing")
        if labels.known is not None and bool((labels.known < 0).any()):
            return No("a label is negative")
        b = Builder(node, graph)
        made = b.copy(node, ignore_index=_NO_LABEL)
        return b.site({old: new for old, new in zip(node.outputs, made, strict=True) if old})

    examples = (
        Example(
            "g (float[N,5] x, int64[N] t) => (float y) { y = SoftmaxCrossEntropyLoss(x, t) }",
            after="g (float[N,5] x, int64[N] t) => (float y)"
            " { y = SoftmaxCrossEntropyLoss<ignore_index = -100>(x, t) }",
        ),
        Example(
            "g (float[4,5,2] x, int32[4,2] t, float[5] w) => (float[4,2] y, float[4,5,2] p)"
            ' { y, p = SoftmaxCrossEntropyLoss<reduction = "none">(x, t, w) }',
            after="g (float[4,5,2] x, int32[4,2] t, float[5] w) => (float[4,2] y, float[4,5,2] p)"
            ' { y, p = SoftmaxCrossEntropyLoss<reduction = "none", ignore_index = -100>(x, t, w) }',
            opset=12,
        ),
        Example(
            "g (float[3,4] x) => (float y) <int64[3] t = {0, 3, 1}>"
            ' { y = SoftmaxCrossEntropyLoss<reduction = "sum">(x, t) }',
            after="g (float[3,4] x) => (float y) <int64[3] t = {0, 3, 1}>"
            ' { y = SoftmaxCrossEntropyLoss<reduction = "sum", ignore_index = -100>(x, t) }',
            opset=13,
        ),
        NearMiss(
            "g (float[4,5] x, int64[4] t) => (float y)"
            " { y = SoftmaxCrossEntropyLoss<ignore_index = 0>(x, t) }",
            reason="ignore_index is written out",
        ),
        NearMiss(
            "g (float[3,4] x) => (float y) <int64[3] t = {0, -100, 1}>"
            " { y = SoftmaxCrossEntropyLoss(x, t) }",
            reason="a label is negative",
        ),
    )

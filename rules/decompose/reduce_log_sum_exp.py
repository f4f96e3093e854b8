"""Write ReduceLogSumExp out, where no kernel takes its element type.

Why       CANN has no kernel of ReduceLogSumExp for double.
Rewrites  m = ReduceMax(x), kept finite by Min and Max; Log(ReduceSum(Exp(x - m))) + m, so that
          nothing overflows.
Leaves    Axes that are not constant; types that a kernel takes, as the gate sees; integers.
Exact     rounding: within 2e-6, double within 1e-12.
Source    Kernel tables of CANN 8.1.RC1; ONNX operator schema ReduceLogSumExp-18.
"""

import numpy as np

from graphfix.graph import Graph, Node, dtypes
from graphfix.rewrite import Builder, Exactness, Example, NearMiss, No, Rule, Site


class DecomposeReduceLogSumExp(Rule):
    """ReduceLogSumExp -> ReduceMax, Sub, Exp, ReduceSum, Log, Add."""

    roots = ("ReduceLogSumExp",)
    exactness = Exactness.ROUNDING
    fixes = ("GF303", "ReduceLogSumExp/dtype")

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire on floats with known axes."""
        x = node.input(0)
        if x is None or x.dtype not in dtypes.FLOATS or x.shape is None:
            return No("the input is not known to be floats of known rank")
        axes = [*node.attributes["axes"].ints] if "axes" in node.attributes else []
        given = node.input(1)
        if given is not None:
            if given.constant is None or given.known is None:
                return No("the axes are not constant")
            axes = [int(axis) for axis in given.known.reshape(-1)]
        if not axes:
            if "noop_with_empty_axes" in node.attributes and (
                node.attributes["noop_with_empty_axes"].i != 0
            ):
                return No("no axis is reduced")
            axes = list(range(len(x.shape)))
        if any(not -len(x.shape) <= axis < len(x.shape) for axis in axes):
            return No("axes are out of range")
        axes = sorted({axis % len(x.shape) for axis in axes})
        keepdims = "keepdims" not in node.attributes or node.attributes["keepdims"].i != 0
        b = Builder(node, graph)
        top = b.reduce("ReduceMax", x.name, axes)
        # an infinity less itself is NaN; less any number it stays what it is
        largest = float(np.finfo(dtypes.numpy_dtype(dtypes.NUMBERS[x.dtype]) or np.float64).max)
        top = b.op("Max", b.op("Min", top, b.scalar(largest, x)), b.scalar(-largest, x))
        total = b.reduce("ReduceSum", b.op("Exp", b.op("Sub", x.name, top)), axes)
        y = b.op("Add", b.op("Log", total), top)
        return b.site(y if keepdims else b.squeeze(y, axes))

    examples = (
        Example(
            "g (double[2,3,4] x) => (double[2,1,4] y) { y = ReduceLogSumExp<axes = [1]>(x) }",
            after=["ReduceMax", "Min", "Max", "Sub", "Exp", "ReduceSum", "Log", "Add"],
            opset=13,
        ),
        Example(
            "g (double[N,3,4] x) => (double[N] y) <int64[2] a = {1, -1}>"
            " { y = ReduceLogSumExp<keepdims = 0>(x, a) }",
            after=["ReduceMax", "Min", "Max", "Sub", "Exp", "ReduceSum", "Log", "Add", "Squeeze"],
            opset=18,
        ),
        NearMiss(
            "g (double[2,3] x, int64[1] a) => (double[2,1] y) { y = ReduceLogSumExp(x, a) }",
            reason="the axes are not constant",
            opset=18,
        ),
        NearMiss(
            "g (float[2,3] x) => (float[2,1] y) { y = ReduceLogSumExp<axes = [1]>(x) }",
            reason="it would not lower the potential",
        ),
    )

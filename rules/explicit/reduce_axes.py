"""Write the axes of reductions where CANN finds them, or spell the reduction out.

Why       ReduceL1 and ReduceL2 have no registration at opset 18, ReduceSumSquare takes no axes
          input; without axes ReduceSumSquare and, below 13, ReduceLogSum reduce nothing or the
          unknown; an axes input that is listed empty is refused; noop_with_empty_axes is not
          declared in 8.1.
Rewrites  at opset 18: ReduceL1 -> Abs, ReduceSum; ReduceSumSquare -> Mul, ReduceSum; ReduceL2 ->
          Mul, ReduceSum, Sqrt; ReduceSumSquare and ReduceLogSum without axes -> with all axes;
          noop_with_empty_axes without axes -> the elementwise part alone; axes that change between
          attribute and input on the way to another opset.
Leaves    Axes that are not constant where they would have to be written; reductions that CANN reads
          as they are; ReduceL2 of integers.
Exact     rounding: float32 within 5e-6.
Source    ops-math reduce_*_onnx_plugin.cpp and square_sum_v1, August 2026; prototypes of 8.1.RC1.
"""

from graphfix.graph import Graph, Node, dtypes
from graphfix.rewrite import Builder, Exactness, Example, NearMiss, No, Rule, Site

_SPELLED_OUT = ("ReduceL1", "ReduceL2", "ReduceSumSquare")
# what is left of a reduction that reduces no axis: these change the numbers, the others nothing
_ELEMENTWISE = {"ReduceL1": "Abs", "ReduceL2": "Abs", "ReduceLogSum": "Log"}


class ReduceAxes(Rule):
    """Reductions with missing, misplaced or unreadable axes -> a form that CANN reads."""

    roots = (
        "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean",
        "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare",
    )  # fmt: skip
    exactness = Exactness.ROUNDING
    fixes = (
        "GF101",
        "ReduceSumSquare/no-axes",
        "ReduceLogSum/no-axes",
        "ReduceLogSum/noop-8.1",
        "ReduceLogSumExp/noop-8.1",
        "ReduceMax/noop-8.1",
        "ReduceSum/noop-8.1",
        "ReduceMin/noop-8.1",
        "ReduceProd/noop-8.1",
        "ReduceSumSquare/noop-8.1",
    )
    is_local = True
    tolerance = 5e-6

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire where the axes are known and their form, or the operator, does not do."""
        x, b = node.input(0), Builder(node, graph)
        if x is None or x.dtype is None:
            return No("the element type is not known")
        changed_at = 13 if node.op_type == "ReduceSum" else 18
        was_input = (graph.model.opset or 0) >= changed_at
        becomes_input = b.opset >= changed_at
        axes = [int(a) for a in node.attributes["axes"].ints] if "axes" in node.attributes else []
        keepdims = "keepdims" not in node.attributes or node.attributes["keepdims"].i == 1
        spelled_out = node.op_type in _SPELLED_OUT and becomes_input
        if was_input:
            given = node.input(1)
            noop = "noop_with_empty_axes" in node.attributes and (
                node.attributes["noop_with_empty_axes"].i == 1
            )
            if given is not None and given.known is None:
                if spelled_out and not noop:
                    return self._spelled_out(node, b, x.dtype, given.name, keepdims)
                return No("the axes are not constant")
            known = given.known if given is not None else None
            axes = [int(a) for a in known.reshape(-1)] if known is not None else []
            if noop and not axes:
                return self._elementwise(node, b)
        if spelled_out:
            return self._spelled_out(node, b, x.dtype, axes or None, keepdims)
        needs_axes = not axes and (
            node.op_type == "ReduceSumSquare" or (node.op_type == "ReduceLogSum" and b.opset < 13)
        )
        listed_empty = len(node.inputs) > 1 and not node.inputs[1]
        if not (needs_axes or listed_empty or was_input != becomes_input):
            return No("CANN reads its axes as they are")
        if needs_axes:
            if not x.shape:
                return No("the rank is not known or 0")
            axes = list(range(len(x.shape)))
        return b.site(b.reduce(node.op_type, x.name, axes or None, keepdims))

    def _elementwise(self, node: Node, b: Builder) -> Site:
        x = node.inputs[0]
        if node.op_type == "ReduceSumSquare":
            return b.site(b.op("Mul", x, x))
        return b.site(b.op(_ELEMENTWISE.get(node.op_type, "Identity"), x))

    def _spelled_out(
        self, node: Node, b: Builder, dtype: str, axes: str | list[int] | None, keepdims: bool
    ) -> Site | No:
        x = node.inputs[0]
        if node.op_type == "ReduceL2" and dtype not in dtypes.FLOATS:
            return No("there is no square root of integers")
        inner = b.op("Abs", x) if node.op_type == "ReduceL1" else b.op("Mul", x, x)
        if isinstance(axes, str):  # a value that is known only when the model runs
            total = b.op("ReduceSum", inner, axes, keepdims=int(keepdims))
        else:
            total = b.reduce("ReduceSum", inner, axes, keepdims)
        return b.site(b.op("Sqrt", total) if node.op_type == "ReduceL2" else total)

    examples = (
        Example(
            "g (float[2,3,N] x) => (float[2,1,N] y) <int64[1] a = {1}> { y = ReduceL1(x, a) }",
            after="g (float[2,3,N] x) => (float[2,1,N] y) <int64[1] a = {1}> "
            "{ h = Abs(x)  y = ReduceSum<keepdims = 1>(h, a) }",
            opset=18,
        ),
        Example(
            "g (float[2,3,N] x) => (float[N] y) <int64[2] a = {-2, -3}> "
            "{ y = ReduceL2<keepdims = 0>(x, a) }",
            after=["Mul", "ReduceSum", "Sqrt"],
            opset=18,
        ),
        Example(
            "g (float[2,3] x) => (float[1,1] y) { y = ReduceSumSquare(x) }",
            after="g (float[2,3] x) => (float[1,1] y) "
            "{ y = ReduceSumSquare<axes = [0, 1], keepdims = 1>(x) }",
        ),
        Example(
            "g (float[2,3] x) => (float y) { h = Exp(x)  y = ReduceLogSum<keepdims = 0>(h) }",
            after=["Exp", "ReduceLogSum"],
            opset=11,
        ),
        Example(
            "g (float[2,3] x) => (float[2,3] y) { y = ReduceMax<noop_with_empty_axes = 1>(x) }",
            after=["Identity"],
            opset=18,
        ),
        Example(
            "g (float[2,3] x) => (float[2,1] y) <int64[1] a = {1}> { y = ReduceSumSquare(x, a) }",
            after=["Mul", "ReduceSum"],
            opset=18,
        ),
        Example(
            "g (float[2,3] x) => (float[2] y) <int64[1] a = {1}> "
            "{ y = ReduceL2<keepdims = 0>(x, a) }",
            after="g (float[2,3] x) => (float[2] y) { y = ReduceL2<axes = [1], keepdims = 0>(x) }",
            opset=18,
            target=17,
        ),
        Example(
            "g (float[2,3] x, int64[1] a) => (float[M,N] y) { y = ReduceL2(x, a) }",
            after="g (float[2,3] x, int64[1] a) => (float[M,N] y) "
            "{ h = Mul(x, x)  s = ReduceSum<keepdims = 1>(h, a)  y = Sqrt(s) }",
            opset=18,
        ),
        Example(
            "g (float[2,3] x) => (float[2,1] y) { y = ReduceL1<axes = [1]>(x) }",
            after=["Abs", "ReduceSum"],
            opset=17,
            target=18,
        ),
        NearMiss(
            "g (float[2,3] x, int64[1] a) => (float[M,N] y) {"
            " y = ReduceL1<noop_with_empty_axes = 1>(x, a) }",
            reason="the axes are not constant",
            opset=18,
        ),
        NearMiss(
            "g (float[2,3] x) => (float[2,1] y) { y = ReduceMean<axes = [1]>(x) }",
            reason="CANN reads its axes as they are",
        ),
        NearMiss(
            "g (int32[2,3] x) => (int32[2,1] y) <int64[1] a = {1}> { y = ReduceL2(x, a) }",
            reason="there is no square root of integers",
            opset=18,
        ),
        NearMiss(
            "g (float[] x) => (float[] y) { y = ReduceSumSquare(x) }",
            reason="the rank is not known or 0",
        ),
    )

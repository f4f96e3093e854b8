"""Spell out what Softmax works along below opset 13, because CANN takes the axis alone.

Why       Below opset 13 Softmax, LogSoftmax and Hardmax flatten the input at the axis (1 when left
          out) and work along all axes from there on; CANN works along the one axis, the last one
          when none is written.
Rewrites  op<axis>(x) -> Reshape(op<axis>(Reshape(x, [0, ..., -1])), dims of x);
          op<axis>(x) with the axis written out where all axes behind it are 1;
          going below opset 13: Transpose(op<last axis>(Transpose(x))).
Leaves    Opset 13 and later as long as the model stays there; unknown ranks; empty inputs.
Exact     exact.
Source    ops-nn activation/softmax_v2/framework/softmax_onnx_plugin.cpp, log_softmax_v2 and
          hardmax alike, August 2026; ONNX operator schemas Softmax-11 and -13.
"""

from graphfix.graph import Graph, Node
from graphfix.rewrite import Builder, Example, NearMiss, No, Rule, Site


class SoftmaxAxis(Rule):
    """Softmax, LogSoftmax, Hardmax of opsets below 13 -> along one written axis."""

    roots = ("Softmax", "LogSoftmax", "Hardmax")
    fixes = (
        "Softmax/old-flattening",
        "LogSoftmax/axis-omitted",
        "LogSoftmax/axis-flattening",
        "Hardmax/axis-omitted",
        "Hardmax/axis-flattening",
    )
    is_local = True

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire where the node's opset and the one to write for are not both 13 or later."""
        x = node.input(0)
        b = Builder(node, graph)
        flattens = (graph.model.opset or 0) < 13
        if not flattens and b.opset >= 13:
            return No("from opset 13 on it works along one axis")
        if x is None or x.shape is None:
            return No("the rank is not known")
        rank = len(x.shape)
        axis = 1 if flattens else -1
        if "axis" in node.attributes:
            axis = int(node.attributes["axis"].i)
        if not -rank <= axis < rank:
            return No("the axis lies outside the input")
        axis %= rank
        behind = x.shape[axis + 1 :]
        if all(dim == 1 for dim in behind):
            if flattens and b.opset < 13 and "axis" in node.attributes:
                return No("nothing lies behind the axis")
            return b.site(b.copy(node, axis=axis)[0])
        if not flattens:
            order = [*range(rank)]
            order[axis], order[-1] = order[-1], order[axis]
            turned = b.op("Transpose", x.name, perm=order)
            result = b.copy(node, [turned], axis=rank - 1)[0]
            return b.site(b.op("Transpose", result, perm=order))
        if 0 in x.shape:
            return No("the input is empty")
        # a leading 1 keeps what would be a vector two-dimensional
        flat = b.reshape(x.name, [0] * axis + [-1] if axis else [1, -1])
        result = b.copy(node, [flat], axis=max(axis, 1))[0]
        dims = [dim if isinstance(dim, int) else -1 for dim in x.shape[axis:]]
        if dims.count(-1) > 1:
            return b.site(b.op("Reshape", result, b.op("Shape", x.name)))
        return b.site(b.reshape(result, [0] * axis + dims))

    examples = (
        Example(
            "g (float[N,3,4] x) => (float[N,3,4] y) { y = Softmax(x) }",
            after="g (float[N,3,4] x) => (float[N,3,4] y) "
            "<int64[2] a = {0, -1}, int64[3] c = {0, 3, 4}> "
            "{ h = Reshape(x, a)  s = Softmax<axis = 1>(h)  y = Reshape(s, c) }",
            opset=11,
        ),
        Example(
            "g (float[2,3,H,4] x) => (float[2,3,H,4] y) { y = LogSoftmax<axis = -2>(x) }",
            after="g (float[2,3,H,4] x) => (float[2,3,H,4] y) "
            "<int64[3] a = {0, 0, -1}, int64[4] c = {0, 0, -1, 4}> "
            "{ h = Reshape(x, a)  s = LogSoftmax<axis = 2>(h)  y = Reshape(s, c) }",
            opset=12,
        ),
        Example(
            "g (float[2,H,W] x) => (float[2,H,W] y) { y = Hardmax(x) }",
            after=["Reshape", "Hardmax", "Shape", "Reshape"],
            opset=12,
        ),
        Example(
            "g (float[2,3] x) => (float[2,3] y) { y = Softmax<axis = 0>(x) }",
            after=["Reshape", "Softmax", "Reshape"],
            opset=11,
        ),
        Example(
            "g (float[2,3,1,1] x) => (float[2,3,1,1] y) { y = LogSoftmax(x) }",
            after="g (float[2,3,1,1] x) => (float[2,3,1,1] y) { y = LogSoftmax<axis = 1>(x) }",
            opset=12,
        ),
        Example(
            "g (float[2,3,4] x) => (float[2,3,4] y) { y = LogSoftmax<axis = 1>(x) }",
            after="g (float[2,3,4] x) => (float[2,3,4] y) "
            "{ h = Transpose<perm = [0, 2, 1]>(x)  s = LogSoftmax<axis = 2>(h) "
            " y = Transpose<perm = [0, 2, 1]>(s) }",
            opset=17,
            target=12,
        ),
        NearMiss(
            "g (float[2,3,4] x) => (float[2,3,4] y) { y = Softmax<axis = 1>(x) }",
            reason="from opset 13 on it works along one axis",
            opset=13,
        ),
        NearMiss(
            "g (float[2,3,4] x) => (float[2,3,4] y) { y = Softmax<axis = -1>(x) }",
            reason="nothing lies behind the axis",
            opset=11,
        ),
        NearMiss(
            "g (float[] x) => (float[] y) { y = Softmax(x) }",
            reason="the rank is not known",
            opset=11,
        ),
    )

"""Write the lengths of Split out, because CANN counts num_outputs while it parses.

Why       With num_outputs the parser reads the shape of the input, which it knows of graph inputs
          only (SIGSEGV otherwise), and refuses negative axes and uneven parts.
Rewrites  Split<num_outputs = n>(x) -> Split(x, lengths), the last part smaller where uneven; also
          a Split into equal parts of the older opsets, where it goes to 18 or lists an empty name.
Leaves    A Split that has its lengths; a dim at the axis that is no number; counts that disagree.
Exact     exact.
Source    ops-math conversion/split_d/framework/split_onnx_plugin.cpp, August 2026.
"""

from graphfix.graph import Graph, Node
from graphfix.rewrite import Builder, Example, NearMiss, No, Rule, Site


class SplitSizes(Rule):
    """Split without lengths -> with lengths."""

    roots = ("Split",)
    fixes = (
        "Split/num-outputs-unseen-rank",
        "Split/num-outputs-negative-axis",
        "Split/num-outputs-dynamic",
        "Split/num-outputs-uneven",
    )
    is_local = True

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire on a Split without lengths whose dim at the axis is a number."""
        x = node.input(0)
        b = Builder(node, graph)
        if b.given(1) or "split" in node.attributes:
            return No("its lengths are written out")
        if x is None or x.shape is None:
            return No("the rank is not known")
        axis = int(node.attributes["axis"].i) if "axis" in node.attributes else 0
        if not -len(x.shape) <= axis < len(x.shape):
            return No("the axis lies outside the input")
        axis %= len(x.shape)
        dim, count = x.shape[axis], len(node.outputs)
        if not isinstance(dim, int):
            return No("the dim at the axis is not a number")
        if (graph.model.opset or 0) >= 18:
            if "num_outputs" not in node.attributes or node.attributes["num_outputs"].i != count:
                return No("num_outputs and the outputs disagree")
            part = -(-dim // count)
        else:
            if dim % count:
                return No("the parts are not equal, which this opset asks for")
            part = dim // count
        sizes = [part] * (count - 1) + [dim - part * (count - 1)]
        if sizes[-1] < 0:
            return No("there are more parts than elements")
        names = b.split(x.name, sizes, axis)
        return b.site({o: n for o, n in zip(node.outputs, names, strict=True) if o})

    examples = (
        Example(
            "g (float[2,7] x) => (float[2,3] y, float[2,3] z, float[2,1] w) "
            "{ y, z, w = Split<axis = 1, num_outputs = 3>(x) }",
            after="g (float[2,7] x) => (float[2,3] y, float[2,3] z, float[2,1] w) "
            "<int64[3] s = {3, 3, 1}> { y, z, w = Split<axis = 1>(x, s) }",
            opset=18,
        ),
        Example(
            "g (float[N,4] x) => (float[N,2] y) "
            "{ h = Relu(x)  a, c = Split<axis = -1, num_outputs = 2>(h)  y = Add(a, c) }",
            after=["Relu", "Split", "Add"],
            opset=18,
        ),
        Example(
            "g (float[5,N] x) => (float[3,N] y, float[2,N] z) { y, z = Split<num_outputs = 2>(x) }",
            after="g (float[5,N] x) => (float[3,N] y, float[2,N] z) <int64[2] s = {3, 2}> "
            "{ y, z = Split<axis = 0>(x, s) }",
            opset=20,
            target=17,
        ),
        Example(
            "g (float[4,N] x) => (float[2,N] y, float[2,N] z) { y, z = Split(x) }",
            after=["Split"],
            opset=17,
            target=18,
        ),
        NearMiss(
            "g (float[4] x) => (float[3] y, float[1] z) <int64[2] s = {3, 1}> "
            "{ y, z = Split(x, s) }",
            reason="its lengths are written out",
            opset=18,
        ),
        NearMiss(
            "g (float[N] x) => (float[A] y, float[B] z) "
            "{ h = Relu(x)  y, z = Split<num_outputs = 2>(h) }",
            reason="the dim at the axis is not a number",
            opset=18,
        ),
        NearMiss(
            "g (float[5] x) => (float[A] y, float[B] z, float[C] v, float[D] w) "
            "{ y, z, v, w = Split<num_outputs = 4>(x) }",
            reason="there are more parts than elements",
            opset=18,
        ),
    )

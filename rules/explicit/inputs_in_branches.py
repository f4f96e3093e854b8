"""Give optional inputs in a branch a value, because the adapter of If takes no empty names.

Why       The adapter hands everything that a branch uses in as captured tensors, empty names
          included, and finds no tensor of that name (E19999).
Rewrites  LSTM, GRU: a bias of zeros, the full length for sequence_lens, states of zeros;
          Resize: empty tensors for roi and scales.
Leaves    Nodes outside of branches; peepholes; recurrent layers of unknown element type or weights.
Exact     exact for numbers; of NaN ONNX Runtime makes something else where lengths are given.
Source    GE parser, subgraphs of If, August 2026; ONNX operator schemas LSTM-14, GRU-14, Resize-13.
"""

import numpy as np

from graphfix.graph import Graph, Node, dtypes
from graphfix.rewrite import Builder, Exactness, Example, NearMiss, No, Rule, Site

_RECURRENT = ("LSTM", "GRU")


class InputsInBranches(Rule):
    """An input left empty in a branch -> its default, written out."""

    roots = (*_RECURRENT, "Resize")
    exactness = Exactness.ROUNDING  # ONNX Runtime loses NaN where sequence_lens is given
    fixes = ("GF120",)

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire on a node of a branch with an empty name before its last input."""
        if "" not in node.inputs:
            return No("no input is left empty")
        if node.graph.owner is None:
            return No("it lies in no branch")
        b = Builder(node, graph)
        inputs = list(node.inputs)
        while not inputs[-1]:
            inputs.pop()
        if node.op_type == "Resize":
            if b.opset < 13:
                return No("below opset 13 Resize leaves nothing out")
            x = node.input(0)
            for i in (1, 2):
                if i < len(inputs) and not inputs[i]:
                    roi = "float32" if i == 2 or x is None or not x.dtype else x.dtype
                    if roi not in dtypes.FLOATS:
                        roi = "float32"
                    inputs[i] = b.constant(np.zeros(0), roi)
        else:
            problem = _fill(b, node, inputs)
            if problem is not None:
                return problem
        if "" in inputs:
            return No("one more input is left empty, whose default is not written out")
        names = b.copy(node, inputs)
        return b.site({old: new for old, new in zip(node.outputs, names, strict=True) if old})

    examples = (
        Example(
            """
            g (bool c, float[2,N,4] x, float[1,8,4] w, float[1,8,2] r, float[1,N,2] h)
            => (float[1,N,2] y) {
                y = If (c) <
                    then_branch = t () => (float[1,N,2] a) {
                        p, a = LSTM<hidden_size = 2>(x, w, r, "", "", h)
                    },
                    else_branch = e () => (float[1,N,2] b) { b = Neg(h) }
                >
            }
            """,
            after=["If"],
        ),
        Example(
            """
            g (bool c, float[1,1,4,4] x) => (float[1,1,8,8] y)
            <int64[4] s = {1, 1, 8, 8}, int64[4] n = {1, 1, 2, 2}> {
                y = If (c) <
                    then_branch = t () => (float[1,1,8,8] a) {
                        a = Resize<mode = "linear">(x, "", "", s)
                    },
                    else_branch = e () => (float[1,1,8,8] b) { b = Tile(x, n) }
                >
            }
            """,
            after=["If"],
        ),
        NearMiss(
            "g (float[2,3,4] x, float[1,8,4] w, float[1,8,2] r, float[1,3,2] h)"
            ' => (float[2,1,3,2] y) { y = LSTM<hidden_size = 2>(x, w, r, "", "", h) }',
            reason="it lies in no branch",
        ),
        NearMiss(
            """
            g (bool c, float[2,3,4] x, float[1,8,4] w, float[1,8,2] r) => (float[2,1,3,2] y) {
                y = If (c) <
                    then_branch = t () => (float[2,1,3,2] a) {
                        a = LSTM<hidden_size = 2>(x, w, r)
                    },
                    else_branch = e () => (float[2,1,3,2] b) {
                        b = LSTM<hidden_size = 2>(x, w, r)
                    }
                >
            }
            """,
            reason="no input is left empty",
        ),
    )


def _fill(b: Builder, node: Node, inputs: list[str]) -> No | None:
    """Write the defaults of a recurrent layer into the inputs that are left empty."""
    x, weight, recurrent = (node.input(i) for i in range(3))
    if x is None or x.dtype is None:
        return No("the element type is not known")
    if "layout" in node.attributes and node.attributes["layout"].i != 0:
        return No("layout is 1")
    shapes = [v.shape if v is not None and v.shape else (None, None, None)
              for v in (weight, recurrent)]  # fmt: skip
    directions, gates, hidden = shapes[0][0], shapes[0][1], shapes[1][2]
    steps, batch = x.shape[:2] if x.shape else (None, None)
    for i in range(3, min(len(inputs), 7)):
        if inputs[i]:
            continue
        if i == 4:
            if isinstance(steps, int) and isinstance(batch, int):
                inputs[i] = b.constant(np.full(batch, steps, np.int32))
                continue
            dims = b.op("Shape", x.name)
            length = b.op("Gather", dims, b.ints(0), axis=0)
            count = b.op("Gather", dims, b.ints(1), axis=0)
            inputs[i] = b.op("Expand", b.cast(length, "int32"), count)
            continue
        if not all(isinstance(d, int) for d in (directions, gates, hidden)):
            return No("the shape of the weights is not known")
        ways, width, size = (int(str(d)) for d in (directions, gates, hidden))
        if i == 3:
            inputs[i] = b.constant(np.zeros((ways, 2 * width)), x.dtype)
        elif isinstance(batch, int):
            inputs[i] = b.constant(np.zeros((ways, batch, size)), x.dtype)
        else:
            count = b.op("Gather", b.op("Shape", x.name), b.ints(1), axis=0)
            shape = b.op("Concat", b.ints(ways), count, b.ints(size), axis=0)
            inputs[i] = b.op("Expand", b.scalar(0.0, x.dtype), shape)
    return None

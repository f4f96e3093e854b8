"""Unroll an LSTM whose attributes CANN does not read.

Why       activations, clip, input_forget and layout never reach CANN: it computes with Sigmoid and
          Tanh, without a limit, with the sequence first.
Rewrites  layout 1 alone: Transpose around an LSTM with layout 0;
          else, up to 64 steps of known number: MatMul, Split, the activations and Mul, Add for each
          step and direction; a state that starts at zero takes no part in the first step.
Leaves    An LSTM as CANN computes it; sequences of unknown length; sequence_lens short of the full
          length; activations whose constants are missing.
Exact     rounding: float32 within 2e-5.
Source    ops-nn common/src/framework/lstm_onnx_plugin.cpp, August 2026; ONNX operator schema
          LSTM-14.
"""

from graphfix_rules.decompose import _recurrent as recurrent

from graphfix.graph import Graph, Node
from graphfix.rewrite import Builder, Exactness, Example, NearMiss, No, Rule, Site

_DEFAULTS = ("Sigmoid", "Tanh", "Tanh")

# the operators of the examples below, in topological order
_EXAMPLE_1 = [
    "Squeeze", "Split", "Add", "Squeeze", "Transpose", "Squeeze", "Transpose", "MatMul", "Add",
    "Split", "Squeeze", "Split", "Clip", "Sigmoid", "Clip", "Tanh", "Mul", "Clip", "Sigmoid",
    "Tanh", "Mul", "Squeeze", "MatMul", "Add", "Split", "Clip", "Sigmoid", "Clip", "Tanh",
    "Mul", "Clip", "Sigmoid", "Mul", "Add", "Clip", "Sigmoid", "Tanh", "Mul", "Unsqueeze",
    "Unsqueeze", "Concat",
]  # fmt: skip
_EXAMPLE_2 = [
    "Slice", "Squeeze", "Transpose", "Slice", "Squeeze", "Slice", "Squeeze", "Slice", "Squeeze",
    "Split", "Slice", "Squeeze", "Transpose", "MatMul", "Squeeze", "MatMul", "Add", "Split",
    "Mul", "Add", "HardSigmoid", "Relu", "Mul", "Mul", "Add", "HardSigmoid", "Mul", "Add",
    "Mul", "Add", "HardSigmoid", "Tanh", "Mul", "Slice", "Squeeze", "Transpose", "Slice",
    "Squeeze", "Slice", "Squeeze", "Slice", "Squeeze", "Split", "Slice", "Squeeze", "Transpose",
    "MatMul", "Squeeze", "MatMul", "Add", "Split", "Mul", "Add", "Sigmoid", "Softsign", "Mul",
    "Mul", "Add", "Sigmoid", "Mul", "Add", "Mul", "Add", "Sigmoid", "Elu", "Mul", "Unsqueeze",
    "Unsqueeze", "Concat", "Unsqueeze", "Unsqueeze", "Concat", "Unsqueeze", "Unsqueeze",
    "Concat",
]  # fmt: skip


class DecomposeLstm(Rule):
    """LSTM -> its steps."""

    roots = ("LSTM",)
    exactness = Exactness.ROUNDING
    fixes = ("LSTM/activations", "LSTM/clip", "LSTM/input-forget", "LSTM/layout")
    tolerance = 2e-5

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire on an LSTM with attributes that CANN does not read."""
        couples = "input_forget" in node.attributes and node.attributes["input_forget"].i != 0
        batch_first = "layout" in node.attributes and node.attributes["layout"].i != 0
        used = {
            i for i in range(3) if (v := node.output(i)) is not None and (v.uses or v.is_output)
        }
        if not used:
            return No("no output is used")
        if recurrent.has_defaults(node, _DEFAULTS) and not couples:
            return (
                _sequence_first(node, graph) if batch_first else No("CANN reads all that it asks")
            )
        layer = recurrent.read_layer(node, graph, _DEFAULTS)
        if isinstance(layer, No):
            return layer
        b = layer.b
        states, last_h, last_c = [], [], []
        for direction in range(len(layer.is_reversed)):
            by_time, h, c = _unroll(layer, direction, couples)
            states.append(by_time)
            last_h.append(h)
            last_c.append(c)
        results = {}
        for i in sorted(used):
            results[node.outputs[i]] = (
                layer.sequence(states) if i == 0 else layer.final(last_h if i == 1 else last_c)
            )
        return b.site(results)

    examples = (
        Example(
            "g (float[2,3,4] x, float[1,8,4] w, float[1,8,2] r, float[1,16] b)"
            " => (float[2,1,3,2] y) { y = LSTM<hidden_size = 2, clip = 0.5>(x, w, r, b) }",
            after=_EXAMPLE_1,
        ),
        Example(
            "g (float[1,N,4] x, float[2,8,4] w, float[2,8,2] r, float[2,N,2] h, float[2,N,2] c,"
            " float[2,6] p) => (float[1,2,N,2] y, float[2,N,2] z, float[2,N,2] v)"
            ' { y, z, v = LSTM<hidden_size = 2, direction = "bidirectional",'
            ' activations = ["HardSigmoid", "Relu", "Tanh", "Sigmoid", "Softsign", "Elu"]>'
            "(x, w, r, , , h, c, p) }",
            after=_EXAMPLE_2,
            opset=13,
        ),
        Example(
            "g (float[2,3,4] x, float[1,8,4] w, float[1,8,2] r)"
            " => (float[2,3,1,2] y, float[2,1,2] z)"
            " { y, z = LSTM<hidden_size = 2, layout = 1>(x, w, r) }",
            after=["Transpose", "LSTM", "Transpose", "Transpose"],
        ),
        NearMiss(
            "g (float[2,3,4] x, float[1,8,4] w, float[1,8,2] r) => (float[2,1,3,2] y)"
            " { y = LSTM<hidden_size = 2>(x, w, r) }",
            reason="CANN reads all that it asks",
        ),
        NearMiss(
            "g (float[T,3,4] x, float[1,8,4] w, float[1,8,2] r) => (float[T,1,3,2] y)"
            " { y = LSTM<hidden_size = 2, clip = 0.5>(x, w, r) }",
            reason="the length of the sequence is not known",
        ),
        NearMiss(
            "g (float[2,3,4] x, float[1,8,4] w, float[1,8,2] r, int32[3] n) => (float[2,1,3,2] y)"
            " { y = LSTM<hidden_size = 2, clip = 0.5>(x, w, r, , n) }",
            reason="sequence_lens is not the full length",
        ),
        NearMiss(
            "g (float[2,3,4] x, float[1,8,4] w, float[1,8,2] r) => (float[2,1,3,2] y)"
            ' { y = LSTM<hidden_size = 2, activations = ["Affine", "Tanh", "Tanh"]>(x, w, r) }',
            reason="affine lacks its constants",
        ),
    )


def _unroll(
    layer: "recurrent.Layer", direction: int, couples: bool
) -> tuple[dict[int, str], str, str]:
    """Write the steps of one direction; return the states by time, and the last two."""
    b, size = layer.b, layer.hidden
    input_bias, state_bias = layer.biases(direction, 4)
    bias = b.op("Add", input_bias, state_bias) if input_bias else ""
    weight = b.op("Transpose", layer.per_direction(2, direction), perm=[1, 0])
    h, c = layer.initial(5, direction), layer.initial(6, direction)
    peepholes = ["", "", ""]  # of the gates i, o, f
    if b.given(7):
        peepholes = b.split(layer.per_direction(7, direction), [size] * 3, 0)

    def gate(x: str, cell: str, peephole: str) -> str:
        if cell and peephole:
            x = b.op("Add", x, b.op("Mul", peephole, cell))
        return layer.activate(direction, 0, x)

    by_time: dict[int, str] = {}
    for time, x in layer.projected(direction, bias):
        if h:
            x = b.op("Add", x, b.op("MatMul", h, weight))
        i, o, f, g = b.split(x, [size] * 4, 1)
        i = gate(i, c, peepholes[0])
        fresh = b.op("Mul", i, layer.activate(direction, 1, g))
        if c:
            one = b.scalar(1.0, layer.dtype)
            keep = b.op("Sub", one, i) if couples else gate(f, c, peepholes[2])
            c = b.op("Add", b.op("Mul", keep, c), fresh)
        else:
            c = fresh
        o = gate(o, c, peepholes[1])
        h = by_time[time] = b.op("Mul", o, layer.bend(direction, 2, c))
    return by_time, h, c


def _sequence_first(node: Node, graph: Graph) -> Site | No:
    """Put the sequence first around the node."""
    b = Builder(node, graph)
    inputs = list(node.inputs)
    for position in (0, 5, 6):
        if b.given(position):
            inputs[position] = b.op("Transpose", inputs[position], perm=[1, 0, 2])
    outputs = b.copy(node, inputs, layout=None)
    perms = ([2, 0, 1, 3], [1, 0, 2], [1, 0, 2])
    replace = {
        old: b.op("Transpose", new, perm=perm)
        for old, new, perm in zip(node.outputs, outputs, perms, strict=False)
        if old
    }
    return b.site(replace)

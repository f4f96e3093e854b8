"""Unroll an RNN, because CANN registers RNN at no opset.

Why       The parser of ATC knows LSTM and GRU, but not RNN (E19010).
Rewrites  up to 64 steps of known number: MatMul, Add and the activation for each step and
          direction; a state that starts at zero takes no part in the first step.
Leaves    Sequences of unknown or greater length; sequence_lens other than the full length;
          activations whose constants are missing.
Exact     rounding: float32 within 2e-5.
Source    ONNX operator schema RNN-14; registrations of the ops-* plugins, August 2026.
"""

from graphfix_rules.decompose import _recurrent as recurrent

from graphfix.graph import Graph, Node
from graphfix.rewrite import Exactness, Example, NearMiss, No, Rule, Site

# the operators of the examples below, in topological order
_EXAMPLE_1 = [
    "Squeeze", "Split", "Add", "Squeeze", "Transpose", "Squeeze", "Transpose", "MatMul", "Add",
    "Split", "Squeeze", "Tanh", "Squeeze", "MatMul", "Add", "Tanh", "Unsqueeze", "Unsqueeze",
    "Concat",
]  # fmt: skip
_EXAMPLE_2 = [
    "Slice", "Squeeze", "Transpose", "Slice", "Squeeze", "Slice", "Squeeze", "Transpose", "MatMul",
    "Squeeze", "MatMul", "Add", "Clip", "Relu", "Slice", "Squeeze", "Transpose", "Slice",
    "Squeeze", "Slice", "Squeeze", "Transpose", "MatMul", "Squeeze", "MatMul", "Add", "Clip",
    "Tanh", "Unsqueeze", "Unsqueeze", "Concat", "Unsqueeze", "Unsqueeze", "Concat",
]  # fmt: skip
_EXAMPLE_3 = [
    "Transpose", "Squeeze", "Transpose", "Squeeze", "Transpose", "MatMul", "Split", "Squeeze",
    "Tanh", "Squeeze", "MatMul", "Add", "Tanh", "Unsqueeze", "Unsqueeze", "Concat", "Transpose",
    "Unsqueeze",
]  # fmt: skip


class DecomposeRnn(Rule):
    """RNN -> its steps."""

    roots = ("RNN",)
    exactness = Exactness.ROUNDING
    fixes = ("GF101",)
    tolerance = 2e-5

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire on an RNN whose steps can be written out."""
        used = [
            i for i in range(2) if (v := node.output(i)) is not None and (v.uses or v.is_output)
        ]
        if not used:
            return No("no output is used")
        layer = recurrent.read_layer(node, graph, ("Tanh",))
        if isinstance(layer, No):
            return layer
        b = layer.b
        states, last = [], []
        for direction in range(len(layer.is_reversed)):
            bias, state_bias = layer.biases(direction, 1)
            if bias:
                bias = b.op("Add", bias, state_bias)
            weight = b.op("Transpose", layer.per_direction(2, direction), perm=[1, 0])
            h = layer.initial(5, direction)
            by_time: dict[int, str] = {}
            for time, x in layer.projected(direction, bias):
                if h:
                    x = b.op("Add", x, b.op("MatMul", h, weight))
                h = by_time[time] = layer.activate(direction, 0, x)
            states.append(by_time)
            last.append(h)
        results = {}
        for i in used:
            results[node.outputs[i]] = layer.final(last) if i else layer.sequence(states)
        return b.site(results)

    examples = (
        Example(
            "g (float[2,3,4] x, float[1,2,4] w, float[1,2,2] r, float[1,4] b)"
            " => (float[2,1,3,2] y) { y = RNN<hidden_size = 2>(x, w, r, b) }",
            after=_EXAMPLE_1,
        ),
        Example(
            "g (float[1,N,4] x, float[2,2,4] w, float[2,2,2] r, float[2,N,2] h)"
            " => (float[1,2,N,2] y, float[2,N,2] z)"
            ' { y, z = RNN<hidden_size = 2, direction = "bidirectional", clip = 0.7,'
            ' activations = ["Relu", "Tanh"]>(x, w, r, , , h) }',
            after=_EXAMPLE_2,
            opset=13,
        ),
        Example(
            "g (float[3,2,4] x, float[1,2,4] w, float[1,2,2] r)"
            " => (float[3,2,1,2] y, float[3,1,2] z)"
            " { y, z = RNN<hidden_size = 2, layout = 1>(x, w, r) }",
            after=_EXAMPLE_3,
        ),
        NearMiss(
            "g (float[T,3,4] x, float[1,2,4] w, float[1,2,2] r) => (float[T,1,3,2] y)"
            " { y = RNN<hidden_size = 2>(x, w, r) }",
            reason="the length of the sequence is not known",
        ),
        NearMiss(
            "g (float[2,3,4] x, float[1,2,4] w, float[1,2,2] r) => (float[2,1,3,2] y)"
            " <int32[3] n = {2, 1, 2}> { y = RNN<hidden_size = 2>(x, w, r, , n) }",
            reason="sequence_lens is not the full length",
        ),
    )

"""What unrolling LSTM and GRU has in common: reading the node, activations, time and directions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from graphfix.graph import Graph, Node
from graphfix.rewrite import Builder, No

MAX_STEPS = 64

_PLAIN = {
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "relu": "Relu",
    "softsign": "Softsign",
    "softplus": "Softplus",
}
# activations with constants: how alpha and beta are called, and their defaults (None: none)
_SCALED: dict[str, tuple[float | None, ...]] = {
    "leakyrelu": (0.01,),
    "elu": (1.0,),
    "hardsigmoid": (0.2, 0.5),
    "scaledtanh": (None, None),
    "affine": (None, None),
}
_OPERATORS = {
    "leakyrelu": "LeakyRelu",
    "elu": "Elu",
    "hardsigmoid": "HardSigmoid",
}

Activation = tuple[str, tuple[float, ...]]


@dataclass
class Layer:
    """A recurrent node whose steps can be written out.

    `x` is [steps, batch, input]; the weights of a direction come from `weight` and `bias`.
    """

    b: Builder
    x: str
    steps: int
    hidden: int
    dtype: str
    is_batch_first: bool
    is_reversed: list[bool]
    activations: list[list[Activation]]
    clip: float | None

    def per_direction(self, position: int, direction: int) -> str:
        """Return an input with the axis of directions in front, for one direction."""
        name = self.b.node.inputs[position]
        if len(self.is_reversed) > 1:
            name = self.b.slice(name, [direction], [direction + 1], [0])
        return self.b.squeeze(name, [0])

    def initial(self, position: int, direction: int) -> str:
        """Return an initial state [batch, hidden] of one direction; empty where it is zero."""
        if not self.b.given(position):
            return ""
        if not self.is_batch_first:
            return self.per_direction(position, direction)
        name = self.b.node.inputs[position]
        if len(self.is_reversed) > 1:
            name = self.b.slice(name, [direction], [direction + 1], [1])
        return self.b.squeeze(name, [1])

    def biases(self, direction: int, gates: int) -> tuple[str, str]:
        """Return the biases of input and state [gates * hidden]; empty where there are none."""
        if not self.b.given(3):
            return "", ""
        both, length = self.per_direction(3, direction), gates * self.hidden
        first, second = self.b.split(both, [length, length], 0)
        return first, second

    def projected(self, direction: int, bias: str) -> Iterator[tuple[int, str]]:
        """Yield (time, input times its weights [batch, gates * hidden]) in order of computation."""
        weight = self.b.op("Transpose", self.per_direction(1, direction), perm=[1, 0])
        product = self.b.op("MatMul", self.x, weight)
        if bias:
            product = self.b.op("Add", product, bias)
        if self.steps == 1:
            pieces = [product]
        else:
            pieces = self.b.split(product, [1] * self.steps, 0)
        order = range(self.steps)
        for time in reversed(order) if self.is_reversed[direction] else order:
            yield time, self.b.squeeze(pieces[time], [0])

    def activate(self, direction: int, index: int, x: str) -> str:
        """Apply activation `index` of a direction, behind the clip."""
        b = self.b
        if self.clip is not None:
            low, high = b.scalar(-self.clip, self.dtype), b.scalar(self.clip, self.dtype)
            x = b.op("Clip", x, low, high)
        return self.bend(direction, index, x)

    def bend(self, direction: int, index: int, x: str) -> str:
        """Apply activation `index` of a direction."""
        b = self.b
        kind, numbers = self.activations[direction][index]
        if kind in _PLAIN:
            return b.op(_PLAIN[kind], x)
        if kind == "hardsigmoid":
            return b.op("HardSigmoid", x, alpha=numbers[0], beta=numbers[1])
        if kind == "scaledtanh":
            inner = b.op("Tanh", b.op("Mul", x, b.scalar(numbers[1], self.dtype)))
            return b.op("Mul", inner, b.scalar(numbers[0], self.dtype))
        if kind == "affine":
            scaled = b.op("Mul", x, b.scalar(numbers[0], self.dtype))
            return b.op("Add", scaled, b.scalar(numbers[1], self.dtype))
        return b.op(_OPERATORS[kind], x, alpha=numbers[0])

    def sequence(self, states: Sequence[dict[int, str]]) -> str:
        """Join the states of all times and directions into the output Y."""
        b, joined = self.b, []
        for by_time in states:
            rows = [b.unsqueeze(by_time[time], [0, 1]) for time in range(self.steps)]
            joined.append(rows[0] if len(rows) == 1 else b.op("Concat", *rows, axis=0))
        y = joined[0] if len(joined) == 1 else b.op("Concat", *joined, axis=1)
        return b.op("Transpose", y, perm=[2, 0, 1, 3]) if self.is_batch_first else y

    def final(self, states: Sequence[str]) -> str:
        """Join the last states of all directions into Y_h or Y_c."""
        b = self.b
        axis = 1 if self.is_batch_first else 0
        rows = [b.unsqueeze(state, [axis]) for state in states]
        return rows[0] if len(rows) == 1 else b.op("Concat", *rows, axis=axis)


def read_layer(node: Node, graph: Graph, defaults: Sequence[str]) -> Layer | No:
    """Return the layer, or why its steps cannot be written out."""
    x, recurrent = node.input(0), node.input(2)
    if x is None or x.shape is None or len(x.shape) != 3 or x.dtype is None:
        return No("the shape or the element type is not known")
    is_batch_first = "layout" in node.attributes and node.attributes["layout"].i != 0
    steps = x.shape[1 if is_batch_first else 0]
    if not isinstance(steps, int):
        return No("the length of the sequence is not known")
    if not 1 <= steps <= MAX_STEPS:
        return No(f"the sequence has {steps} steps, not 1 to {MAX_STEPS}")
    lengths = node.input(4)
    if lengths is not None and (lengths.known is None or not (lengths.known == steps).all()):
        return No("sequence_lens is not the full length")
    hidden = recurrent.shape[2] if recurrent is not None and recurrent.shape else None
    if not isinstance(hidden, int):
        return No("the hidden size is not known")
    direction = node.attributes["direction"].s if "direction" in node.attributes else b"forward"
    is_reversed = {b"forward": [False], b"reverse": [True], b"bidirectional": [False, True]}.get(
        direction
    )
    if is_reversed is None:
        return No("the direction is not known")
    activations = _activations(node, len(is_reversed), defaults)
    if isinstance(activations, No):
        return activations
    clip = node.attributes["clip"].f if "clip" in node.attributes else None
    b = Builder(node, graph)
    if b.opset < 11 and (clip is not None or len(is_reversed) > 1):
        return No("below opset 11 Clip and Slice have other forms")
    source = b.op("Transpose", x.name, perm=[1, 0, 2]) if is_batch_first else x.name
    return Layer(
        b, source, steps, hidden, x.dtype, is_batch_first, is_reversed, activations, clip
    )  # fmt: skip


def has_defaults(node: Node, defaults: Sequence[str]) -> bool:
    """Whether activations and clip are left as they are by default."""
    written = node.attributes.get("activations")
    if written is not None and written.strings:
        found = [s.decode() for s in written.strings]
        if found not in (list(defaults), list(defaults) * 2):
            return False
    return "clip" not in node.attributes or node.attributes["clip"].f > 1e30


def _activations(
    node: Node, directions: int, defaults: Sequence[str]
) -> list[list[Activation]] | No:
    written = node.attributes.get("activations")
    names = [s.decode().lower() for s in written.strings] if written is not None else []
    names = names or [name.lower() for name in defaults] * directions
    if len(names) != directions * len(defaults):
        return No("the number of activations does not fit")
    given = [
        list(node.attributes[key].floats) if key in node.attributes else []
        for key in ("activation_alpha", "activation_beta")
    ]
    for position, numbers in enumerate(given):
        needed = sum(len(_SCALED.get(name, ())) > position for name in names)
        if numbers and len(numbers) != needed:
            return No("activation_alpha or activation_beta has another length than is needed")
    result: list[Activation] = []
    for name in names:
        if name not in _PLAIN and name not in _SCALED:
            return No(f"the activation {name} is not known")
        constants = []
        for position, default in enumerate(_SCALED.get(name, ())):
            value = given[position].pop(0) if given[position] else default
            if value is None:
                return No(f"{name} lacks its constants")
            constants.append(float(value))
        result.append((name, tuple(constants)))
    size = len(defaults)
    return [result[i : i + size] for i in range(0, len(result), size)]

"""Take the elements of a sequence directly, where all that happens to it is known.

Why       Exporters write unbind, split and stack as sequences; CANN runs them on the AI CPU, if at
          all, and knows nothing of the shapes behind them.
Rewrites  SplitToSequence -> Split (and Squeeze); SequenceAt of a constant position -> the element;
          SequenceLength -> its number; ConcatFromSequence -> Concat (of Unsqueezed elements, where
          it makes a new axis).
Leaves    What takes no fewer nodes; sequences that anything else uses, or that are outputs;
          positions and sizes that are not constant; more than 64 elements.
Exact     exact.
Source    ops-math common/src/framework/sequence_onnx_plugin.cpp, August 2026; ONNX operator schemas
          SplitToSequence-11, SequenceAt-11, ConcatFromSequence-11.
"""

import numpy as np

from graphfix.graph import Graph, Node
from graphfix.rewrite import Builder, Example, NearMiss, No, Rule, Site
from graphfix.rewrite.builder import MARK

_MOST = 64
_USERS = ("SequenceAt", "SequenceLength", "ConcatFromSequence")


class DissolveSequences(Rule):
    """A sequence whose uses are all known -> its elements."""

    roots = ("SequenceConstruct", "SplitToSequence")

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire where each use of the sequence takes a known element, all, or the number."""
        sequence = node.output(0)
        if sequence is None or not sequence.uses or sequence.is_output:
            return No("nothing uses the sequence, or it is an output")
        users = list(dict.fromkeys(user for user, _ in sequence.uses))
        if any(user.op_type not in _USERS or user.graph is not graph for user in users):
            return No("something else than SequenceAt, SequenceLength or a Concat uses it")
        b = Builder(node, graph)
        elements = list(node.inputs) if node.op_type == "SequenceConstruct" else _pieces(b, node)
        if isinstance(elements, No):
            return elements
        if not 1 <= len(elements) <= _MOST:
            return No(f"it has {len(elements)} elements, not 1 to {_MOST}")
        results: dict[str, str] = {}
        for user in users:
            made = _result(b, user, elements)
            if isinstance(made, No):
                return made
            value = user.output(0)
            if value is None:
                return No("a use has no result")
            is_output = value.is_output or any(index < 0 for _, index in value.uses)
            is_new = made.startswith(MARK) and made not in results.values()
            if is_output and (not is_new or user.op_type == "SequenceLength"):
                made = b.op("Identity", made)
            results[value.name] = made
        return b.site(results, (node, *users))

    examples = (
        Example(
            "g (float[2,4] x) => (float[1,4] y, float[1,4] z) <int64 i = {0}, int64 j = {-1}>"
            " { s = SplitToSequence(x)  y = SequenceAt(s, i)  z = SequenceAt(s, j) }",
            after=["Split"],
        ),
        Example(
            "g (float[N,5] x) => (float[N,2] y, int64 n) <int64 i = {0}, int64 k = {2}>"
            " { s = SplitToSequence<axis = 1>(x, k)  h = SequenceAt(s, i)  y = Neg(h)"
            "  n = SequenceLength(s) }",
            after=["Split", "Neg", "Identity"],
            opset=13,
        ),
        Example(
            "g (float[2,4] x, float[2,4] y) => (float[2,8] z)"
            " { s = SequenceConstruct(x, y)  z = ConcatFromSequence<axis = 1>(s) }",
            after=["Concat"],
        ),
        NearMiss(
            "g (float[2,4] x, float[2,4] y) => (float[2,2,4] z)"
            " { s = SequenceConstruct(x, y)  z = ConcatFromSequence<axis = 1, new_axis = 1>(s) }",
            reason="it would not lower the potential",
        ),
        NearMiss(
            "g (float[2,4] x, int64 i) => (float[1,4] y)"
            " { s = SplitToSequence(x)  y = SequenceAt(s, i) }",
            reason="the position is not constant",
        ),
        NearMiss(
            "g (float[N,4] x) => (float[1,4] y) <int64 i = {0}>"
            " { s = SplitToSequence(x)  y = SequenceAt(s, i) }",
            reason="the length of the axis is not known",
        ),
        NearMiss(
            "g (float[2,4] x) => (float[1,4] y) <int64 i = {0}>"
            " { s = SplitToSequence(x)  t = SequenceErase(s, i)  y = SequenceAt(t, i) }",
            reason="something else than SequenceAt",
        ),
    )


def _pieces(b: Builder, node: Node) -> list[str] | No:
    """Write the pieces that a SplitToSequence gives."""
    x, split = node.input(0), node.input(1)
    axis = int(node.attributes["axis"].i) if "axis" in node.attributes else 0
    if x is None or x.shape is None or not -len(x.shape) <= axis < len(x.shape):
        return No("the rank is not known")
    axis %= len(x.shape)
    size = x.shape[axis]
    if not isinstance(size, int) or size < 1:
        return No("the length of the axis is not known")
    if split is None:
        sizes = [1] * size
    elif split.constant is None or split.known is None:
        return No("the sizes of the pieces are not constant")
    elif split.known.ndim == 0:
        each = int(split.known)
        if each < 1:
            return No("a piece is empty")
        sizes = [min(each, size - start) for start in range(0, size, each)]
    else:
        sizes = [int(i) for i in split.known]
    if len(sizes) > _MOST:
        return No(f"it has {len(sizes)} elements, not 1 to {_MOST}")
    if min(sizes) < 1 or sum(sizes) != size:
        return No("the sizes of the pieces do not fit")
    pieces = b.split(x.name, sizes, axis) if len(sizes) > 1 else [b.op("Identity", x.name)]
    if split is None and "keepdims" in node.attributes and node.attributes["keepdims"].i == 0:
        return [b.squeeze(piece, [axis]) for piece in pieces]
    return pieces


def _result(b: Builder, user: Node, elements: list[str]) -> str | No:
    """Return what a use of the sequence becomes."""
    if user.op_type == "SequenceLength":
        return b.constant(np.array(len(elements), np.int64))
    if user.op_type == "SequenceAt":
        position = user.input(1)
        if position is None or position.constant is None or position.known is None:
            return No("the position is not constant")
        index = int(position.known.reshape(-1)[0])
        if not -len(elements) <= index < len(elements):
            return No("the position is out of range")
        return elements[index]
    axis = int(user.attributes["axis"].i)
    if "new_axis" in user.attributes and user.attributes["new_axis"].i != 0:
        elements = [b.unsqueeze(name, [axis]) for name in elements]
    return b.op("Concat", *elements, axis=axis)

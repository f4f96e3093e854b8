"""Which value of one model is which of the other: by name, by origin, by structure."""

from __future__ import annotations

from dataclasses import dataclass

from graphfix.graph import Graph, Model, Node, Value

ORIGIN = "graphfix.origin"


@dataclass(frozen=True)
class Pair:
    """A value of the original and its match; `by` is name, node, origin or structure."""

    value: Value
    other: str
    by: str

    @property
    def node(self) -> Node:
        """The node of the original that gives the value."""
        assert self.value.producer is not None
        return self.value.producer


def inner_values(model: Model) -> list[Value]:
    """Return the tensors that nodes of the main graph compute, in topological order."""
    found = []
    for node in model.graph.ordered():
        for name in node.outputs:
            value = model.graph.values.get(name) if name else None
            if (
                value is not None
                and value.producer is node
                and value.constant is None
                and value.kind == "tensor"
            ):
                found.append(value)
    return found


def match(a: Model, b: Model) -> list[Pair]:
    """Return the pairs of values, in the topological order of `a`.

    Values of the same name are a pair, unless other operators give them in another shape. Then
    nodes of the same name, what `graphfix fix` noted as the origin of its nodes, and last nodes of
    the same operator over values that are pairs already.
    """
    others = {v.name: v for v in inner_values(b)}
    by_node = {n.name: n for n in b.graph.nodes if n.name}
    origins = _by_origin(b.graph)
    taken: set[str] = set()
    known = dict.fromkeys(a.graph.inputs) | dict.fromkeys(a.graph.initializers)
    paired = {name: name for name in known if name in b.graph.values}
    pairs: dict[str, Pair] = {}
    values = inner_values(a)
    for value in values:
        other = others.get(value.name)
        if other is not None and _plausible(value, other):
            pairs[value.name] = Pair(value, other.name, "name")
            paired[value.name] = other.name
            taken.add(other.name)
    followers = _followers(b.graph)
    for value in values:
        if value.name in pairs:
            continue
        found = _elsewhere(value, by_node, origins, followers, paired)
        if found is not None and found[0].name in others and found[0].name not in taken:
            pairs[value.name] = Pair(value, found[0].name, found[1])
            paired[value.name] = found[0].name
            taken.add(found[0].name)
    return [pairs[v.name] for v in values if v.name in pairs]


def _plausible(value: Value, other: Value) -> bool:
    return _same_operator(value, other) or _fits(value, other)


def _same_operator(value: Value, other: Value) -> bool:
    one, two = value.producer, other.producer
    return one is not None and two is not None and one.key == two.key


def _fits(value: Value, other: Value) -> bool:
    if value.dtype is not None and other.dtype is not None and value.dtype != other.dtype:
        return False
    if value.shape is None or other.shape is None:
        return True
    return len(value.shape) == len(other.shape) and all(
        d == e or not isinstance(d, int) or not isinstance(e, int)
        for d, e in zip(value.shape, other.shape, strict=True)
    )


def _by_origin(graph: Graph) -> dict[str, Node]:
    """Return the last node that was written for each original node."""
    found = {}
    for node in graph.ordered():
        for entry in node.proto.metadata_props:
            if entry.key == ORIGIN:
                found[entry.value] = node
    return found


def _followers(graph: Graph) -> dict[tuple[str, tuple[str, ...]], list[Node]]:
    found: dict[tuple[str, tuple[str, ...]], list[Node]] = {}
    for node in graph.nodes:
        found.setdefault((node.key, tuple(node.inputs)), []).append(node)
    return found


def _elsewhere(
    value: Value,
    by_node: dict[str, Node],
    origins: dict[str, Node],
    followers: dict[tuple[str, tuple[str, ...]], list[Node]],
    paired: dict[str, str],
) -> tuple[Value, str] | None:
    node = value.producer
    assert node is not None
    index = node.outputs.index(value.name)
    candidates: list[tuple[Node | None, str]] = []
    if node.name:
        candidates.append((by_node.get(node.name), "node"))
        if len(node.outputs) == 1:
            candidates.append((origins.get(node.name), "origin"))
    inputs = tuple(paired.get(name, "\0") if name else "" for name in node.inputs)
    same = followers.get((node.key, inputs), [])
    if len(same) == 1:
        candidates.append((same[0], "structure"))
    for other, by in candidates:
        found = other.output(index) if other is not None else None
        if found is not None and _fits(value, found):
            return found, by
    return None

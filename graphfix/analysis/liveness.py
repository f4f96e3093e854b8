"""Which tensors of a graph live at once: sizes summed over the topological order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from graphfix.graph import Graph, Node, Value, dtypes

# the result is the input's own memory (GE-local operators without a kernel, 8.1.RC1)
_VIEWS = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity"})
_WIDTHS = {dtypes.NAMES[number]: width for number, width in dtypes.BITS.items()}


@dataclass
class Measured:
    """Bytes of one graph with its subgraphs; `live` are the tensors at the peak."""

    weights: int = 0
    least: int = 0
    peak: int = 0
    no_reuse: int = 0
    at: str = ""
    live: set[Value] = field(default_factory=set)
    tensors: list[tuple[int, Value]] = field(default_factory=list)
    unknown: set[str] = field(default_factory=set)

    def add(self, value: Value, bits: Mapping[str, int]) -> int:
        """Note a tensor and return its bytes, 0 where they are unknown."""
        size = size_of(value, bits)
        if size is None:
            self.unknown.add(value.name)
            return 0
        self.tensors.append((size, value))
        return size

    def sizes(self, count: int) -> list[tuple[int, Value]]:
        """Return the largest tensors, the largest first, of equal ones those at the peak."""
        return sorted(self.tensors, key=lambda t: (-t[0], t[1] not in self.live))[:count]


def size_of(value: Value, bits: Mapping[str, int]) -> int | None:
    """Return the bytes that a tensor is held in, None where that cannot be told.

    `bits` says how wide the elements of a dtype are; others keep their own width.
    """
    shape, dtype = value.shape, value.dtype
    if shape is None or dtype is None or value.kind != "tensor":
        return None
    width = bits.get(dtype) or _WIDTHS.get(dtype)
    if width is None:
        return None
    count = 1
    for dim in shape:
        if not isinstance(dim, int):
            return None
        count *= dim
    return (count * width + 7) // 8


def measure(graph: Graph, bits: Mapping[str, int]) -> Measured:
    """Walk a graph once; the time grows with nodes and edges."""
    result = Measured()
    steps: list[tuple[Node, list[Value]]] = []
    place: dict[Node, int] = {}
    for node in graph.ordered():
        given = [value for value in node.results() if value is not None]
        if not _is_folded(node, given):
            place[node] = len(steps)
            steps.append((node, given))
    views = _views(node for node, _ in steps)
    born: dict[Value, int] = {}  # the step from which on a tensor exists, -1 for inputs
    size: dict[Value, int] = {}
    dies: dict[Value, int] = {}

    def is_born(value: Value, step: int) -> None:
        if value not in born:
            born[value], dies[value] = step, max(step, 0)
            size[value] = result.add(value, bits)

    for name in graph.inputs:
        if graph.values[name].constant is None:
            is_born(graph.values[name], -1)
    for index, (_, given) in enumerate(steps):
        for value in given:
            if value not in views and not value.is_constant:
                is_born(value, index)
    for value in graph.values.values():
        source = views.get(value, value)
        if source in born:
            last = len(steps) if value.is_output else _last_use(value, graph, place)
            dies[source] = max(dies[source], last)
        elif value.is_constant and _is_read(value, graph, place):
            result.weights += result.add(value, bits)
    freed: dict[int, int] = {}
    for value, last in dies.items():
        freed[last] = freed.get(last, 0) + size[value]
    result.no_reuse = sum(size.values())
    live = sum(size[value] for value, step in born.items() if step < 0)
    result.peak, peak_step = live, -1
    for index, (node, given) in enumerate(steps):
        own = {views.get(v, v) for v in node.values if v is not None}
        own.update(views.get(v, v) for v in given)
        inner = _inner(node, bits, result) if node.subgraphs else 0
        live += sum(size[v] for v in given if born.get(v) == index)
        if live + inner > result.peak:
            result.peak, peak_step = live + inner, index
            result.at = node.name or node.op_type
        result.least = max(result.least, sum(size.get(v, 0) for v in own) + inner)
        live -= freed.get(index, 0)
    result.live = {v for v, step in born.items() if step <= peak_step <= dies[v]}
    return result


def _inner(node: Node, bits: Mapping[str, int], result: Measured) -> int:
    """Return the peak of the node's branches, of which one runs at a time; add the rest."""
    peak = 0
    for _, graph in node.subgraphs:
        found = measure(graph, bits)
        peak = max(peak, found.peak)
        result.weights += found.weights
        result.no_reuse += found.no_reuse
        result.tensors += found.tensors
        result.unknown |= found.unknown
    return peak


def _is_folded(node: Node, given: Sequence[Value]) -> bool:
    """Whether ATC computes the node beforehand; what it gives is a weight then."""
    return bool(given) and not node.subgraphs and all(v.is_constant for v in given)


def _is_read(value: Value, graph: Graph, place: Mapping[Node, int]) -> bool:
    """Whether a constant is read by a node that is not folded, here or in a branch."""
    return value.is_output or any(
        user in place
        or (user.graph is not graph and not _is_folded(user, [v for v in user.results() if v]))
        for user, _ in value.uses
    )


def _views(nodes: Iterable[Node]) -> dict[Value, Value]:
    """Return whose memory a value is that has none of its own."""
    views: dict[Value, Value] = {}
    for node in nodes:
        if node.op_type in _VIEWS and node.is_standard:
            source, result = node.input(0), node.output(0)
            # a view of a constant, or of an outer graph's tensor, is taken for a tensor
            if source is None or result is None or source.is_constant:
                continue
            if source.graph is node.graph:
                views[result] = views.get(source, source)
    return views


def _last_use(value: Value, graph: Graph, place: Mapping[Node, int]) -> int:
    """Return the last step that reads a value, itself or in a branch."""
    last = -1
    for user, _ in value.uses:
        node: Node | None = user
        while node is not None and node.graph is not graph:
            node = node.graph.owner
        if node is not None:
            last = max(last, place.get(node, -1))
    return last

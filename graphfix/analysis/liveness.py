"""Which tensors of a graph live at once: sizes summed over the topological order."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from graphfix.graph import Graph, Node, Value, dtypes

# the result is the input's own memory (GE-local operators without a kernel, 8.1.RC1)
_VIEWS = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity"})


@dataclass
class Measured:
    """Bytes of one graph with its subgraphs; `live` are the tensors at the peak."""

    weights: int = 0
    least: int = 0
    peak: int = 0
    no_reuse: int = 0
    at: str = ""
    live: list[Value] = field(default_factory=list)
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
        """Return the largest tensors, the largest first."""
        return sorted(self.tensors, key=lambda t: (-t[0], t[1].name))[:count]


def size_of(value: Value, bits: Mapping[str, int]) -> int | None:
    """Return the bytes that a tensor is held in, None where that cannot be told.

    `bits` says how wide the elements of a dtype are; others keep their own width.
    """
    number = dtypes.NUMBERS.get(value.dtype or "")
    if value.kind != "tensor" or number is None or value.shape is None:
        return None
    width = bits.get(value.dtype or "", dtypes.BITS.get(number))
    if width is None or any(not isinstance(d, int) for d in value.shape):
        return None
    return (math.prod(d for d in value.shape if isinstance(d, int)) * width + 7) // 8


def measure(graph: Graph, bits: Mapping[str, int]) -> Measured:
    """Walk a graph once; the time grows with nodes and edges."""
    result = Measured()
    steps = [n for n in graph.ordered() if not _is_folded(n)]
    place = {id(node): index for index, node in enumerate(steps)}
    root = _roots(steps)
    born: dict[int, tuple[Value, int, int]] = {}  # value -> itself, its bytes, its first step
    dies: dict[int, int] = {}
    end = len(steps)

    def is_born(value: Value, step: int) -> None:
        size = result.add(value, bits)
        born[id(value)] = (value, size, step)
        dies[id(value)] = max(step, 0)
        result.no_reuse += size

    for name in graph.inputs:
        value = graph.values[name]
        if value.constant is None and root(value) is value:
            is_born(value, -1)
    for index, node in enumerate(steps):
        for value in _results(node):
            if root(value) is value and not value.is_constant:
                is_born(value, index)
    for value in graph.values.values():
        source = root(value)
        if id(source) in born:
            dies[id(source)] = max(dies[id(source)], _last_use(value, graph, place, end))
    _weigh(graph, steps, bits, result)
    freed: dict[int, int] = {}
    for key, last in dies.items():
        freed[last] = freed.get(last, 0) + born[key][1]
    live = sum(size for _, size, step in born.values() if step < 0)
    result.peak, peak_step = live, -1
    for index, node in enumerate(steps):
        given = [v for v in _results(node) if id(v) in born]
        live += sum(born[id(v)][1] for v in given)
        inner = _inner(node, bits, result)
        if live + inner > result.peak:
            result.peak, peak_step = live + inner, index
            result.at = node.name or node.op_type
        own = {id(root(v)) for v in [*node.values, *_results(node)] if v is not None}
        result.least = max(result.least, sum(born[k][1] for k in own if k in born) + inner)
        live -= freed.get(index, 0)
    result.live = [v for v, _, step in born.values() if step <= peak_step <= dies[id(v)]]
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


def _weigh(graph: Graph, steps: list[Node], bits: Mapping[str, int], result: Measured) -> None:
    """Add the constants of the graph that are read, here or in a branch, each once."""
    here = set(map(id, steps))
    for value in graph.values.values():
        if value.is_constant and (
            value.is_output
            or any(
                id(user) in here or (user.graph is not graph and not _is_folded(user))
                for user, _ in value.uses
            )
        ):
            result.weights += result.add(value, bits)


def _is_folded(node: Node) -> bool:
    results = _results(node)
    return bool(results) and not node.subgraphs and all(v.is_constant for v in results)


def _results(node: Node) -> list[Value]:
    return [v for v in node.results() if v is not None]


def _roots(steps: list[Node]) -> Callable[[Value], Value]:
    """Return the function that tells whose memory a value is: views have none of their own."""
    views: dict[int, Value] = {}
    for node in steps:
        if node.op_type in _VIEWS and node.is_standard:
            source, result = node.input(0), node.output(0)
            # a view of a constant, or of an outer graph's tensor, is taken for a tensor
            if source is None or result is None or source.is_constant:
                continue
            if source.graph is node.graph:
                views[id(result)] = views.get(id(source), source)
    return lambda value: views.get(id(value), value)


def _last_use(value: Value, graph: Graph, place: Mapping[int, int], end: int) -> int:
    if value.is_output:
        return end
    last = -1
    for user, _ in value.uses:
        node: Node | None = user
        while node is not None and node.graph is not graph:
            node = node.graph.owner
        if node is not None:
            last = max(last, place.get(id(node), -1))
    return last

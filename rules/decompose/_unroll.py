"""Writing the body of a loop out, once for each step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import onnx

from graphfix.graph import Graph, Node
from graphfix.rewrite import Builder, No, Site
from graphfix.rewrite.builder import MARK

MAX_STEPS = 64
MAX_NODES = 2048
# with a seed, copies of such a node would all draw the same numbers
_RANDOM = (
    "Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform",
    "RandomUniformLike",
)  # fmt: skip


class Body:
    """The body of a Loop or Scan, to be written once for each step, as far as results need it."""

    def __init__(self, b: Builder, body: Graph, results: Sequence[str]) -> None:
        self._b = b
        self._results = results
        needed, self._nodes = set(results), []
        for node in reversed(list(body.ordered())):
            if needed & {*node.outputs}:
                needed.update(node.inputs)
                self._nodes.insert(0, node)
        self._constants: list[onnx.TensorProto] = []
        self._names: dict[str, str] = {}
        for number, (name, tensor) in enumerate(body.initializers.items()):
            copy = onnx.TensorProto()
            copy.CopyFrom(tensor)
            copy.name = self._names[name] = f"{MARK}body{number}"
            self._constants.append(copy)

    def step(self, inputs: Mapping[str, str]) -> list[str]:
        """Write the body with these values for its inputs; return the names of its results."""
        names = {**self._names, **inputs}
        for node in self._nodes:
            made = self._b.copy(node, [names.get(name, name) for name in node.inputs])
            names.update((o, n) for o, n in zip(node.outputs, made, strict=True) if o)
        return [names.get(name, name) for name in self._results]

    def site(self, results: Mapping[str, str]) -> Site:
        """Return the site that gives the outputs of the node by these names."""
        b, replaced = self._b, dict[str, str]()
        made = {name for proto in b.site({}).nodes for name in proto.output}
        for old, new in results.items():
            value = b.node.graph.values.get(old) if old else None
            if value is None:
                continue
            is_output = value.is_output or any(index < 0 for _, index in value.uses)
            # an outer tensor, a constant or a value that stands in already cannot be an output
            if is_output and (new not in made or new in replaced.values()):
                new = b.op("Identity", new)
            replaced[old] = new
        site = b.site(replaced)
        return replace(site, constants=(*site.constants, *self._constants))


def body_of(node: Node, steps: int) -> Graph | No:
    """Return the body, or why it cannot be written so often."""
    body = next((inner for name, inner in node.subgraphs if name == "body"), None)
    if body is None:
        return No("it has no body")
    if any(inner.subgraphs for inner in body.nodes):
        return No("a node of the body holds branches of its own")
    if any(
        inner.op_type in _RANDOM or (inner.op_type == "Dropout" and any(inner.inputs[2:]))
        for inner in body.nodes
    ):
        return No("a node of the body is random, and draws anew in each step")
    if body.contested or len(body.proto.sparse_initializer):
        return No("the body gives one name twice or holds sparse constants")
    if not 1 <= steps <= MAX_STEPS:
        return No(f"it runs {steps} times, not 1 to {MAX_STEPS}")
    if steps * len(body.nodes) > MAX_NODES:
        return No(f"its {steps} steps have more than {MAX_NODES} nodes")
    return body


def stacked(b: Builder, values: list[str], axis: int) -> str:
    """Return values joined along a new axis."""
    rows = [b.unsqueeze(value, [axis]) for value in values]
    return rows[0] if len(rows) == 1 else b.op("Concat", *rows, axis=axis)

"""Patterns: a few ONNX nodes as text, looked for in a graph or written into a site.

A pattern is the body of an ONNX function: `h = Cast<to : int = @middle>(x)  y = Relu(h)`. Names
that none of its nodes gives are variables and stand for any value; an attribute that refers to
`@name` may have any value, or be left out, and is written again wherever `@name` occurs.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import onnx
import onnx.helper
import onnx.numpy_helper
import onnx.parser

from graphfix.graph import Node, Value
from graphfix.rewrite.builder import Builder
from graphfix.rewrite.rule import No, Site
from graphfix.support.conditions import schema_attributes, show

# operators whose inputs may stand in any order; more than so many inputs are tried as written
_COMMUTATIVE = frozenset(
    ("Add", "Mul", "Max", "Min", "Sum", "Mean", "Equal", "And", "Or", "Xor", "BitwiseAnd")
)
_MOST_PERMUTED = 3


class PatternError(ValueError):
    """A text that is no pattern."""


@dataclass(frozen=True)
class PatternNode:
    """One node of a pattern."""

    op_type: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, onnx.AttributeProto]

    @property
    def key(self) -> str:
        """The operator as `Rule.roots` spells it."""
        standard = self.domain in ("", "ai.onnx")
        return self.op_type if standard else f"{self.domain}::{self.op_type}"


def parse(text: str) -> tuple[PatternNode, ...]:
    """Return the nodes of a pattern's text; raises PatternError."""
    try:
        body = onnx.parser.parse_function(
            f'<domain: "pattern", opset_import: ["" : 17]> pattern () => () {{ {text} }}'
        )
    except Exception as error:  # the parser's own error types differ between versions of onnx
        raise PatternError(f"this is no list of ONNX nodes: {_last_line(error)}") from error
    nodes = tuple(
        PatternNode(
            n.op_type, n.domain, tuple(n.input), tuple(n.output), {a.name: a for a in n.attribute}
        )
        for n in body.node
    )
    given: set[str] = set()
    for node in nodes:
        for attribute in node.attributes.values():
            if attribute.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS):
                raise PatternError(f"{node.op_type}: a pattern cannot hold branches")
        for name in node.outputs:
            if name and name in given:
                raise PatternError(f"{name} is given twice")
            given.add(name)
    return nodes


def _last_line(error: Exception) -> str:
    text = error.args[0] if error.args else str(error)
    text = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
    return (text.strip().splitlines() or ["?"])[-1]


def produced(nodes: Sequence[PatternNode]) -> set[str]:
    """Return the names that the nodes give."""
    return {name for node in nodes for name in node.outputs if name}


def references(nodes: Sequence[PatternNode]) -> set[str]:
    """Return the names of the attributes that are left open (`@name`)."""
    return {a.ref_attr_name for n in nodes for a in n.attributes.values() if a.ref_attr_name}


# ---------------------------------------------------------------------- matching


@dataclass(frozen=True)
class Match:
    """Nodes of a graph that look like a pattern; `values` are None where an input is left out."""

    nodes: Mapping[int, Node] = field(default_factory=dict)
    values: Mapping[str, Value | None] = field(default_factory=dict)
    attributes: Mapping[str, onnx.AttributeProto | None] = field(default_factory=dict)

    def with_value(self, name: str, value: Value | None) -> Match:
        """Return the match with one value more."""
        return replace(self, values={**self.values, name: value})


class Misses:
    """Why a pattern did not match: the reason of the attempt that came furthest."""

    def __init__(self) -> None:
        self._depth = -2
        self.reason = "it does not look like the pattern"

    def add(self, depth: int, reason: str) -> None:
        """Note a reason; of attempts that came equally far the first counts."""
        if depth > self._depth:
            self._depth, self.reason = depth, reason


class Pattern:
    """The nodes to look for. Matching starts at the last one, the root.

    `optional` are the variables that a node may leave out.
    """

    def __init__(self, text: str, optional: frozenset[str] = frozenset()) -> None:
        self.nodes = parse(text)
        if not self.nodes:
            raise PatternError("a pattern has at least one node")
        self.root = self.nodes[-1]
        self.optional = optional
        self._producers = {
            name: index for index, node in enumerate(self.nodes) for name in node.outputs if name
        }
        used = {name for node in self.nodes for name in node.inputs if name}
        self.variables = used - set(self._producers)
        for node in self.nodes[:-1]:
            if not used & set(node.outputs):
                raise PatternError(f"{node.op_type} does not lead to the last node")
        for node in self.nodes:
            if any(a.type == onnx.AttributeProto.TENSOR for a in node.attributes.values()):
                raise PatternError(f"{node.op_type}: a pattern cannot ask for a tensor attribute")

    def unfed(self, feeders: Sequence[str]) -> str | None:
        """Return why no root with these operators at its inputs can match, or None."""
        for position, name in enumerate(self.root.inputs):
            index = self._producers.get(name)
            if index is None or self.nodes[index].key in feeders:
                continue
            feeder = feeders[position] if position < len(feeders) else ""
            wanted = self.nodes[index].key
            if not feeder:
                return f"{name} does not come from {wanted}"
            return f"{name} comes from {feeder}, not from {wanted}"
        return None

    def matches(self, root: Node, misses: Misses) -> Iterator[Match]:
        """Yield every way in which the pattern fits at `root`."""
        if root.key != self.root.key:
            misses.add(-1, f"it is {root.key}, not {self.root.key}")
            return
        yield from self._node(len(self.nodes) - 1, root, Match(), misses)

    def _node(self, index: int, node: Node, match: Match, misses: Misses) -> Iterator[Match]:
        pattern, depth = self.nodes[index], len(match.nodes)
        if node in match.nodes.values():
            misses.add(depth, f"one {node.op_type} would stand for two of the pattern")
            return
        found = _attributes(pattern, node, match)
        if isinstance(found, str):
            misses.add(depth, found)
            return
        values = dict(match.values)
        for position, name in enumerate(pattern.outputs):
            if name:
                values[name] = node.output(position)
        for position in range(len(node.outputs)):
            listed = position < len(pattern.outputs) and pattern.outputs[position]
            if not listed and _is_used(node.output(position)):
                misses.add(depth, f"output {position} of {node.op_type} is used")
                return
        started = Match({**match.nodes, index: node}, values, found)
        inputs = [node.input(i) for i in range(len(node.inputs))]
        while inputs and inputs[-1] is None:
            inputs.pop()
        wanted = list(pattern.inputs)
        if len(inputs) > len(wanted):
            misses.add(depth, f"{node.op_type} has {len(inputs)} inputs, not {len(wanted)}")
            return
        inputs += [None] * (len(wanted) - len(inputs))
        permuted = pattern.op_type in _COMMUTATIVE and len(wanted) <= _MOST_PERMUTED
        for order in itertools.permutations(inputs) if permuted else [tuple(inputs)]:
            yield from self._inputs(list(zip(wanted, order, strict=True)), started, misses)

    def _inputs(
        self, pairs: list[tuple[str, Value | None]], match: Match, misses: Misses
    ) -> Iterator[Match]:
        if not pairs:
            yield match
            return
        (name, value), rest = pairs[0], pairs[1:]
        for further in self._value(name, value, match, misses):
            yield from self._inputs(rest, further, misses)

    def _value(
        self, name: str, value: Value | None, match: Match, misses: Misses
    ) -> Iterator[Match]:
        depth = len(match.nodes)
        if not name:
            if value is None:
                yield match
            else:
                misses.add(depth, f"{value.name} is given where the pattern leaves an input out")
        elif name in match.values:
            if match.values[name] is value:
                yield match
            else:
                misses.add(depth, f"two different values stand for {name}")
        elif name not in self._producers:
            if value is None and name not in self.optional:
                misses.add(depth, f"{name} is left out")
            else:
                yield match.with_value(name, value)
        else:
            index = self._producers[name]
            producer = value.producer if value is not None else None
            reason = self._producer_problem(index, name, value, match)
            if reason is not None or producer is None:
                misses.add(depth, reason or f"{name} is left out")
            else:
                yield from self._node(index, producer, match, misses)

    def _producer_problem(
        self, index: int, name: str, value: Value | None, match: Match
    ) -> str | None:
        wanted = self.nodes[index]
        producer = value.producer if value is not None else None
        if value is None or producer is None:
            return f"{name} does not come from {wanted.key}"
        if producer.key != wanted.key:
            return f"{name} comes from {producer.key}, not from {wanted.key}"
        if producer.graph is not match.nodes[len(self.nodes) - 1].graph:
            return f"{name} is computed outside the branch"
        if producer.outputs.index(value.name) != wanted.outputs.index(name):
            return f"{name} is another output of {wanted.key}"
        return None


def _attributes(
    pattern: PatternNode, node: Node, match: Match
) -> dict[str, onnx.AttributeProto | None] | str:
    """Return what the open attributes stand for, or why the node's attributes do not fit."""
    opset = node.graph.model.opset or 0
    schema = (schema_attributes(node.op_type, opset) if node.is_standard else None) or {}
    found = dict(match.attributes)
    for name, wanted in pattern.attributes.items():
        written = node.attributes.get(name)
        if wanted.ref_attr_name:
            key = wanted.ref_attr_name
            if key in found and _content(found[key]) != _content(written):
                return f"two different values stand for @{key}"
            found[key] = written
            continue
        value = _content(written) if written is not None else schema.get(name, (0, None))[1]
        if not _equal(value, onnx.helper.get_attribute_value(wanted)):
            return f"{node.op_type} has {name} = {show(value)}"
    for name, attribute in node.attributes.items():
        if name in pattern.attributes:
            continue
        value = _content(attribute)
        if name not in schema or not _equal(value, schema[name][1]):
            return f"{node.op_type} has {name} = {show(value)}"
    return found


def _content(attribute: onnx.AttributeProto | None) -> Any:
    if attribute is None:
        return None
    try:
        return onnx.helper.get_attribute_value(attribute)
    except ValueError:  # of no type, or a reference of a function's body
        return attribute.SerializeToString()


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(_equal(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, float) and isinstance(b, (int, float)):
        return math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-12)
    return type(a) is type(b) and bool(a == b)


def _is_used(value: Value | None) -> bool:
    return value is not None and (bool(value.uses) or value.is_output)


# ---------------------------------------------------------------------- writing


def site(
    before: Pattern, match: Match, after: Sequence[PatternNode], constants: Mapping[str, str],
    builder: Builder,
) -> Site | No:  # fmt: skip
    """Return the edit that puts `after` in the place of the matched nodes.

    A value of the pattern that `after` gives anew replaces the old one. An Identity says that a
    value takes the place of another; it is written only where that is an output of the graph. What
    nothing uses is not written. `constants` are names that the builder has given already.
    """
    dropped = set(match.nodes.values())
    given = produced(after)
    wanted: dict[str, Value] = {}
    for name in sorted(produced(before.nodes)):
        value = match.values.get(name)
        if value is None or not (
            value.is_output or any(user not in dropped for user, _ in value.uses)
        ):
            continue
        if name not in given:
            return No(f"{name} is used elsewhere")
        wanted[name] = value
    if not wanted:
        return No("nothing uses its results")
    names = {n: v.name if v is not None else "" for n, v in match.values.items() if n not in given}
    names.update(constants)
    for node in _needed(after, wanted):
        problem = _write(node, match, names, builder)
        if problem is not None:
            return No(problem)
    root = match.nodes[len(before.nodes) - 1]
    others = sorted(dropped - {root}, key=lambda n: n.position)
    return builder.site({v.name: names[n] for n, v in wanted.items()}, drop=(root, *others))


def _needed(after: Sequence[PatternNode], wanted: Iterable[str]) -> list[PatternNode]:
    alive, kept = set(wanted), []
    for node in reversed(after):
        if alive & set(node.outputs):
            kept.append(node)
            alive.update(node.inputs)
    return kept[::-1]


def _write(node: PatternNode, match: Match, names: dict[str, str], builder: Builder) -> str | None:
    inputs = [names[name] if name else "" for name in node.inputs]
    while inputs and not inputs[-1]:
        inputs.pop()
    if node.key == "Identity" and not inputs:
        return f"{node.inputs[0]} is left out"
    if node.key == "Identity" and not _is_graph_output(match.values.get(node.outputs[0])):
        names[node.outputs[0]] = inputs[0]
        return None
    attributes: dict[str, Any] = {}
    for name, attribute in node.attributes.items():
        key = attribute.ref_attr_name
        value = _content(match.attributes[key] if key else attribute)
        if isinstance(value, (list, tuple)) and not value:
            return f"{name} is an empty list"
        if isinstance(value, onnx.TensorProto):
            # plugins read raw data only for some element types
            value = onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(value))
        attributes[name] = value
    made = builder.multi(node.op_type, len(node.outputs), *inputs, domain=node.domain, **attributes)
    names.update(zip(node.outputs, made, strict=True))
    return None


def _is_graph_output(value: Value | None) -> bool:
    return value is not None and (value.is_output or any(index < 0 for _, index in value.uses))

"""Graph, Node and Value: a thin index over the protobuf of an ONNX graph.

The protobuf stays the model. `Node` and `Value` are slotted objects that point into it and answer
what the messages cannot: who produces a tensor, who uses it, which outer tensors a subgraph
captures. Every edit goes through `Graph` and keeps the index right. A value that a subgraph
captures counts as used by the inner node, so nothing that a branch needs looks dead.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import onnx

from graphfix.graph import dtypes
from graphfix.graph.node import Node, constant_tensor, holds_graph
from graphfix.graph.value import Value

if TYPE_CHECKING:
    from graphfix.graph.model import Model

_GRAPHS = onnx.AttributeProto.GRAPHS
# the standard operators that hold graphs; those of other domains are looked into one by one
_WITH_SUBGRAPHS = frozenset({"If", "Loop", "Scan", "SequenceMap"})


class Graph:
    """The index of one GraphProto; subgraphs have one of their own with `parent` set.

    Build it through `graphfix.load`. Reading follows the order of the file; `sorted_nodes` gives a
    topological order.
    """

    def __init__(
        self,
        proto: onnx.GraphProto,
        model: Model,
        parent: Graph | None = None,
        owner: Node | None = None,
    ) -> None:
        self.proto = proto
        self.model = model
        self.parent = parent
        self.owner = owner
        self._nodes: list[Node] = []
        self._has_removed = False
        self.values: dict[str, Value] = {}
        self.initializers: dict[str, onnx.TensorProto] = {}
        self.inputs: list[str] = [i.name for i in proto.input]
        self.outputs: list[str] = [o.name for o in proto.output]
        self.owners: list[Node] = []  # the nodes that hold subgraphs
        # names with more than one producer, which is invalid but happens: the further ones
        self.contested: dict[str, list[Node]] = {}
        self.has_empty_inputs = False
        self._sorted: bool | None = True
        self._build()

    # ------------------------------------------------------------------ reading

    def _build(self) -> None:
        for name in self.inputs:
            self._value(name).is_input = True
        for tensor in self.proto.initializer:
            name = tensor.name
            if name:
                self.initializers[name] = tensor
                value = self._value(name)
                value.constant = tensor
                value.dtype = dtypes.NAMES.get(tensor.data_type)
        # the loops of _register_outputs and _register_inputs are written out here: they run once
        # for every node, and calls would double the time
        values, nodes = self.values, self._nodes
        for position, proto in enumerate(self.proto.node):
            node = Node(proto, self, position)
            nodes.append(node)
            for name in node.outputs:
                if name and name not in values:
                    value = values[name] = Value(name, self)
                    value.producer = node
                    if node.op_type == "Constant":
                        self._set_constant(value, node)
                elif name:
                    self._add_producer(values[name], node)
        # uses come second: a name may be used before the line that produces it
        is_root = self.parent is None
        for node in nodes:
            for index, name in enumerate(node.inputs):
                used = values.get(name)
                if used is not None and name and (is_root or used.exists):
                    producer = used.producer
                    if producer is not None and producer.position >= node.position:
                        self._sorted = False
                    used.uses.append((node, index))
                    node.values.append(used)
                else:
                    self._register_input(node, index, name)
            if node.op_type in _WITH_SUBGRAPHS or node.domain not in ("", "ai.onnx"):
                self._register_subgraphs(node)
        for name in self.outputs:
            self._use_as_output(name)

    def _value(self, name: str) -> Value:
        value = self.values.get(name)
        if value is None:
            value = self.values[name] = Value(name, self)
        return value

    def _register_outputs(self, node: Node) -> None:
        for name in node.outputs:
            if name:
                self._add_producer(self._value(name), node)

    def _add_producer(self, value: Value, node: Node) -> None:
        if value.producer is None:
            value.producer = node
            if node.op_type == "Constant":
                self._set_constant(value, node)
        else:
            self.contested.setdefault(value.name, []).append(node)

    @staticmethod
    def _set_constant(value: Value, node: Node) -> None:
        value.constant = constant_tensor(node)
        if value.constant is not None:
            value.dtype = dtypes.NAMES.get(value.constant.data_type)

    def _register_inputs(self, node: Node) -> None:
        for index, name in enumerate(node.inputs):
            self._register_input(node, index, name)

    def _register_input(self, node: Node, index: int, name: str) -> None:
        if name:
            value = self.lookup(name) or self._value(name)
            value.uses.append((node, index))
            node.values.append(value)
            if value.graph is not self and value.producer is not None:
                value.graph._note_capture(self, value.producer)
        else:
            node.values.append(None)
            self.has_empty_inputs = True

    def _note_capture(self, inner: Graph, producer: Node) -> None:
        """Note that `inner`, somewhere inside this graph, uses what `producer` gives."""
        owner = inner.owner
        while owner is not None and owner.graph is not self:
            owner = owner.graph.owner
        if owner is not None and producer.position >= owner.position:
            self._sorted = False

    def _register_subgraphs(self, node: Node) -> None:
        found: list[tuple[str, Graph]] = []
        for attribute in node.proto.attribute:
            kind = attribute.type
            if holds_graph(attribute):
                found.append((attribute.name, Graph(attribute.g, self.model, self, node)))
            elif kind == _GRAPHS:
                found.extend(
                    (attribute.name, Graph(proto, self.model, self, node))
                    for proto in attribute.graphs
                )
        if found:
            node.subgraphs = found
            self.owners.append(node)

    def _use_as_output(self, name: str) -> None:
        value = self.lookup(name) or self._value(name)
        if value.graph is self:
            value.is_output = True
        elif self.owner is not None:
            # a branch that returns an outer tensor: the owner of the branch uses it
            value.uses.append((self.owner, -1))

    @property
    def nodes(self) -> list[Node]:
        """The nodes in the order of the file; do not change the list, edit through the graph."""
        if self._has_removed:
            # removed nodes are swept out together: taking each out of a long list would be slow
            self._nodes = [node for node in self._nodes if not node.is_removed]
            self._has_removed = False
        return self._nodes

    def ordered(self) -> list[Node]:
        """Return the nodes in topological order; those on a cycle come last."""
        if self.is_sorted():
            return sorted(self.nodes, key=lambda node: node.position)
        ordered, cyclic = self.sorted_nodes()
        return [*ordered, *cyclic]

    def by_type(self) -> dict[tuple[str, str], list[Node]]:
        """Return the nodes of this graph by (domain, op_type), in the order of the file."""
        groups: dict[tuple[str, str], list[Node]] = {}
        for node in self.nodes:
            key = (node.domain, node.op_type)
            group = groups.get(key)
            if group is None:
                groups[key] = [node]
            else:
                group.append(node)
        return groups

    def missing(self) -> set[str]:
        """Return the names that nodes of this graph use and nothing, inside or outside, gives."""
        return {
            name
            for name, value in self.values.items()
            if value.producer is None and value.uses and not value.exists
        }

    def lookup(self, name: str) -> Value | None:
        """Return the value called `name` in this graph or, as captured, in an outer one."""
        graph: Graph | None = self
        while graph is not None:
            value = graph.values.get(name)
            if value is not None and (value.exists or graph.parent is None):
                return value
            graph = graph.parent
        return self.values.get(name)

    def walk(self) -> Iterator[Node]:
        """Yield the nodes of this graph and of all subgraphs, in the order of the file."""
        for node in self.nodes:
            yield node
            for _, graph in node.subgraphs:
                yield from graph.walk()

    def graphs(self) -> Iterator[Graph]:
        """Yield this graph and all graphs inside it."""
        yield self
        for node in self.owners:
            for _, graph in node.subgraphs:
                yield from graph.graphs()

    def predecessors(self, node: Node) -> set[Node]:
        """Return the nodes of this graph that `node`, or a subgraph of it, takes values from."""
        names = list(node.inputs)
        for _, graph in node.subgraphs:
            names.extend(graph.captured())
        found: set[Node] = set()
        for name in names:
            value = self.values.get(name) if name else None
            if value is not None and value.producer is not None:
                found.add(value.producer)
        return found

    def captured(self) -> list[str]:
        """Return the outer names that this subgraph, or one inside it, uses; sorted."""
        names: set[str] = set()
        for graph in self.graphs():
            used = [name for node in graph.nodes for name in node.inputs if name]
            for name in [*used, *graph.outputs]:
                value = graph.lookup(name)
                if value is None:
                    continue
                owner: Graph | None = value.graph
                while owner is not None and owner is not self:
                    owner = owner.parent
                if owner is None:
                    names.add(name)
        return sorted(names)

    def sorted_nodes(self) -> tuple[list[Node], list[Node]]:
        """Return (nodes in topological order, nodes that hang on a cycle).

        The order is that of the file wherever the file leaves a choice.
        """
        producers = {id(n): n for n in self.nodes}
        waiting: dict[int, int] = {}
        followers: dict[int, list[Node]] = {}
        ready: list[tuple[int, int]] = []
        order = {id(n): i for i, n in enumerate(self.nodes)}
        for node in self.nodes:
            before = [p for p in self.predecessors(node) if id(p) in producers]
            waiting[id(node)] = len(before)
            for p in before:
                followers.setdefault(id(p), []).append(node)
            if not before:
                ready.append((order[id(node)], id(node)))
        heapq.heapify(ready)
        result: list[Node] = []
        while ready:
            _, key = heapq.heappop(ready)
            node = producers[key]
            result.append(node)
            for follower in followers.get(key, ()):
                waiting[id(follower)] -= 1
                if waiting[id(follower)] == 0:
                    heapq.heappush(ready, (order[id(follower)], id(follower)))
        if len(result) == len(self.nodes):
            return result, []
        done = {id(n) for n in result}
        return result, [n for n in self.nodes if id(n) not in done]

    def is_sorted(self) -> bool:
        """Whether every node comes after the nodes it takes values from."""
        if self._sorted is None:
            self._sorted = all(self._is_in_place(node) for node in self.nodes)
        return self._sorted

    def _is_in_place(self, node: Node) -> bool:
        position = node.position
        if node.subgraphs:
            return all(p.position < position for p in self.predecessors(node))
        for value in node.values:
            producer = value.producer if value is not None else None
            if producer is not None and producer.position >= position and producer.graph is self:
                return False
        return True

    def settle_order(self) -> list[Node]:
        """Make the topological order that of the file, and return the nodes in it."""
        ordered, cyclic = (self.ordered(), []) if self.is_sorted() else self.sorted_nodes()
        self._nodes = [*ordered, *cyclic]
        self._sorted = not cyclic
        for position, node in enumerate(self._nodes):
            node.position = position
        if self.has_empty_inputs:
            self.has_empty_inputs = any(not name for n in self._nodes for name in n.inputs)
        return self._nodes

    # ------------------------------------------------------------------ editing

    def add_node(self, proto: onnx.NodeProto, position: float | None = None) -> Node:
        """Add a node; its place in the file is `position`, or the end, as far as edges allow.

        The message is copied into the graph. A name that the graph already produces makes the new
        node a rival producer, exactly as in a file; use `fresh_name` for outputs.
        """
        added = self.proto.node.add()
        added.CopyFrom(proto)
        if position is None:
            position = self._nodes[-1].position + 1 if self._nodes else 0
        self._sorted = None
        self.model.note_edit()
        node = Node(added, self, position)
        self._nodes.append(node)
        self._register_outputs(node)
        self._register_inputs(node)
        self._register_subgraphs(node)
        return node

    def remove_node(self, node: Node) -> None:
        """Remove a node. Its outputs stay known as names as long as something uses them."""
        for inner in self._nodes_within(node):
            for index, name in enumerate(inner.inputs):
                value = inner.graph.lookup(name) if name else None
                if value is not None:
                    value.uses = [u for u in value.uses if u != (inner, index)]
                    self._forget(value)
        for inner in self._nodes_within(node):
            for _, graph in inner.subgraphs:
                for name in graph.outputs:
                    value = graph.lookup(name)
                    if value is not None:
                        value.uses = [u for u in value.uses if u != (inner, -1)]
                        self._forget(value)
        for name in node.outputs:
            value = self.values.get(name)
            if value is None:
                continue
            rivals = self.contested.get(name, [])
            if value.producer is node:
                value.producer = rivals.pop(0) if rivals else None
                value.constant = self.initializers.get(name)
                if value.producer is not None and value.producer.op_type == "Constant":
                    value.constant = constant_tensor(value.producer)
                value.forget()
            elif node in rivals:
                rivals.remove(node)
            if not rivals:
                self.contested.pop(name, None)
            self._forget(value)
        node.is_removed = self._has_removed = True
        self.model.note_edit()
        if node.subgraphs:
            self.owners.remove(node)

    def set_input(self, node: Node, index: int, name: str) -> None:
        """Point one input of a node, inside this graph or a subgraph of it, at another value."""
        old = node.inputs[index]
        node.graph._sorted = None
        self.model.note_edit()
        if old:
            value = node.graph.lookup(old)
            if value is not None:
                value.uses = [u for u in value.uses if u != (node, index)]
                self._forget(value)
        node.inputs[index] = name
        node.proto.input[index] = name
        node.values[index] = None
        if name:
            new = node.graph.lookup(name) or node.graph._value(name)
            new.uses.append((node, index))
            node.values[index] = new
        else:
            node.graph.has_empty_inputs = True

    def set_output(self, node: Node, index: int, name: str) -> None:
        """Name an output that was left empty; raises ValueError when it has a name."""
        if node.outputs[index]:
            raise ValueError(f"output {index} is called {node.outputs[index]!r}")
        self.model.note_edit()
        node.outputs[index] = name
        node.proto.output[index] = name
        self._add_producer(self._value(name), node)

    def rename_output(self, index: int, name: str) -> None:
        """Let a branch return another of its values at an output position."""
        self.model.note_edit()
        old = self.outputs[index]
        value = self.lookup(old)
        if value is not None and value.graph is not self and self.owner is not None:
            value.uses.remove((self.owner, -1))
        elif value is not None:
            value.is_output = False
        self.outputs[index] = name
        self.proto.output[index].name = name
        self._use_as_output(name)

    def replace_uses(self, old: str, new: str) -> None:
        """Let everything that uses `old` use `new`, in subgraphs too.

        Graph outputs keep their names: raises ValueError when `old` is one, since the interface of
        the model would change.
        """
        value = self.values[old]
        if value.is_output or any(index < 0 for _, index in value.uses):
            raise ValueError(f"{old!r} is an output of the graph")
        for node, index in list(value.uses):
            self.set_input(node, index, new)

    def add_initializer(self, tensor: onnx.TensorProto) -> Value:
        """Add a constant; raises ValueError when its name is taken."""
        if tensor.name in self.values and self.values[tensor.name].exists:
            raise ValueError(f"{tensor.name!r} exists")
        added = self.proto.initializer.add()
        added.CopyFrom(tensor)
        self.initializers[tensor.name] = added
        self.model.note_edit()
        value = self._value(tensor.name)
        value.constant = added
        value.forget()
        return value

    def remove_initializer(self, name: str) -> None:
        """Remove a constant that nothing uses; raises ValueError when something does."""
        value = self.values[name]
        if value.uses or value.is_output:
            raise ValueError(f"{name!r} is used")
        self.model.is_settled = False  # what is inferred stays
        del self.initializers[name]
        value.constant = None
        value.forget()
        self._forget(value)

    def fresh_name(self, base: str) -> str:
        """Return `base`, or `base` with a number, that no value of any graph carries."""
        taken: set[str] = set()
        for graph in self.model.graph.graphs():
            taken.update(graph.values)
        if base not in taken:
            return base
        number = 1
        while f"{base}_{number}" in taken:
            number += 1
        return f"{base}_{number}"

    def _nodes_within(self, node: Node) -> Iterable[Node]:
        yield node
        for _, graph in node.subgraphs:
            yield from graph.walk()

    def _forget(self, value: Value) -> None:
        """Drop a value that nothing gives and nothing uses; its value_info goes when written."""
        if not value.exists and not value.uses and not value.is_output:
            value.graph.values.pop(value.name, None)

"""Node: one NodeProto and its place in the index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import onnx

from graphfix.graph.value import Value

if TYPE_CHECKING:
    from graphfix.graph.index import Graph


class Node:
    """One NodeProto and its place in the index."""

    __slots__ = (
        "_attributes",
        "domain",
        "graph",
        "inputs",
        "is_removed",
        "op_type",
        "outputs",
        "position",
        "proto",
        "subgraphs",
        "values",
    )

    def __init__(self, proto: onnx.NodeProto, graph: Graph, position: float) -> None:
        self.proto = proto
        self.graph = graph
        self.position = position
        self.op_type: str = proto.op_type
        self.domain: str = proto.domain
        self.inputs: list[str] = list(proto.input)
        self.outputs: list[str] = list(proto.output)
        self.values: list[Value | None] = []  # behind `inputs`, one by one; None for empty names
        self.is_removed = False
        self._attributes: dict[str, onnx.AttributeProto] | None = None
        self.subgraphs: Sequence[tuple[str, Graph]] = ()

    @property
    def name(self) -> str:
        """The name in the file; may be empty."""
        return str(self.proto.name)

    @property
    def attributes(self) -> dict[str, onnx.AttributeProto]:
        """The attributes by name; of a repeated name the first, as plugins read it."""
        if self._attributes is None:
            found: dict[str, onnx.AttributeProto] = {}
            for attribute in self.proto.attribute:
                found.setdefault(attribute.name, attribute)
            self._attributes = found
        return self._attributes

    def move_to(self, proto: onnx.NodeProto) -> None:
        """Point into an equal message, the copy in a graph that was written anew."""
        self.proto = proto
        self._attributes = None

    def input(self, index: int) -> Value | None:
        """Return the value at an input position; None when missing or left empty."""
        return self.values[index] if index < len(self.values) else None

    def output(self, index: int) -> Value | None:
        """Return the value at an output position; None when missing or left empty."""
        if index < len(self.outputs) and self.outputs[index]:
            return self.graph.values.get(self.outputs[index])
        return None

    def results(self) -> list[Value | None]:
        """Return the values behind `outputs`, one by one; None for empty names."""
        values = self.graph.values
        return [values.get(name) if name else None for name in self.outputs]

    @property
    def is_standard(self) -> bool:
        """Whether the operator belongs to ONNX's own domain."""
        return self.domain in ("", "ai.onnx")

    @property
    def key(self) -> str:
        """The operator as rules and tables spell it: `Gelu`, or `com.microsoft::Gelu`."""
        return self.op_type if self.is_standard else f"{self.domain}::{self.op_type}"

    def __repr__(self) -> str:
        return f"<Node {self.op_type} {self.name!r}>"


def holds_graph(attribute: onnx.AttributeProto) -> bool:
    """Whether an attribute holds one graph; a type that is not set is overlooked."""
    return attribute.type in (
        onnx.AttributeProto.GRAPH,
        onnx.AttributeProto.UNDEFINED,
    ) and attribute.HasField("g")


def constant_tensor(node: Node) -> onnx.TensorProto | None:
    """Return the tensor that a Constant node holds in `value`; None for the other spellings."""
    attribute = node.attributes.get("value")
    if attribute is not None and attribute.HasField("t"):
        return attribute.t
    return None

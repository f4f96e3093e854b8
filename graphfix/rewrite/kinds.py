"""Kinds: what nodes without branches share exactly when they differ in names alone.

What a local rule answers to one node of a kind it answers to all of them, with the names exchanged;
so it is asked, judged and proved once for each kind, and a model of a thousand equal layers costs
little more than one.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import onnx

from graphfix.graph import Node, Value
from graphfix.graph.value import small_constant
from graphfix.rewrite.builder import MARK
from graphfix.rewrite.rule import Site


def kind_of(node: Node) -> Hashable:
    """Return a node's kind: whatever an island of the node alone is made of, but far cheaper.

    Attributes, the types of operands and results, which operands are one value, and the content of
    small constants.
    """
    places: dict[str, int] = {}
    operands = tuple(
        None if value is None else (places.setdefault(value.name, position), *_content(value))
        for position, value in enumerate(node.values)
    )
    results = tuple(
        None if value is None else (value.dtype, value.shape) for value in node.results()
    )
    attributes = tuple([a.SerializeToString(deterministic=True) for a in node.proto.attribute])
    return node.key, attributes, operands, results


def kind_in_use(node: Node) -> Hashable:
    """Return a node's kind and which of its results are used."""
    used = tuple([v is not None and bool(v.uses or v.is_output) for v in node.results()])
    return kind_of(node), used


def _content(value: Value) -> tuple[Hashable, ...]:
    given = (value.producer is not None, value.constant is not None, value.is_folded)
    flags = (value.dtype, value.shape, *given)
    tensor = small_constant(value)
    if tensor is None:
        return flags
    if tensor.raw_data:
        return (*flags, tensor.raw_data)
    nameless = onnx.TensorProto()
    nameless.CopyFrom(tensor)
    nameless.ClearField("name")
    return (*flags, nameless.SerializeToString(deterministic=True))


@dataclass(frozen=True)
class Template:
    """The edit that a local rule proposed for one node, to be repeated for others of its kind."""

    site: Site
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @staticmethod
    def of(site: Site, node: Node) -> Template | None:
        """Return the template of a site, None when it names more than the node does."""
        if site.drop != (node,) or site.batch is not None:
            return None
        own = {"", *node.inputs, *node.outputs}
        named = {name for proto in site.nodes for name in proto.input}
        named.update(site.replace, site.replace.values())
        if any(name not in own and not name.startswith(MARK) for name in named):
            return None
        if any(attribute.HasField("g") for proto in site.nodes for attribute in proto.attribute):
            return None
        return Template(site, tuple(node.inputs), tuple(node.outputs))

    def at(self, node: Node) -> Site:
        """Return the site for another node of the kind."""
        names = dict(zip(self.inputs, node.inputs, strict=True))
        names.update(zip(self.outputs, node.outputs, strict=True))
        return Site(
            (node,),
            tuple([_renamed(proto, names) for proto in self.site.nodes]),
            self.site.constants,
            {names[old]: names.get(new, new) for old, new in self.site.replace.items()},
        )


def _renamed(proto: onnx.NodeProto, names: Mapping[str, str]) -> onnx.NodeProto:
    copy = onnx.NodeProto()
    copy.CopyFrom(proto)
    for index, name in enumerate(copy.input):
        copy.input[index] = names.get(name, name)
    return copy

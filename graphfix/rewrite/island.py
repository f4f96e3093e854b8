"""Island: a site cut out as two small models, before and after, with the same interface.

Everything that is judged of a rewrite is judged on islands: what the target does with the nodes,
whether the boundary keeps its types, and whether both compute the same. Equal sites make equal
islands, so each distinct one is judged once, however often it occurs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx

from graphfix.comparison.runtimes import Port
from graphfix.graph import Dim, Graph, Model, Node, Shape, dtypes, infer
from graphfix.graph.value import small_constant
from graphfix.graph.writing import node_proto
from graphfix.rewrite.builder import MARK
from graphfix.rewrite.rule import Site

# names on an island start so; what lies in a branch keeps its own name, which must be another
_PORT = "site:v"


@dataclass(frozen=True)
class Boundary(Port):
    """An input or output of an island, and what the graph around it knows.

    `is_inner`: in the graph a node gives the value, so that the parser knows nothing of its type.
    `is_weight`: in the graph it is a constant too large to come along.
    """

    is_inner: bool = False
    is_weight: bool = False


@dataclass
class Island:
    """A site before and after. `key` is equal for sites that differ in names alone."""

    before: onnx.ModelProto
    after: onnx.ModelProto
    inputs: list[Boundary]
    outputs: list[Boundary]
    key: bytes
    names: dict[str, str]  # values of the graph (and made-up ones) -> names on the island
    batch: tuple[str, int] | None = None  # as in the site
    takeovers: int = 0  # Identity nodes of `after` that only say "an existing value takes over"

    def model_after(self) -> Model:
        """Return the rewritten site as a model with inferred types."""
        model = Model(self.after)
        infer(model)
        return model


def cut_out(site: Site, graph: Graph, source_opset: int, target_opset: int) -> Island:
    """Return the island of a site.

    Names are replaced by numbers in the order in which they occur, so that equal sites are equal
    bytes. Small constants come along with their values; large ones become inputs.
    """
    names: dict[str, str] = {}
    dropped = set(site.drop)
    produced = {name for node in site.drop for name in node.outputs if name}
    for node in site.drop:
        for _, inner in node.subgraphs:
            for name in inner.captured():
                names.setdefault(name, f"{_PORT}{len(names)}")
    asked = implied_shapes(site.drop)
    inputs: list[Boundary] = []
    constants: list[onnx.TensorProto] = []
    seen: set[str] = set()

    def visit(name: str) -> None:
        if not name or name in seen or name in produced or name.startswith(MARK):
            return
        seen.add(name)
        value = graph.lookup(name)
        port = names.setdefault(name, f"{_PORT}{len(names)}")
        tensor = small_constant(value)
        if tensor is not None:
            copy = onnx.TensorProto()
            copy.CopyFrom(tensor)
            copy.name = port
            constants.append(copy)
        else:
            inner = value is not None and value.producer is not None
            dtype, shape = (value.dtype, value.shape) if value is not None else (None, None)
            shape = asked.get(name, shape)
            weight = value is not None and value.is_constant
            inputs.append(Boundary(port, dtype, shape, inner, weight))

    for node in site.drop:
        for name in node.inputs:
            visit(name)
        for _, inner in node.subgraphs:
            for name in inner.captured():
                visit(name)
    for proto in site.nodes:
        for name in proto.input:
            visit(name)
    for new in site.replace.values():
        visit(new)
    outputs: list[Boundary] = []
    for old in site.replace:
        value = graph.lookup(old)
        port = names.setdefault(old, f"{_PORT}{len(names)}")
        outputs.append(
            Boundary(port, value.dtype if value else None, value.shape if value else None)
        )
    before = _model(
        _ordered(site.drop, dropped), constants, inputs, outputs, names, source_opset, graph.model
    )
    after_nodes = list(site.nodes)
    for new_constant in site.constants:
        copy = onnx.TensorProto()
        copy.CopyFrom(new_constant)
        copy.name = names.setdefault(new_constant.name, f"{_PORT}{len(names)}")
        constants.append(copy)
    renamed: dict[str, str] = {}
    for old, new in site.replace.items():
        if new.startswith(MARK) and new not in names and new not in renamed:
            renamed[new] = names[old]
        else:
            # an existing or shared value takes over: the island needs a node that says so
            after_nodes.append(onnx.helper.make_node("Identity", [new], [old]))
    names_after = {**names, **renamed}
    after = _model(after_nodes, constants, inputs, outputs, names_after, target_opset, graph.model)
    flags = bytes(2 * port.is_inner + port.is_weight for port in inputs)
    key = before.SerializeToString(deterministic=True) + after.SerializeToString(deterministic=True)
    key += flags + (repr(site.batch).encode() if site.batch is not None else b"")
    takeovers = len(after_nodes) - len(site.nodes)
    return Island(before, after, inputs, outputs, key, names_after, site.batch, takeovers)


def implied_shapes(nodes: Sequence[Node]) -> dict[str, Shape]:
    """Return shapes that operators ask of operands of which the graph tells less, by name.

    Without them nothing could be made up for a proof. Recurrent operators take three dims.
    """
    found: dict[str, Shape] = {}
    for node in nodes:
        weight = node.input(1) if node.op_type in ("LSTM", "GRU", "RNN") else None
        recurrent = node.input(2)
        if weight is None or recurrent is None:
            continue
        if any(v.shape is None or len(v.shape) != 3 for v in (weight, recurrent)):
            continue
        assert weight.shape is not None and recurrent.shape is not None
        time: tuple[Dim, Dim] = ("steps?", "batch?")
        state: tuple[Dim, Dim] = (weight.shape[0], "batch?")
        if "layout" in node.attributes and node.attributes["layout"].i:
            time, state = (time[1], time[0]), (state[1], state[0])
        shapes: dict[int, Shape] = {
            0: (*time, weight.shape[2]),
            5: (*state, recurrent.shape[2]),
            6: (*state, recurrent.shape[2]),
        }
        for position, shape in shapes.items():
            value = node.input(position)
            if value is not None and value.shape is None:
                found[value.name] = shape
    return found


def read_back(island: Island, drop: tuple[Node, ...], result: onnx.ModelProto) -> Site | str:
    """Return the site that puts `result`, an edited copy of `island.before`, into the graph.

    Values that the island had keep their places; all others get made-up names. Returns a reason
    where an output of the island is gone.
    """
    outputs = {port.name for port in island.outputs}
    real = {port: name for name, port in island.names.items() if not name.startswith(MARK)}
    made_up: dict[str, str] = {}

    def rename(name: str) -> str:
        if not name or (name in real and name not in outputs):
            return real.get(name, "")
        return made_up.setdefault(name, f"{MARK}{len(made_up) + 1}")

    nodes, constants = [], []
    for tensor in result.graph.initializer:
        if tensor.name not in real:
            copy = onnx.TensorProto()
            copy.CopyFrom(tensor)
            copy.name = rename(tensor.name)
            constants.append(copy)
    for proto in result.graph.node:
        node = onnx.NodeProto()
        node.CopyFrom(proto)
        node.name = ""
        for field in (node.input, node.output):
            for index, name in enumerate(field):
                field[index] = rename(name)
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _rename(attribute.g, {**real, **made_up})
        nodes.append(node)
    replace = {real[name]: made_up[name] for name in outputs if name in made_up}
    if len(replace) != len(outputs):
        return "an output of the site is gone"
    return Site(drop, tuple(nodes), tuple(constants), replace)


def _ordered(nodes: tuple[Node, ...], dropped: set[Node]) -> list[onnx.NodeProto]:
    return [node_proto(n) for n in sorted(dropped, key=lambda n: n.position)]


def _model(
    nodes: list[onnx.NodeProto], constants: list[onnx.TensorProto], inputs: list[Boundary],
    outputs: list[Boundary], names: dict[str, str], opset: int, source: Model,
) -> onnx.ModelProto:  # fmt: skip
    model = onnx.ModelProto(ir_version=max(4, min(source.proto.ir_version, 10)))
    model.opset_import.add(domain="", version=opset)
    for entry in source.proto.opset_import:
        if entry.domain not in ("", "ai.onnx"):
            model.opset_import.add(domain=entry.domain, version=entry.version)
    graph = model.graph
    graph.name = "site"
    for proto in nodes:
        copy = graph.node.add()
        copy.CopyFrom(proto)
        copy.ClearField("name")
        copy.ClearField("doc_string")
        copy.ClearField("metadata_props")
        for field in (copy.input, copy.output):
            for i, name in enumerate(field):
                if name:
                    field[i] = names.setdefault(name, f"{_PORT}{len(names)}")
        for attribute in copy.attribute:
            if attribute.HasField("g"):
                _rename(attribute.g, names)
    for tensor in constants:
        graph.initializer.append(tensor)
    for port in inputs:
        graph.input.append(_info(port))
    for port in outputs:
        graph.output.append(_info(port))
    return model


def _rename(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    """Rename what a branch captures from the island."""
    own = {i.name for i in graph.input} | {t.name for t in graph.initializer}
    own |= {o for n in graph.node for o in n.output}
    for node in graph.node:
        for i, name in enumerate(node.input):
            if name not in own and name in names:
                node.input[i] = names[name]
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _rename(attribute.g, {k: v for k, v in names.items() if k not in own})
    for info in graph.output:
        if info.name not in own and info.name in names:
            info.name = names[info.name]


def _info(port: Port) -> onnx.ValueInfoProto:
    info = onnx.ValueInfoProto(name=port.name)
    tensor = info.type.tensor_type
    if port.dtype is not None:
        tensor.elem_type = dtypes.NUMBERS[port.dtype]
    if port.shape is not None:
        tensor.shape.SetInParent()
        for dim in port.shape:
            if isinstance(dim, int):
                tensor.shape.dim.add(dim_value=dim)
            elif dim is not None:
                tensor.shape.dim.add(dim_param=dim)
            else:
                tensor.shape.dim.add()
    return info

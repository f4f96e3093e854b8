"""Tidying: what concerns the whole graph and changes no computation.

Names that ATC would refuse, empty names that it would link, opset imports that no node needs, outer
tensors that a branch returns, and constants that rewriting left unused. Nothing here touches a
node's operator, attributes or operands, so there is nothing to prove numerically.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import onnx
import onnx.helper
import onnx.numpy_helper

from graphfix.analysis.findings import Namer
from graphfix.graph import Graph, Model
from graphfix.graph.tensors import dense_array

RULES = (
    "tidy/dense_constants",
    "tidy/unique_names",
    "tidy/name_skipped_outputs",
    "tidy/opset_imports",
    "tidy/branch_outputs",
    "tidy/unused_constants",
)


def densify(proto: onnx.ModelProto) -> None:
    """Write the zeros of sparse constants out, in place: the parser reads no sparse tensors."""
    for graph in _graphs_of(proto.graph):
        kept = []
        for sparse in graph.sparse_initializer:
            dense = dense_array(sparse)
            if dense is None:
                kept.append(sparse.SerializeToString())
            else:
                name = sparse.values.name
                graph.initializer.append(onnx.numpy_helper.from_array(dense, name))
        if len(kept) < len(graph.sparse_initializer):
            del graph.sparse_initializer[:]
            graph.sparse_initializer.extend(map(onnx.SparseTensorProto.FromString, kept))
        for attribute in _sparse_values(graph):
            dense = dense_array(attribute.sparse_tensor)
            if dense is not None:
                attribute.CopyFrom(
                    onnx.helper.make_attribute("value", onnx.numpy_helper.from_array(dense))
                )


def sparse_count(proto: onnx.ModelProto) -> int:
    """Return how many sparse constants a model has, branches included."""
    return sum(
        len(graph.sparse_initializer) + len(_sparse_values(graph))
        for graph in _graphs_of(proto.graph)
    )


def _sparse_values(graph: onnx.GraphProto) -> list[onnx.AttributeProto]:
    return [
        attribute
        for node in graph.node
        if node.op_type == "Constant"
        for attribute in node.attribute
        if attribute.name == "sparse_value"
    ]


def _graphs_of(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _graphs_of(attribute.g)


def tidy(model: Model) -> Counter[str]:
    """Tidy a model in place and return how often each repair was made."""
    done: Counter[str] = Counter()
    namer = Namer(model.graph)
    for graph in model.graph.graphs():
        done["tidy/unique_names"] += _unique_names(graph, namer)
        done["tidy/name_skipped_outputs"] += _name_skipped_outputs(graph)
        done["tidy/branch_outputs"] += _branch_outputs(graph)
        done["tidy/unused_constants"] += _unused_constants(graph)
    done["tidy/opset_imports"] += _opset_imports(model)
    return +done


def _unique_names(graph: Graph, namer: Namer) -> int:
    """Give every node a name of its own, apart from inputs and generated initializer names."""
    inputs = [name for name in graph.inputs if name not in graph.initializers]
    taken = {*inputs, *(f"{name}_Initializer_{i}" for i, name in enumerate(graph.initializers))}
    spelled = [namer.name(node) for node in graph.nodes]
    if len({*taken, *spelled}) == len(taken) + len(spelled):
        return 0
    written = {node.name for node in graph.nodes if node.name}
    changed = 0
    for node in graph.nodes:
        name = node.name or node.op_type
        if not node.name or name in taken:
            base, number = name, 0
            while name in taken or (name in written and name != node.name) or number == 0:
                number += 1
                name = f"{base}_{number}"
            node.proto.name = name
            changed += 1
        taken.add(name)
    return changed


def _name_skipped_outputs(graph: Graph) -> int:
    """Give skipped outputs a name where the parser would link them with skipped inputs."""
    if not graph.has_empty_inputs:
        return 0
    changed = 0
    for node in graph.nodes:
        for index, name in enumerate(node.outputs):
            if not name:
                fresh = graph.fresh_name(f"{node.name or node.op_type}_unused_{index}")
                graph.set_output(node, index, fresh)
                changed += 1
    return changed


def _branch_outputs(graph: Graph) -> int:
    """Put an Identity before a branch output that is an outer tensor."""
    if graph.owner is None or graph.owner.op_type != "If":
        return 0
    changed = 0
    for index, name in enumerate(list(graph.outputs)):
        value = graph.lookup(name)
        if value is None or value.graph is graph:
            continue
        fresh = graph.fresh_name(f"{name}_of_branch")
        node = graph.add_node(onnx.NodeProto(op_type="Identity", input=[name], output=[fresh]))
        node.proto.name = f"{fresh}/Identity"
        graph.rename_output(index, fresh)
        changed += 1
    return changed


def _unused_constants(graph: Graph) -> int:
    unused = [
        name
        for name in graph.initializers
        if not (v := graph.values[name]).uses and not v.is_output and not v.is_input
    ]
    for name in unused:
        graph.remove_initializer(name)
    return len(unused)


def _opset_imports(model: Model) -> int:
    """Drop opset_import entries of domains that no node belongs to."""
    used = {node.domain or "ai.onnx" for node in model.graph.walk()}
    used |= {f.domain or "ai.onnx" for f in model.proto.functions}
    used.add("ai.onnx")
    entries = list(model.proto.opset_import)
    kept = [e for e in entries if (e.domain or "ai.onnx") in used]
    if len(kept) == len(entries):
        return 0
    copies = [onnx.OperatorSetIdProto(domain=e.domain, version=e.version) for e in kept]
    del model.proto.opset_import[:]
    model.proto.opset_import.extend(copies)
    return len(entries) - len(kept)

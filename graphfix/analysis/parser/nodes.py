"""Node by node: element types of inputs, data of constants, and what each plugin refuses."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import onnx

from graphfix.analysis.context import Context
from graphfix.analysis.findings import Order
from graphfix.analysis.parser import order
from graphfix.graph import Graph, Node, dtypes
from graphfix.graph.node import constant_tensor
from graphfix.graph.tensors import element_count, is_external
from graphfix.support.paths import data_folder
from graphfix.support.target import Release, read_toml

_SOURCE = "ge parser/parser/onnx (August 2026); parser oracle"
_PROOF: dict[str, Any] = {"evidence": _SOURCE, "certainty": "proved"}
_VALUE_SPELLINGS = (
    "value_float",
    "value_floats",
    "value_int",
    "value_ints",
    "value_string",
    "value_strings",
    "sparse_value",
)
# which repeated field holds the elements of a type, as GE reads them
_TYPED_FIELDS = {
    1: "float_data",
    11: "double_data",
    7: "int64_data",
    12: "uint64_data",
    13: "uint64_data",
    8: "string_data",
    14: "float_data",
    15: "double_data",
}
_MAX_ELEMENTS = 2**31 - 1
# types that every release maps and that raw data can hold (2 GiB of it at most)
_PLAIN = frozenset({1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13})


@cache
def _mapped(release: str) -> dict[int, bool]:
    """Return {ONNX type: usable as a constant} of the types that GE maps."""
    table = read_toml(data_folder("op_support") / "dtypes.toml")["types"]
    return {
        t["onnx"]: t.get("constant", True)
        for t in table.values()
        if release in t.get("releases", [release])
    }


def check_nodes(context: Context, graph: Graph, rank: int) -> None:
    """Refuse unmapped types, constants without data, and whatever a node's plugin refuses."""
    position = 0
    if graph.owner is None:
        for info in graph.proto.input:
            if info.name not in graph.initializers:
                _check_input(context, info, (rank, order.NODES, position))
            position += 1
    for number, tensor in enumerate(graph.initializers.values()):
        if not _is_ordinary(tensor):
            name = f"{tensor.name}_Initializer_{number}"
            where: Order = (rank, order.NODES, position + number)
            _check_constant(context, tensor, name, context.scope(graph), where)
    position += len(graph.initializers)
    lost = context.target.release.parser["nodes_without_inputs"] == "lost"
    for group in context.groups(graph):
        sample = group[0]
        if sample.op_type == "Constant":
            for node in group:
                _check_constant_node(context, node, (rank, order.NODES, position + node.position))
        elif context.registration(sample) is not None:
            refusals = any(c.effect == "rejected" for c in context.constraints(sample))
            for node in group:
                where = (rank, order.NODES, position + node.position)
                if refusals:
                    _check_plugin(context, node, where)
                if lost and not node.inputs:
                    context.add(
                        "node-without-inputs",
                        "The node has no inputs; this release loses it.",
                        node,
                        error_code="graph",
                        order=where,
                        certainty="medium",
                        evidence="history of ge onnx_parser.cc before 2026-07-23",
                    )


def _check_input(context: Context, info: onnx.ValueInfoProto, where: Order) -> None:
    kind = info.type.WhichOneof("value")
    number = info.type.tensor_type.elem_type if kind == "tensor_type" else 0
    if number in _mapped(context.target.release.name):
        return
    if kind in ("sequence_type", "optional_type", "map_type", "sparse_tensor_type"):
        what = f"is a {kind.removesuffix('_type').replace('_', ' ')}, not a tensor"
    elif number == 0:
        what = "has no element type"
    else:
        what = f"has element type {dtypes.name(number)}, which GE does not map"
    context.add(
        "dtype-unmapped",
        f"The graph input {info.name!r} {what}.",
        error_code="graph",
        order=where,
        **_PROOF,
    )
    context.findings[-1].node, context.findings[-1].op_type = info.name, "Input"


def _check_constant_node(context: Context, node: Node, where: Order) -> None:
    tensor = constant_tensor(node)
    if tensor is not None:
        _check_constant(context, tensor, context.name(node), context.scope(node.graph), where)
        return
    spelled = next((s for s in _VALUE_SPELLINGS if s in node.attributes), None)
    if spelled is not None:
        fix = "explicit/constant_value"
        context.add(
            "constant-lost",
            f"The value in {spelled} is never read; the constant arrives empty.",
            node,
            headline=f"Constant: {spelled} is never read",
            fix=fix if fix in context.known_rules else None,
            evidence="differential audit of the August 2026 parser",
            certainty="proved",
        )


def _is_ordinary(tensor: onnx.TensorProto) -> bool:
    """Whether a tensor is of a type that every release maps, with raw data in the file."""
    return (
        tensor.data_type in _PLAIN
        and tensor.HasField("raw_data")
        and tensor.raw_data != b""
        and not tensor.data_location
        and min(tensor.dims, default=0) >= 0
    )


def _check_constant(
    context: Context, tensor: onnx.TensorProto, name: str, scope: str, where: Order
) -> None:
    external = is_external(tensor)
    op_type = "FileConstant" if external else "Constant"
    problem = (
        _external_problem(tensor) if external else _data_problem(tensor, context.target.release)
    )
    if problem is not None:
        slug, code, message = problem
        context.add(slug, message, error_code=code, order=where, scope=scope, **_PROOF)
        context.findings[-1].node, context.findings[-1].op_type = name, op_type
        return
    count = element_count(tensor)
    if count > _MAX_ELEMENTS:
        context.add(
            "constant-too-large",
            f"The tensor {tensor.name!r} has {count:,} elements.",
            scope=scope,
            evidence="ge onnx_constant_parser.cc",
            certainty="medium",
        )
        context.findings[-1].node, context.findings[-1].op_type = name, op_type
    elif not external and not tensor.HasField("raw_data"):
        _check_short(context, tensor, count, name, scope)


def _check_short(
    context: Context, tensor: onnx.TensorProto, count: int, name: str, scope: str
) -> None:
    have = len(getattr(tensor, _TYPED_FIELDS.get(tensor.data_type, "int32_data")))
    if tensor.data_type in (14, 15):
        have //= 2
    if tensor.data_type in (21, 22):
        have *= 2
    if 0 < have < count:
        context.add(
            "constant-short",
            f"The tensor {tensor.name!r} holds {have} values for {count} "
            "elements; the last one is repeated.",
            scope=scope,
            evidence="ge onnx_constant_parser.cc; parser oracle",
            certainty="high",
        )
        context.findings[-1].node, context.findings[-1].op_type = name, "Constant"


def _data_problem(tensor: onnx.TensorProto, release: Release) -> tuple[str, str, str] | None:
    mapped = _mapped(release.name)
    what = f"The constant {tensor.name!r}" if tensor.name else "The constant"
    dtype = dtypes.name(tensor.data_type)
    if tensor.data_type not in mapped:
        return "dtype-unmapped", "graph", f"{what} has element type {dtype}, which GE does not map."
    if any(d < 0 for d in tensor.dims):
        return "constant-without-data", "graph", f"{what} has a negative dim."
    if element_count(tensor) == 0:
        return None
    if not mapped[tensor.data_type]:
        return "dtype-unmapped", "graph", f"{what} of type {dtype} cannot be stored inline."
    field = _TYPED_FIELDS.get(tensor.data_type, "int32_data")
    if not tensor.raw_data and not len(getattr(tensor, field)):
        return "constant-without-data", "graph", f"{what} has neither raw data nor {field}."
    return None


# std::stol: optional blanks and sign, digits, anything behind; and it must fit into 64 bits
_NUMBER = re.compile(r"\s*[+-]?\d+")


def _external_problem(tensor: onnx.TensorProto) -> tuple[str, str, str] | None:
    for entry in tensor.external_data:
        if entry.key == "location":
            continue
        match = _NUMBER.match(entry.value)
        if match is None or not -(2**63) <= int(match[0]) < 2**63:
            return (
                "external-data-key",
                "bad_number",
                f"The external_data key {entry.key!r} of {tensor.name!r} has the value "
                f"{entry.value[:40]!r}, which is parsed as a number and is none.",
            )
    if not any(entry.key == "location" for entry in tensor.external_data):
        return "external-data-key", "graph", f"The external tensor {tensor.name!r} has no location."
    return None


def _check_plugin(context: Context, node: Node, where: Order) -> None:
    for constraint, view in context.holding(node):
        if constraint.effect != "rejected" or constraint.stage == "compile":
            continue
        rank, stage, position = where
        details: dict[str, Any] = {}
        if constraint.stage == "expansion":
            stage = order.EXPANSION
        code = constraint.code or "plugin_refuses"
        if constraint.finding == "parser-crash":
            details["facts"] = {"signal": constraint.code or "SIGSEGV"}
            code = "CRASH"
        context.add_constraint(
            constraint, view, node, error_code=code, order=(rank, stage, position), **details
        )

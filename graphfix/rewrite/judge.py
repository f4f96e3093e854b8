"""Judging an island: what the target does with its nodes, and what its boundary looks like."""

from __future__ import annotations

from dataclasses import dataclass

import onnx
import onnx.checker
import onnx.defs

from graphfix.analysis.context import Context
from graphfix.analysis.findings import Finding
from graphfix.analysis.kernels import check_kernels
from graphfix.analysis.parser import check_parser
from graphfix.analysis.silent import check_silent
from graphfix.graph import Model, infer
from graphfix.rewrite.island import Boundary, Island
from graphfix.support import Tables, Target

# findings of nodes that the parser makes up: inputs and constants of an island are not the site's
_PSEUDO = {"Input", "Constant", "FileConstant"}


@dataclass(frozen=True, order=True)
class Potential:
    """What every commit must lower, compared in this order.

    bad: nodes that are refused or computed differently; weight: fall-backs and other costs that
    the tables name; nodes: how many there are.
    """

    bad: int
    weight: int
    nodes: int

    def __add__(self, other: Potential) -> Potential:
        return Potential(self.bad + other.bad, self.weight + other.weight, self.nodes + other.nodes)

    def __sub__(self, other: Potential) -> Potential:
        return Potential(self.bad - other.bad, self.weight - other.weight, self.nodes - other.nodes)


def findings_of(
    proto: onnx.ModelProto, ports: list[Boundary], opset: int, target: Target, tables: Tables
) -> list[Finding]:
    """Return what the target does with the nodes of a small model, read at `opset`."""
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    for entry in copy.opset_import:
        if entry.domain in ("", "ai.onnx"):
            entry.version = opset
    model = Model(copy)
    model.inner_inputs = frozenset(port.name for port in ports if port.is_inner)
    infer(model)
    context = Context(model, target, tables)
    check_parser(context)
    check_silent(context)
    check_kernels(context, target.socs)
    return [f for f in context.findings if f.node is not None and f.op_type not in _PSEUDO]


def takes_leak(node: onnx.NodeProto) -> bool:
    """Whether a ConvTranspose gets auto_pad from an earlier one with output_shape.

    So says the constraint ConvTranspose/leaked-auto-pad of op_support; what has to go is the other
    node's output_shape, of which no island of this node knows.
    """
    written = {attribute.name for attribute in node.attribute}
    return node.op_type == "ConvTranspose" and not written & {"output_shape", "auto_pad"}


def _leaves_leak(node: onnx.NodeProto) -> bool:
    written = {attribute.name for attribute in node.attribute}
    return (
        node.op_type == "ConvTranspose" and "output_shape" in written and "auto_pad" not in written
    )


def _count(graph: onnx.GraphProto) -> int:
    """Return the number of nodes, those in branches included."""
    inner = sum(_count(a.g) for node in graph.node for a in node.attribute if a.HasField("g"))
    return len(graph.node) + inner


def potential_of(
    proto: onnx.ModelProto, found: list[Finding], in_branch: bool = False, leaks: bool = False
) -> Potential:
    """Return the potential of a small model with these findings.

    `in_branch`: its nodes lie in a branch, where the parser refuses inputs that are left empty.
    `leaks`: nodes elsewhere take what an output_shape leaves behind (see `takes_leak`).
    """
    bad = len({f.node for f in found if f.effect in ("rejected", "miscompiled")})
    if leaks:
        bad += sum(_leaves_leak(node) for node in proto.graph.node)
    if in_branch:
        bad += sum("" in node.input for node in proto.graph.node)
    weight = len({f.node for f in found if f.effect == "fallback"})
    return Potential(bad, weight, _count(proto.graph))


def boundary_problem(island: Island) -> str | None:
    """Return how the rewritten site's outputs differ in dtype or shape, None when they agree.

    The types are inferred anew, without what the island declares for its outputs.
    """
    bare = onnx.ModelProto()
    bare.CopyFrom(island.after)
    for info in bare.graph.output:
        info.ClearField("type")
    model = Model(bare)
    infer(model)
    for port in island.outputs:
        value = model.graph.values[port.name]
        if port.dtype is not None and value.dtype is not None and value.dtype != port.dtype:
            return f"the output would be {value.dtype} instead of {port.dtype}"
        if port.shape is None or value.shape is None:
            continue
        if len(value.shape) != len(port.shape):
            return f"the output would have rank {len(value.shape)} instead of {len(port.shape)}"
        for new, old in zip(value.shape, port.shape, strict=True):
            if isinstance(new, int) and isinstance(old, int) and new != old:
                return f"the output would have shape {value.shape} instead of {port.shape}"
    return None


def invalid_node(model: onnx.ModelProto) -> str | None:
    """Return what ONNX's checker says of the nodes of a small model, None when all are valid.

    Nodes with branches and operators that ONNX does not know are passed over.
    """
    context = onnx.checker.C.CheckerContext()
    context.ir_version = model.ir_version
    context.opset_imports = opsets = {e.domain: e.version for e in model.opset_import}
    for node in model.graph.node:
        if node.domain not in ("", "ai.onnx") or any(a.HasField("g") for a in node.attribute):
            continue
        try:
            onnx.defs.get_schema(node.op_type, opsets.get("", 1), "")
        except onnx.defs.SchemaError:
            continue
        try:
            onnx.checker.check_node(node, context)
        except onnx.checker.ValidationError as error:
            return str(error).strip().partition("\n")[0]
    return None

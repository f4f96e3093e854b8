"""The opset planner: which opset needs the fewest rewrites, and how the model gets there.

A node whose operator is the same at both opsets is relabelled. One whose operator got a new
version in between is relabelled when the checker takes it at the new opset and both versions prove
to compute the same for it; else a rule spells it out, or onnx's version converter adapts it, again
with proof. A node for which none of that works is a loss: the plan is refused and says why.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, field
from functools import cache

import onnx
import onnx.checker
import onnx.defs
import onnx.shape_inference
import onnx.version_converter

from graphfix.graph import Graph, Model, Node
from graphfix.rewrite.builder import Builder
from graphfix.rewrite.engine import Engine
from graphfix.rewrite.island import cut_out, read_back
from graphfix.rewrite.judge import boundary_problem
from graphfix.rewrite.kinds import kind_of
from graphfix.rewrite.proof import prove
from graphfix.rewrite.rule import Exactness, Site
from graphfix.support import Tables, Target
from graphfix.support.conditions import NodeView, schema_attributes

CANDIDATES = range(11, 19)  # what ATC's documents promise
FOREIGN = ("ai.onnx.ml", "com.microsoft")  # domains of which CANN registers nothing
REGISTERED = range(8, 19)  # what its plugins register


@dataclass
class Plan:
    """The chosen opset, and what each candidate would have cost.

    `costs`: nodes that need more than a new label, by opset. `losses`: nodes that cannot be
    brought to the chosen opset, with the reason.
    """

    source: int
    target: int
    costs: dict[int, int]
    relabelled: int = 0
    adapted: dict[str, int] = field(default_factory=dict)
    losses: list[tuple[str, str, str]] = field(default_factory=list)

    def sentence(self) -> str:
        """Say what was chosen and why."""
        if not self.source:
            return "the model imports no opset of ONNX's own"
        if self.source == self.target:
            return f"opset {self.source} stays"
        others = {o: c for o, c in self.costs.items() if o != self.target}
        near = sorted(others, key=lambda o: (others[o], -o))[:2]
        why = "; ".join(f"{o} would need {others[o]}" for o in near)
        cost = self.costs[self.target]
        return (
            f"opset {self.source} -> {self.target}: {cost or 'no'} "
            f"{'node needs' if cost <= 1 else 'nodes need'} a "
            f"rewrite there" + (f", {why}" if why else "")
        )


def plan(model: Model, target: Target, tables: Tables, forced: int | None = None) -> Plan:
    """Choose the opset with the fewest nodes that need more than a new label."""
    source = model.opset
    if source is None:
        return Plan(0, 0, {})
    counts: Counter[str] = Counter(
        node.op_type
        for node in model.graph.walk()
        if node.is_standard and node.op_type != "Constant"
    )
    # an older model that the parser takes as it is may stay where it is
    candidates = {*CANDIDATES, *({source} & {*REGISTERED})} if forced is None else {forced}
    costs = {
        opset: sum(
            count
            for op_type, count in counts.items()
            if _needs_rewrite(op_type, source, opset, target, tables)
        )
        for opset in sorted(candidates)
    }
    if forced is None and source not in CANDIDATES and costs.get(source):
        del costs[source]
    best = min(costs, key=lambda o: (costs[o], o != source, abs(o - source), -o))
    return Plan(source, best, costs)


def _needs_rewrite(op_type: str, source: int, opset: int, target: Target, tables: Tables) -> bool:
    operator = tables.operator(op_type)
    release = target.release.name
    is_custom = tables.takes_custom("ai.onnx", op_type, opset)
    if not is_custom and (
        operator is None or operator.registration("ai.onnx", opset, release) is None
    ):
        return True
    old, new = _since(op_type, source), _since(op_type, opset)
    if new is None:
        return not is_custom
    return old is None or (old != new and not _same_signature(op_type, source, opset))


@cache
def _since(op_type: str, opset: int) -> int | None:
    try:
        schema = onnx.defs.get_schema(op_type, max_inclusive_version=opset, domain="")
    except onnx.defs.SchemaError:
        return None
    return int(schema.since_version)


def convert(model: Model, chosen: Plan, engine: Engine) -> None:
    """Bring the model to the chosen opset, or fill `chosen.losses` and leave its label alone."""
    if chosen.source == chosen.target:
        return
    model.emit_opset = chosen.target
    fits: dict[Hashable, bool] = {}
    odd: dict[Node, bool] = {}

    def is_odd(node: Node) -> bool:
        if node not in odd:
            odd[node] = _is_odd(node, chosen, fits) and not taken_as_it_is(node)
        return odd[node]

    def taken_as_it_is(node: Node) -> bool:
        # a plugin of the user's takes it at an opset at which ONNX does not know it
        op_type = node.op_type
        return _since(op_type, chosen.target) is None and engine.gate.tables.takes_custom(
            "ai.onnx", op_type, chosen.target
        )

    def is_foreign(node: Node) -> bool:
        # no plugin takes it: spelled out first, it tells the types of what follows
        opset = model.opsets.get(node.domain, 1)
        return node.domain in FOREIGN and not engine.gate.tables.takes_custom(
            node.domain, node.op_type, opset
        )

    engine.run(converting_from=chosen.source, only=lambda node: is_foreign(node) or is_odd(node))
    for graph in model.graph.graphs():
        for node in graph.nodes:
            if node in engine.added or not node.is_standard or node.op_type == "Constant":
                continue
            if is_odd(node):
                _adapt(node, graph, chosen, engine)
            else:
                chosen.relabelled += 1
    if chosen.losses:
        model.emit_opset = chosen.source
        return
    for entry in model.proto.opset_import:
        if entry.domain in ("", "ai.onnx"):
            entry.version = chosen.target


def _is_odd(node: Node, chosen: Plan, fits: dict[Hashable, bool]) -> bool:
    """Whether a node needs more than a new label."""
    if not node.is_standard or node.op_type == "Constant":
        return False
    old, new = _since(node.op_type, chosen.source), _since(node.op_type, chosen.target)
    if old == new:
        return False
    if new is None:
        return True
    if node.subgraphs:
        # its branches are converted node by node; of itself only the list of types has grown
        return not _same_signature(node.op_type, chosen.source, chosen.target)
    kind = kind_of(node)
    if kind not in fits:
        fits[kind] = _fits(node, _copied(node, chosen), chosen)
    return not fits[kind]


def _copied(node: Node, chosen: Plan, *, without: frozenset[str] = frozenset()) -> Site:
    """Return the site that copies a node, without some attributes."""
    builder = Builder(node, node.graph)
    names = builder.copy(node, **dict.fromkeys(without))
    return builder.site({o: n for o, n in zip(node.outputs, names, strict=True) if o})


def _fits(node: Node, site: Site, chosen: Plan) -> bool:
    """Whether a new label is enough: the checker takes it, and both versions compute the same."""
    island = cut_out(site, node.graph, chosen.source, chosen.target)
    untyped = any(port.dtype is None for port in (*island.inputs, *island.outputs))
    if untyped:
        return _same_signature(node.op_type, chosen.source, chosen.target)
    if not _valid(island.after):
        return False
    # an engine's kernels of two versions may round differently
    proof = prove(island, Exactness.ROUNDING, 2e-6)
    if proof.ok is None:
        return _same_signature(node.op_type, chosen.source, chosen.target)
    return proof.ok


def _valid(model: onnx.ModelProto) -> bool:
    infos = (*model.graph.input, *model.graph.output)
    try:
        if all(info.type.tensor_type.HasField("shape") for info in infos):
            onnx.checker.check_model(model, full_check=True)
        else:  # the checker insists on the ranks of inputs and outputs, which are not known here
            context = onnx.checker.C.CheckerContext()
            context.ir_version = model.ir_version
            context.opset_imports = {e.domain: e.version for e in model.opset_import}
            for node in model.graph.node:
                onnx.checker.check_node(node, context)
            onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    except Exception:  # the checker's errors are many; any of them means "not at this opset"
        return False
    return True


def _same_signature(op_type: str, source: int, opset: int) -> bool:
    """Whether only the list of allowed types differs between two versions of an operator."""
    a = onnx.defs.get_schema(op_type, max_inclusive_version=source, domain="")
    b = onnx.defs.get_schema(op_type, max_inclusive_version=opset, domain="")

    def signature(schema: onnx.defs.OpSchema) -> object:
        attributes = {
            n: (int(x.type.value), x.default_value.SerializeToString(), x.required)
            for n, x in schema.attributes.items()
        }
        return attributes, [i.name for i in schema.inputs], [o.name for o in schema.outputs]

    return signature(a) == signature(b)


def _adapt(node: Node, graph: Graph, chosen: Plan, engine: Engine) -> None:
    """Let onnx's version converter write the node anew, with proof; else note the loss."""
    if node.subgraphs:
        reason = f"its form with branches differs between {chosen.source} and {chosen.target}"
        chosen.losses.append((node.name, node.op_type, reason))
        return
    site = _without_defaults(node, chosen) or _converted(node, graph, chosen)
    if isinstance(site, str):
        chosen.losses.append((node.name, node.op_type, engine.reasons(node) or site))
        return
    island = cut_out(site, graph, chosen.source, chosen.target)
    # an engine may be kinder than the operator: the shapes that ONNX infers must stay as well
    problem = boundary_problem(island)
    if problem is not None:
        chosen.losses.append((node.name, node.op_type, engine.reasons(node) or problem))
        return
    proof = prove(island, Exactness.ROUNDING, 2e-6)
    if proof.ok is not True:
        chosen.losses.append(
            (node.name, node.op_type, f"the adapted form is not proved equal: {proof.reason}")
        )
        return
    engine.commit_adapter(site, graph, island, proof)
    chosen.adapted[node.op_type] = chosen.adapted.get(node.op_type, 0) + 1


def _without_defaults(node: Node, chosen: Plan) -> Site | None:
    """Return the node without attributes that the new opset lacks and that say the default.

    Cast's saturate = 1, written out by exporters, is one.
    """
    old = schema_attributes(node.op_type, chosen.source) or {}
    new = schema_attributes(node.op_type, chosen.target) or {}
    view = NodeView(node, chosen.source)
    gone = frozenset(
        name
        for name in node.attributes
        if name not in new and name in old and view.attribute(name) == old[name][1]
    )
    if not gone:
        return None
    site = _copied(node, chosen, without=gone)
    return site if _fits(node, site, chosen) else None


def _converted(node: Node, graph: Graph, chosen: Plan) -> Site | str:
    source = Plan(chosen.source, chosen.source, {})
    island = cut_out(_copied(node, source), graph, chosen.source, chosen.source)
    try:
        result = onnx.version_converter.convert_version(island.before, chosen.target)
    except Exception:  # the converter's own errors: assertions of its C++ code
        return f"no rule writes it for opset {chosen.target}, and onnx has no adapter"
    return read_back(island, (node,), result)

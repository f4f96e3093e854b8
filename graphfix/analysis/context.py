"""What every analysis gets: the model, the target, the tables, and the findings so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from graphfix.analysis.findings import Finding, Namer, finding, scope_of
from graphfix.graph import Graph, Model, Node
from graphfix.support.conditions import NodeView
from graphfix.support.tables import Constraint, Operator, Registration, Tables
from graphfix.support.target import Target


@dataclass
class Context:
    """One check of one model. `known_rules` are the rewrite rules that remedies may name."""

    model: Model
    target: Target
    tables: Tables
    known_rules: frozenset[str] = frozenset()
    findings: list[Finding] = field(default_factory=list)
    _namer: Namer | None = None
    _scopes: dict[int, str] = field(default_factory=dict)
    _constraints: dict[tuple[str, str, int], list[Constraint]] = field(default_factory=dict)
    _registrations: dict[tuple[str, str], Registration | None] = field(default_factory=dict)
    _opsets: dict[str, int] | None = None
    _groups: dict[int, dict[tuple[str, str], list[Node]]] = field(default_factory=dict)

    @property
    def opsets(self) -> dict[str, int]:
        """The model's opset by domain."""
        if self._opsets is None:
            self._opsets = self.model.opsets
        return self._opsets

    def name(self, node: Node) -> str:
        """Return the node's name as ATC spells it."""
        if self._namer is None:
            self._namer = Namer(self.model.graph)
        return self._namer.name(node)

    def scope(self, graph: Graph) -> str:
        """Return where the graph lies, empty for the main graph."""
        key = id(graph)
        if key not in self._scopes:
            self._scopes[key] = scope_of(graph)
        return self._scopes[key]

    def groups(self, graph: Graph) -> list[list[Node]]:
        """Return the nodes of a graph by operator: what the tables say is asked once for each."""
        return list(self._by_type(graph).values())

    def of_type(self, graph: Graph, op_type: str) -> list[Node]:
        """Return the nodes of a graph that are of one standard operator."""
        groups = self._by_type(graph)
        return [*groups.get(("", op_type), ()), *groups.get(("ai.onnx", op_type), ())]

    def _by_type(self, graph: Graph) -> dict[tuple[str, str], list[Node]]:
        key = id(graph)
        if key not in self._groups:
            self._groups[key] = graph.by_type()
        return self._groups[key]

    def operator(self, node: Node) -> Operator | None:
        """Return the tables' entry for the node's operator."""
        return self.tables.operator(node.op_type)

    def opset(self, node: Node) -> int | None:
        """Return the opset that the model imports for the node's domain."""
        return self.opsets.get(node.domain or "ai.onnx")

    def registration(self, node: Node) -> Registration | None:
        """Return the registration that the parser finds for the node; None when it finds none."""
        key = (node.domain, node.op_type)
        if key not in self._registrations:
            operator, opset = self.operator(node), self.opset(node)
            domain = node.domain or "ai.onnx"
            self._registrations[key] = (
                None
                if operator is None or opset is None
                else operator.registration(domain, opset, self.target.release.name)
            )
        return self._registrations[key]

    def is_custom(self, node: Node) -> bool:
        """Whether the user says that a plugin of their own takes the node (--custom-op)."""
        return self.tables.takes_custom(node.domain or "ai.onnx", node.op_type, self.opset(node))

    def constraints(self, node: Node) -> list[Constraint]:
        """Return the constraints that may hold for the node, by its operator, domain and opset."""
        opset = self.opset(node)
        if opset is None:
            return []
        domain = node.domain or "ai.onnx"
        key = (domain, node.op_type, opset)
        if key not in self._constraints:
            operator = self.operator(node)
            self._constraints[key] = (
                []
                if operator is None
                else operator.constraints_at(domain, opset, self.target.release.name)
            )
        return self._constraints[key]

    def holding(self, node: Node) -> list[tuple[Constraint, NodeView]]:
        """Return the constraints that hold for the node."""
        candidates = self.constraints(node)
        if not candidates:
            return []
        view = NodeView(node, self.opset(node) or 0)
        return [(c, view) for c in candidates if c.when is None or c.when(view)]

    def add(self, slug: str, message: str, node: Node | None = None, **details: Any) -> Finding:
        """Add a finding about `node`, or about the file."""
        if node is not None:
            details.setdefault("node", self.name(node))
            details.setdefault("op_type", node.op_type)
            details.setdefault("scope", self.scope(node.graph))
        added = finding(slug, message, **details)
        self.findings.append(added)
        return added

    def add_constraint(
        self, constraint: Constraint, view: NodeView, node: Node, **details: Any
    ) -> Finding:
        """Add the finding that a constraint of the tables states."""
        fix = constraint.fix if constraint.fix in self.known_rules else None
        details.setdefault("effect", constraint.effect)
        remedy = view.text(constraint.advice)
        if constraint.no_fix:
            remedy += f" No rewrite does it: {view.text(constraint.no_fix)}"
        return self.add(
            constraint.finding,
            view.text(constraint.says),
            node,
            headline=f"{node.op_type}: {constraint.says}",
            remedy=remedy,
            fix=fix,
            constraint=constraint.key,
            evidence=constraint.source,
            certainty=constraint.certainty,
            **details,
        )

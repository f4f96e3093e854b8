"""What remains refused or computed differently after a fix, and why no rule helps."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphfix.analysis import Report
from graphfix.analysis.findings import Finding, Namer, scope_of
from graphfix.graph import Node
from graphfix.rewrite.engine import Engine
from graphfix.rewrite.kinds import kind_of
from graphfix.rewrite.opset import Plan
from graphfix.rewrite.rule import No, Rule

BAD = ("rejected", "miscompiled")


@dataclass(frozen=True)
class Remains:
    """A finding that is still there, and the reason."""

    finding: Finding
    reason: str

    def to_json(self) -> dict[str, Any]:
        """Return the entry of the JSON contract `graphfix.fix/1`."""
        f = self.finding
        return {
            "code": f.code,
            "effect": f.effect,
            "node": f.node,
            "op_type": f.op_type,
            "scope": f.scope,
            "reason": self.reason,
        }


def what_remains(
    report: Report, engine: Engine, rules: Sequence[Rule], plan: Plan
) -> list[Remains]:
    """Return each bad finding of a report on `engine.model`, with the reason why it is still there.

    The rule that a finding names is asked again at its node, and the gate with it; so what is said
    holds for that node, not for another one of its type.
    """
    left = [f for f in report.findings if f.effect in BAD]
    if not left:
        return []
    model = engine.model
    namer = Namer(model.graph)
    nodes = {(scope_of(n.graph), namer.name(n)): n for n in model.graph.walk()}
    by_name = {rule.name: rule for rule in rules}
    # nodes without a name got one since: then their operator has to tell
    losses = {name or op_type: reason for name, op_type, reason in plan.losses}
    said: dict[Hashable, str] = {}
    result = []
    for found in left:
        node = nodes.get((found.scope, found.node or ""))
        reason = losses.get(found.node or "") or losses.get(found.op_type or "")
        if reason is None:
            key = (found.fix, found.constraint, found.name, node and kind_of(node))
            if key not in said or (node is not None and node.subgraphs):
                said[key] = _reason(found, node, by_name, plan, engine)
            reason = said[key]
        result.append(Remains(found, reason))
    return result


def _reason(
    found: Finding, node: Node | None, rules: Mapping[str, Rule], plan: Plan, engine: Engine
) -> str:
    if found.fix == "opset" and plan.losses:
        _, op_type, reason = plan.losses[0]
        return f"{len(plan.losses)} nodes cannot leave opset {plan.source}: {op_type}: {reason}"
    rule = rules.get(found.fix or "") or _rule_for(found, node, rules)
    if rule is None:
        return f"no rule: {found.remedy}"
    if node is None or node.key not in rule.roots:
        return f"{rule.name} starts at other operators"
    answer = rule.match(node, node.graph)
    if isinstance(answer, No):
        return f"{rule.name}: {answer.reason}"
    problem = engine.gate.judge(rule, answer, node.graph).problem
    return f"{rule.name}: {problem or 'would fire now'}"


def _rule_for(found: Finding, node: Node | None, rules: Mapping[str, Rule]) -> Rule | None:
    """Return a rule for the node's operator that claims to remove the finding, where none is named.

    Kernel tables name no rules: which one helps follows from the operator.
    """
    if node is None:
        return None
    claims = {found.code, found.constraint}
    return next((r for r in rules.values() if node.key in r.roots and claims & {*r.fixes}), None)

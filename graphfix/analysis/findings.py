"""Finding: one thing that ATC will do to one node, why, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from graphfix.analysis.codes import BY_NAME
from graphfix.graph import Graph, Node

# (graph, stage, position): where the parser meets a finding
Order = tuple[int, int, float]

EFFECT_ORDER = ("rejected", "miscompiled", "fallback", "precision", "dynamic", "note")


@dataclass
class Finding:
    """One trouble of one node (or of the file, when `node` is None).

    `stage` is where ATC meets it: parse, compile, or run. `order` sorts parse findings as the
    parser meets them; `error_code` is what ATC prints, None where it prints nothing or stops
    before.
    `headline` is the same for all findings that a table shows as one line. `facts` holds numbers
    that programs may want; `socs` the SoCs it holds for, empty for all.
    """

    code: str
    name: str
    effect: str
    message: str
    remedy: str
    evidence: str
    certainty: str
    stage: str = "parse"
    error_code: str | None = None
    node: str | None = None
    op_type: str | None = None
    scope: str = ""
    headline: str = ""
    constraint: str | None = None
    fix: str | None = None
    socs: tuple[str, ...] = ()
    order: Order = (0, 0, 0)
    facts: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the finding as the JSON contract `graphfix.check/1` has it."""
        return {
            "code": self.code,
            "name": self.name,
            "effect": self.effect,
            "stage": self.stage,
            "error_code": self.error_code,
            "node": self.node,
            "op_type": self.op_type,
            "scope": self.scope,
            "message": self.message,
            "remedy": self.remedy,
            "fix": self.fix,
            "constraint": self.constraint,
            "evidence": self.evidence,
            "certainty": self.certainty,
            "socs": list(self.socs),
        }


def finding(slug: str, message: str, **details: Any) -> Finding:
    """Return a finding of the kind `slug`, with the code's own effect, headline and remedy."""
    code = BY_NAME[slug]
    details.setdefault("effect", code.effect)
    details.setdefault("headline", code.headline)
    details.setdefault("remedy", code.remedy)
    return Finding(code=code.code, name=code.name, message=message, **details)


def scope_of(graph: Graph) -> str:
    """Return where a graph lies: empty for the main one, else `If_3/then_branch/...`."""
    parts: list[str] = []
    inner: Graph | None = graph
    while inner is not None and inner.owner is not None:
        branch = next((name for name, g in inner.owner.subgraphs if g is inner), "")
        parts.append(f"{inner.owner.name or inner.owner.op_type}/{branch}")
        inner = inner.parent
    return "/".join(reversed(parts))


class Namer:
    """The names under which ATC knows the nodes of a model: nameless ones get type and number."""

    def __init__(self, graph: Graph) -> None:
        self._names: dict[int, str] = {}
        counter = 0
        for node in graph.walk():
            if not node.name:
                self._names[id(node)] = f"{node.op_type}_{counter}"
                counter += 1

    def name(self, node: Node) -> str:
        """Return the node's name as the parser spells it."""
        return node.name or self._names.get(id(node), node.op_type)

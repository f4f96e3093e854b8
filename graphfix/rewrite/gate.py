"""The gate: every edit of the engine passes it, and nothing else may edit.

It refuses what would break the graph, change types at the boundary, not lower the potential, or not
prove to compute the same. Equal sites are judged once.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace

from graphfix.graph import Graph, Model, Node, Shape, Value
from graphfix.rewrite.builder import MARK
from graphfix.rewrite.island import Island, cut_out
from graphfix.rewrite.judge import (
    Potential,
    boundary_problem,
    findings_of,
    invalid_node,
    potential_of,
    takes_leak,
)
from graphfix.rewrite.kinds import kind_in_use
from graphfix.rewrite.proof import Proof, prove
from graphfix.rewrite.rule import Exactness, Rule, Site
from graphfix.support import Tables, Target

NO_GAIN = "it would not lower the potential"

# made-up names of a site -> (dtype, shape) as the island tells
Types = Mapping[str, tuple[str | None, Shape | None]]


@dataclass(frozen=True)
class Verdict:
    """What the gate says of a site: None in `problem` lets it pass. `types` are of its new values.

    `was_sound`: it is refused because the target takes the nodes as they are. `is_of_place`: it is
    refused for where it stands, and an equal site elsewhere may pass.
    """

    problem: str | None
    proof: Proof | None = None
    was_sound: bool = False
    is_of_place: bool = False
    types: Types = field(default_factory=dict)


class Gate:
    """Judges the edits that rules propose for one model and target.

    `verify` as in `fix`; `failed_proofs` are (rule, node, proof), one for each kind of site.
    """

    def __init__(
        self, model: Model, target: Target, tables: Tables, verify: str, approximate: bool
    ) -> None:
        self.model = model
        self.target = target
        self.tables = tables
        self.verify = verify
        self.approximate = approximate
        self.failed_proofs: list[tuple[str, str, Proof]] = []
        self._verdicts: dict[tuple[str, bytes, bool], Verdict] = {}
        self._sound: set[Hashable] = set()  # kinds of nodes that the target takes as they are
        self._leaks = any(takes_leak(node.proto) for node in model.graph.walk())
        self._types: dict[bytes, Types] = {}  # of the values of rewritten islands

    def judge(
        self, rule: Rule, site: Site, graph: Graph, converting_from: int | None = None
    ) -> Verdict:
        """Return what the gate says of a site."""
        if rule.exactness is Exactness.APPROXIMATE and not self.approximate:
            return Verdict("it is approximate and was not asked for")
        problem = structure_problem(site, graph)
        if problem is not None:
            return Verdict(problem, is_of_place=True)
        in_branch = graph.owner is not None
        kind: Hashable = None
        if site.nodes and len(site.drop) == 1 and not site.drop[0].subgraphs:
            kind = (kind_in_use(site.drop[0]), in_branch)
            # no node less and nothing to repair: many proposals end here, before an island is cut
            if converting_from is None and kind in self._sound and site.batch is None:
                return Verdict(NO_GAIN)
        opset = converting_from or self.model.emit_opset
        island = cut_out(site, graph, opset, self.model.emit_opset)
        key = (rule.name, island.key, in_branch)
        if key not in self._verdicts:
            self._verdicts[key] = self._judge_island(
                rule, island, converting_from is not None, in_branch
            )
            verdict = self._verdicts[key]
            if verdict.proof is not None and verdict.proof.ok is False:
                self.failed_proofs.append((rule.name, str(site.drop[0].name), verdict.proof))
        verdict = self._verdicts[key]
        if verdict.was_sound:
            self._sound.add(kind)
        if verdict.problem is not None:
            return verdict
        return replace(verdict, types=self.types_of(island))

    def _judge_island(
        self, rule: Rule, island: Island, converting: bool, in_branch: bool
    ) -> Verdict:
        try:
            problem = boundary_problem(island)
        except Exception as error:  # what a rule built cannot even be inferred: its own defect
            return Verdict(f"the rule built an invalid site: {error}")
        if problem is not None:
            return Verdict(problem)
        invalid = invalid_node(island.after)
        if invalid is not None and invalid_node(island.before) is None:
            return Verdict(f"the rule built an invalid node: {invalid}")
        opset = self.model.emit_opset
        found = findings_of(island.after, island.inputs, opset, self.target, self.tables)
        after = potential_of(island.after, found, in_branch, self._leaks)
        if converting:
            # the node has no meaning at the new opset, or another one: it counts as bad
            before = Potential(1, 0, 1)
        else:
            before = potential_of(
                island.before,
                findings_of(island.before, island.inputs, opset, self.target, self.tables),
                in_branch,
                self._leaks,
            )
        # an Identity that stands for "an existing value takes over" is no node of the rewrite
        after = Potential(after.bad, after.weight, after.nodes - island.takeovers)
        # a site that widens the model gains no node; its rule leaves what it brings alone
        if not after < before and not (island.batch is not None and after == before):
            worst = next((f.message for f in found if f.effect in ("rejected", "miscompiled")), "")
            was_sound = before.bad == before.weight == 0
            return Verdict(NO_GAIN + (f": {worst}" if worst else ""), None, was_sound)
        proof = None
        if self.verify != "off":
            proof = prove(island, rule.exactness, rule.tolerance)
            if proof.ok is not True:
                return Verdict(f"the proof failed: {proof.reason}", proof)
        return Verdict(None, proof)

    def types_of(self, island: Island) -> Types:
        """Return the types that are inferred on the island for what the site brings."""
        if island.key not in self._types:
            values = island.model_after().graph.values
            self._types[island.key] = {n: (v.dtype, v.shape) for n, v in values.items()}
        inferred = self._types[island.key]
        return {
            made_up: inferred[port]
            for made_up, port in island.names.items()
            if made_up.startswith(MARK) and port in inferred
        }


def structure_problem(site: Site, graph: Graph) -> str | None:
    """Return why an edit would break the graph, None when it would not."""
    dropped = set(site.drop)
    if any(node.is_removed or node.graph is not graph for node in dropped):
        return "a node of the site is gone"
    # a new value gets the name of the first old one that it stands in for
    stands_in = {new: old for old, new in reversed([*site.replace.items()]) if new.startswith(MARK)}
    for node in dropped:
        for name in node.outputs:
            value = graph.values.get(name) if name else None
            if value is None:
                continue
            new = site.replace.get(name)
            outside = [u for u, _ in value.uses if u not in dropped]
            if new is None and (outside or value.is_output):
                return "a value that it drops is used elsewhere"
            is_output = value.is_output or any(index < 0 for _, index in value.uses)
            if new is not None and not new.startswith(MARK) and is_output:
                return "an existing value cannot take over an output of the graph"
            heir = stands_in.get(new, new) if new is not None else name
            if heir != name and _is_hidden(heir, value, graph):
                return "a branch or loop gives another value the name of the one that takes over"
            if new is not None and value.is_output and list(site.replace.values()).count(new) > 1:
                return "one value cannot stand for two outputs of the graph"
    produced = {name for node in dropped for name in node.outputs if name}
    needed = [n for proto in site.nodes for n in proto.input] + list(site.replace.values())
    for name in needed:
        if name in produced and name not in site.replace:
            return "a new node uses a value that is dropped"
    if _makes_cycle(site, graph, dropped):
        return "it would make a cycle"
    return None


def _is_hidden(name: str, value: Value, graph: Graph) -> bool:
    """Whether something inside a branch uses `value` where `name` means another than here.

    ONNX forbids such names, but runtimes take them.
    """
    inside = {user.graph for user, _ in value.uses if user.graph is not graph}
    return any(inner.lookup(name) is not graph.lookup(name) for inner in inside)


def _makes_cycle(site: Site, graph: Graph, dropped: set[Node]) -> bool:
    """Whether something that a new node takes depends on what the site gives."""
    sources = {n for proto in site.nodes for n in proto.input if n and not n.startswith(MARK)}
    sources.update(v for v in site.replace.values() if not v.startswith(MARK))
    if len(dropped) == 1 and sources <= {*next(iter(dropped)).inputs}:
        return False  # it takes nothing but what the node took
    earliest = min(node.position for node in dropped)
    stack = [v.producer for n in sources if (v := graph.values.get(n)) and v.producer]
    seen: set[Node] = set()
    while stack:
        node = stack.pop()
        if node in dropped or node in seen or node.position < earliest:
            continue
        seen.add(node)
        before = graph.predecessors(node)
        if before & dropped:
            return True
        stack.extend(before)
    return False

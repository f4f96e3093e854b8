"""The engine: finds sites, lets them through one gate, commits them, keeps count.

Only the engine edits. Buckets by root operator and a work list make the cost that of the nodes plus
what fired; a rule whose roots do not occur costs nothing. A commit must lower the potential, so
rewriting ends without a cap on rounds.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import onnx

from graphfix.analysis.findings import scope_of
from graphfix.graph import Graph, Model, Node
from graphfix.graph.propagation import propagate_node
from graphfix.rewrite.builder import MARK
from graphfix.rewrite.gate import Gate, Verdict, structure_problem
from graphfix.rewrite.island import Island
from graphfix.rewrite.kinds import Template, kind_in_use
from graphfix.rewrite.proof import Proof
from graphfix.rewrite.rule import No, Rule, RuleError, Site
from graphfix.support import Tables, Target

# metadata of the nodes that rules bring: the rule, the node of the user's file that its root comes
# from, and, where there are several, all that it comes from, one a line
RULE, ORIGIN, ORIGINS = "graphfix.rule", "graphfix.origin", "graphfix.origins"

VERIFY = ("site", "model", "off")


@dataclass
class Statistics:
    """What one rule did: tried, missed (by reason), refused by the gate (by reason), fired."""

    tried: int = 0
    fired: int = 0
    missed: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)


@dataclass
class Change:
    """One commit: the rule, the nodes that went and came, and the proof of its kind of site."""

    rule: str
    exactness: str
    before: list[str]
    after: list[str]
    scope: str
    proof: Proof | None

    def to_json(self) -> dict[str, Any]:
        """Return the change as the log has it."""
        return {
            "rule": self.rule,
            "exactness": self.exactness,
            "before": self.before,
            "after": self.after,
            "scope": self.scope,
            "proof": self.proof.to_json() if self.proof is not None else None,
        }


@dataclass(frozen=True)
class _Precedent:
    """What a local rule proposed for the first node of a kind, and what the gate said of it."""

    template: Template
    verdict: Verdict


@dataclass
class _Candidates:
    """The rules for all nodes of one operator that are fed by the same operators."""

    rules: list[Rule] = field(default_factory=list)
    unfed: list[tuple[Rule, str]] = field(default_factory=list)  # cannot match, and why
    has_local: bool = False
    nodes: int = 0  # tried since the statistics were brought up to date


class Engine:
    """Rewrites one model for one target."""

    def __init__(
        self, model: Model, target: Target, tables: Tables, rules: Sequence[Rule],
        *, verify: str = "site", approximate: bool = False,
    ) -> None:  # fmt: skip
        self.model = model
        self.gate = Gate(model, target, tables, verify, approximate)
        self.changes: list[Change] = []
        self.statistics: dict[str, Statistics] = {rule.name: Statistics() for rule in rules}
        self._buckets: dict[str, list[Rule]] = {}
        for rule in rules:
            for root in rule.roots:
                self._buckets.setdefault(root, []).append(rule)
        self._candidates: dict[tuple[str, ...], _Candidates] = {}
        # what local rules said to a kind of node
        self._said: dict[Hashable, No | _Precedent] = {}
        self._names: set[str] = set()
        self.added: set[Node] = set()  # the nodes that commits brought
        self.batches: set[tuple[str, int]] = set()  # that commits opened, as in Site.batch

    def take_over(self, earlier: Engine) -> None:
        """Count what an engine did to the model before as this one's."""
        self.changes[:0] = earlier.changes
        self.statistics.update(earlier.statistics)
        self.gate.failed_proofs[:0] = earlier.gate.failed_proofs
        self.batches |= earlier.batches

    # ------------------------------------------------------------------ running

    def run(
        self, *, converting_from: int | None = None, only: Callable[[Node], bool] | None = None
    ) -> None:
        """Rewrite until no rule fires any more.

        `converting_from`: the opset of the nodes while the model is on its way to `emit_opset`;
        then each original node for which `only` holds is tried once, and what rules add is left
        alone.
        """
        self._names = _all_names(self.model.graph)
        self._said.clear()  # a rule may answer by the opset of the model, which changes
        changes = -1
        while len(self.changes) > changes:
            changes = len(self.changes)
            for graph in list(self.model.graph.graphs()):
                if not _is_gone(graph):
                    self._run_graph(graph, converting_from, only)
            # what happened inside a branch may let the node that owns it match
            if converting_from is not None or not self.model.graph.owners:
                break
        self._count_unfed()

    def _run_graph(
        self, graph: Graph, converting_from: int | None, only: Callable[[Node], bool] | None
    ) -> None:
        work = deque(
            n for n in graph.ordered() if n.key in self._buckets and (only is None or only(n))
        )
        waiting = set(work)
        while work:
            node = work.popleft()
            waiting.discard(node)
            if node.is_removed:
                continue
            added = self._try_rules(node, graph, converting_from)
            if added is None or converting_from is not None:
                continue
            # what is new, what feeds it and what it feeds may match now
            for candidate in _neighbourhood(added, graph):
                if candidate not in waiting and candidate.key in self._buckets:
                    waiting.add(candidate)
                    work.append(candidate)

    def _try_rules(
        self, node: Node, graph: Graph, converting_from: int | None
    ) -> list[Node] | None:
        candidates = self._candidates_of(node)
        candidates.nodes += 1
        kind = kind_in_use(node) if candidates.has_local and not node.subgraphs else None
        for rule in candidates.rules:
            statistics = self.statistics[rule.name]
            statistics.tried += 1
            # the gate counts inputs that are left empty in a branch, and only there
            is_known = kind is not None and rule.is_local
            key = (rule.name, kind, graph.owner is not None) if is_known else None
            said = self._said.get(key)
            answer: Site | No
            if isinstance(said, _Precedent):
                answer = said.template.at(node)
            else:
                answer = said or self._ask(rule, node, graph)
            if isinstance(answer, No):
                statistics.missed[answer.reason] += 1
                if key is not None:
                    self._said[key] = answer
                continue
            if isinstance(said, _Precedent):
                problem = said.verdict.problem or structure_problem(answer, graph)
                verdict = said.verdict if problem is None else Verdict(problem)
            else:
                verdict = self.gate.judge(rule, answer, graph, converting_from)
                template = Template.of(answer, node) if key is not None else None
                if template is not None and not verdict.is_of_place:
                    self._said[key] = _Precedent(template, verdict)
            if verdict.problem is not None:
                statistics.refused[verdict.problem] += 1
                continue
            statistics.fired += 1
            return self._commit(rule, answer, graph, verdict)
        return None

    def _candidates_of(self, node: Node) -> _Candidates:
        root = node.key
        feeders = tuple(
            "" if v is None or v.producer is None else v.producer.key for v in node.values
        )
        alike = (root, *feeders)
        if alike not in self._candidates:
            known = self._candidates[alike] = _Candidates()
            for rule in self._buckets[root]:
                reason = rule.unfed(root, feeders)
                if reason is None:
                    known.rules.append(rule)
                    known.has_local |= rule.is_local
                else:
                    known.unfed.append((rule, reason))
        return self._candidates[alike]

    def _count_unfed(self) -> None:
        for candidates in self._candidates.values():
            for rule, reason in candidates.unfed:
                self.statistics[rule.name].tried += candidates.nodes
                self.statistics[rule.name].missed[reason] += candidates.nodes
            candidates.nodes = 0

    def reasons(self, node: Node) -> str:
        """Say why the rules that start at this operator did not help, as far as they were asked."""
        said = [
            f"{rule.name}: {reason}"
            for rule in self._buckets.get(node.key, ())
            for reason in (
                *self.statistics[rule.name].refused,
                *self.statistics[rule.name].missed,
            )
        ]
        # rules that clean any operator tell least about one that is lost
        said.sort(key=lambda text: text.startswith("clean/"))
        return "; ".join(said[:2])

    @staticmethod
    def _ask(rule: Rule, node: Node, graph: Graph) -> Site | No:
        try:
            return rule.match(node, graph)
        except Exception as error:
            raise RuleError(
                f"the rule {rule.name} failed at {node.name or node.op_type}: "
                f"{type(error).__name__}: {error}. Leave it out with --ignore {rule.name}."
            ) from error

    # ------------------------------------------------------------------ committing

    def commit_adapter(self, site: Site, graph: Graph, island: Island, proof: Proof) -> None:
        """Commit an edit of the opset planner, which brings its own proof."""
        adapter = Rule()
        adapter.name = "opset/adapt"
        self.statistics.setdefault(adapter.name, Statistics()).fired += 1
        self._commit(adapter, site, graph, Verdict(None, proof, types=self.gate.types_of(island)))

    def _commit(self, rule: Rule, site: Site, graph: Graph, verdict: Verdict) -> list[Node]:
        root = site.drop[0]
        origins = list(dict.fromkeys(o for n in (root, *site.drop) for o in origins_of(n)))
        origin = origins[0]
        names = self._real_names(site, rule, root)
        position = max(n.position for n in site.drop)
        dropped = [n.name or n.op_type for n in site.drop]
        for node in site.drop:
            graph.remove_node(node)
        for tensor in site.constants:
            copy = onnx.TensorProto()
            copy.CopyFrom(tensor)
            copy.name = names[tensor.name]
            graph.add_initializer(copy)
        added: list[Node] = []
        step = 1e-6
        for index, proto in enumerate(site.nodes):
            copy_node = onnx.NodeProto()
            copy_node.CopyFrom(proto)
            for field_ in (copy_node.input, copy_node.output):
                for i, name in enumerate(field_):
                    field_[i] = names.get(name, name)
            copy_node.name = self._fresh(f"{origin}/{proto.op_type}")
            del copy_node.metadata_props[:]
            for key, text in ((RULE, rule.name), (ORIGIN, origin), (ORIGINS, "\n".join(origins))):
                if key != ORIGINS or len(origins) > 1:
                    copy_node.metadata_props.add(key=key, value=text)
            node = graph.add_node(copy_node, position + step * index)
            added.append(node)
            self.added.add(node)
        if site.batch is not None:
            self.batches.add(site.batch)
        for old, new in site.replace.items():
            if old not in graph.values:  # nothing used it: it went with its node
                continue
            if not new.startswith(MARK) or names[new] != old:
                graph.replace_uses(old, names.get(new, new))
        for made_up, known in verdict.types.items():
            value = graph.values.get(names.get(made_up, ""))
            if value is not None and value.dtype is None:
                value.dtype, value.shape = known
        for node in added:
            if not node.subgraphs:
                propagate_node(node)  # what follows from constants is folded in the same run
        self.changes.append(
            Change(
                rule.name,
                rule.exactness.value,
                dropped,
                [n.name for n in added],
                scope_of(graph),
                verdict.proof,
            )
        )
        return added

    def _real_names(self, site: Site, rule: Rule, root: Node) -> dict[str, str]:
        """Return the names that made-up ones get: old names where they stand in for old values."""
        taken: dict[str, str] = {}
        for old, new in site.replace.items():
            if new.startswith(MARK) and new not in taken:
                taken[new] = old
        base = f"{root.name or root.outputs[0]}/{rule.name.rpartition('/')[2]}"
        made_up = [t.name for t in site.constants]
        made_up += [name for proto in site.nodes for name in proto.output if name]
        for name in made_up:
            if name not in taken:
                taken[name] = self._fresh(base)
        return taken

    def _fresh(self, base: str) -> str:
        name, number = base, 0
        while name in self._names:
            number += 1
            name = f"{base}_{number}"
        self._names.add(name)
        return name


def origins_of(node: Node) -> tuple[str, ...]:
    """Return the nodes of the user's file that a node comes from: itself, unless a rule brought it.

    The first one is where the rule started.
    """
    known = {entry.key: entry.value for entry in node.proto.metadata_props}
    if ORIGIN in known:
        return tuple(known.get(ORIGINS, known[ORIGIN]).split("\n"))
    return (node.name or node.op_type,)


def _neighbourhood(added: list[Node], graph: Graph) -> list[Node]:
    found = dict.fromkeys(added)
    for node in added:
        for name in node.inputs:
            value = graph.values.get(name) if name else None
            if value is not None and value.producer is not None:
                found.setdefault(value.producer)
        for name in node.outputs:
            value = graph.values.get(name) if name else None
            for user, _ in value.uses if value is not None else ():
                if user.graph is graph:
                    found.setdefault(user)
    return list(found)


def _is_gone(graph: Graph) -> bool:
    """Whether a node that the graph is a branch of has been removed."""
    while graph.owner is not None:
        if graph.owner.is_removed:
            return True
        graph = graph.owner.graph
    return False


def _all_names(root: Graph) -> set[str]:
    names: set[str] = set()
    for graph in root.graphs():
        names.update(graph.values)
        names.update(node.name for node in graph.nodes)
    return names

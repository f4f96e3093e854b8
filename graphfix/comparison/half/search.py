"""Which nodes bring the error in, and the fewest to keep in float32 that take it out.

Roundings that are independent add up as squares, so the error that a group of nodes brings alone
bounds what is in it: groups are halved, the worst first. To keep, whole patterns (an operator
between the same neighbours) are tried before single nodes, since one node of a chain helps nothing
while the next one rounds its result again. Both stop at a number of runs.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from graphfix.comparison.half.experiment import Errors, Experiment
from graphfix.comparison.half.forms import Form, Plan, Planner
from graphfix.comparison.half.interpreter import Trace
from graphfix.graph import Node

T = TypeVar("T")

# a group that brings less than this part of an output's error is not looked into
_SHARE = 0.1
_NAMED = 12
_HOPS = (0, 1, 2, 3, 5)
# where nothing reaches the threshold: as good as keeping everything, or nearly
_NEARLY = 1.5


@dataclass
class Attribution:
    """What single nodes bring alone: node -> error by output; estimates for the others."""

    measured: dict[int, Errors] = field(default_factory=dict)
    estimate: dict[int, float] = field(default_factory=dict)
    runs: int = 0


def attribute(
    experiment: Experiment, nodes: Sequence[Node], active: dict[int, Form], total: Errors, runs: int
) -> Attribution:
    """Find the nodes that bring most of the error, in at most `runs` runs.

    `nodes` are in topological order; `active` gives the places at which each one rounds anything;
    `total` are the errors of the outputs when all of them round.
    """
    result = Attribution()
    suspects = [n for n in nodes if id(n) in active]
    queue: list[tuple[float, int, list[Node], Errors]] = []

    def push(group: list[Node]) -> None:
        result.runs += 1
        errors = experiment.errors(
            Plan({id(n): active[id(n)] for n in group}), experiment.reference
        )
        # by its part of an output's error; of an infinite one, finite parts count little
        part = max((_part(errors[o], total.get(o, 0.0)) for o in errors), default=0.0)
        for node in group:
            result.estimate[id(node)] = part / math.sqrt(len(group))
        if len(group) == 1:
            result.measured[id(group[0])] = errors
        elif part >= _SHARE:
            heapq.heappush(queue, (-part, id(group[0]), group, errors))

    if suspects and any(total.values()):
        push(suspects)
    while queue and result.runs + 2 <= runs and len(result.measured) < 4 * _NAMED:
        _, _, group, _ = heapq.heappop(queue)
        middle = len(group) // 2
        push(group[:middle])
        push(group[middle:])
    return result


def _part(error: float, total: float) -> float:
    if math.isinf(error):
        return 1e9
    if error == 0:
        return 0.0
    return error if math.isinf(total) or total == 0 else error / total


@dataclass
class Kept:
    """Nodes to keep in float32, and the errors with them."""

    nodes: list[Node]
    errors: Errors
    goals: Errors  # what was asked of each output
    complete: bool  # False where the runs ended before every node was tried


class KeepSearch:
    """Looks for the fewest nodes to keep so that every output in `goal` reaches its error."""

    def __init__(
        self, experiment: Experiment, planner: Planner, base: Sequence[Trace], runs: int,
        kept: Sequence[Node] = (), black: Sequence[str] = (),
    ) -> None:  # fmt: skip
        self.experiment = experiment
        self.planner = planner
        self.base = base
        self.left = runs
        self.everything: Errors | None = None  # the errors when all candidates are kept
        # by the user's own wish
        self.kept, self.black = list(kept), list(black)

    def errors(self, nodes: Iterable[Node] = (), black: Iterable[str] = ()) -> Errors:
        """Return the errors with these nodes kept, or these operators on the black list."""
        self.left -= 1
        plan = self.planner.plan(keep=[*self.kept, *nodes], black=[*self.black, *black])
        return self.experiment.errors(plan, self.base)

    def search(
        self, candidates: Sequence[Node], rank: Callable[[Node], float], seeds: Sequence[Node],
        before: Errors, threshold: float,
    ) -> Kept | None:  # fmt: skip
        """Return a small set that is good enough; None when keeping changes nothing.

        `candidates` in topological order; a higher `rank` is more suspicious; `seeds` are the nodes
        that are known to lose something. Where even keeping all does not reach the threshold, what
        comes close to it is looked for.
        """
        everything = self.everything = self.errors(candidates)
        reaches = all(everything[o] <= threshold for o in before)
        failing = [o for o in before if before[o] > threshold]
        goals = dict.fromkeys(before, threshold)
        if not reaches:
            better = [o for o in failing if everything[o] < before[o] / 2]
            if not better:
                return None
            goals = {o: max(threshold, _NEARLY * everything[o]) for o in better}
        known: dict[frozenset[int], Errors] = {frozenset(map(id, candidates)): everything}

        def good(nodes: Sequence[Node]) -> bool:
            key = frozenset(map(id, nodes))
            if key not in known:
                if self.left <= 0:
                    return False
                known[key] = self.errors(nodes)
            return all(known[key][o] <= goal for o, goal in goals.items())

        ranked = sorted(candidates, key=rank, reverse=True)
        start = self._grow(ranked, seeds, good) or list(candidates)
        position = {id(n): i for i, n in enumerate(ranked)}
        start.sort(key=lambda n: -position[id(n)])
        if len(start) > 8:
            start = _flatten(_shrink(_patterns(start), lambda units: good(_flatten(units))))
            start.sort(key=lambda n: -position[id(n)])
        final = [unit[0] for unit in _shrink([[n] for n in start], lambda u: good(_flatten(u)))]
        order = {id(n): i for i, n in enumerate(candidates)}
        final.sort(key=lambda n: order[id(n)])
        return Kept(final, known[frozenset(map(id, final))], goals, self.left > 0)

    @staticmethod
    def _grow(
        ranked: Sequence[Node], seeds: Sequence[Node], good: Callable[[Sequence[Node]], bool]
    ) -> list[Node] | None:
        """Return the first set that is good enough: around the seeds, or the first of the rank."""
        allowed = {id(n): n for n in ranked}
        sets: list[list[Node]] = []
        count = 1
        for hops in _HOPS:
            around = _around(seeds, hops)
            sets.append([n for key, n in allowed.items() if key in around])
            sets += [list(ranked[:count]), list(ranked[: 2 * count])]
            count *= 4
        while count < len(ranked):
            sets.append(list(ranked[:count]))
            count *= 2
        seen: set[frozenset[int]] = set()
        for chosen in sorted(sets, key=len):
            key = frozenset(map(id, chosen))
            if chosen and key not in seen:
                seen.add(key)
                if good(chosen):
                    return chosen
        return None

    def types(self, candidates: Sequence[Node], goals: Errors, threshold: float) -> list[str]:
        """Return the fewest GE operators for the black list that do what keeping nodes does."""
        names = list(dict.fromkeys(self.planner.forms[id(n)].ge_op for n in candidates))

        def good(units: list[list[str]]) -> bool:
            if self.left <= 0:
                return False
            errors = self.errors(black=[n for unit in units for n in unit])
            return all(errors[o] <= max(threshold, goal) for o, goal in goals.items())

        units = [[name] for name in names]
        return [unit[0] for unit in _shrink(units, good)] if good(units) else []


def _shrink(units: list[list[T]], good: Callable[[list[list[T]]], bool]) -> list[list[T]]:
    """Take out units, many at a time and then fewer, as long as the rest is good."""
    size = max(1, len(units) // 2)
    while True:
        index = 0
        while index < len(units) and len(units) > 1:
            rest = units[:index] + units[index + size :]
            if rest and good(rest):
                units = rest
            else:
                index += size
        if size == 1:
            return units
        size //= 2


def _flatten(units: Sequence[Sequence[Node]]) -> list[Node]:
    return [node for unit in units for node in unit]


def _patterns(nodes: Sequence[Node]) -> list[list[Node]]:
    """Group nodes by operator and the operators around them, in the order of their first node."""
    groups: dict[object, list[Node]] = {}
    for node in nodes:
        before = tuple(
            "" if v is None else v.producer.op_type if v.producer is not None else "-"
            for v in node.values
        )
        after = tuple(sorted({u.op_type for v in node.results() if v is not None
                              for u, _ in v.uses}))  # fmt: skip
        groups.setdefault((node.op_type, before, after), []).append(node)
    return list(groups.values())


def _around(seeds: Iterable[Node], hops: int) -> set[int]:
    """Return the nodes within some steps of the seeds, along and against the edges."""
    found = {id(n) for n in seeds}
    edge = list(seeds)
    for _ in range(hops):
        following: list[Node] = []
        for node in edge:
            beside = [v.producer for v in node.values if v is not None and v.producer is not None]
            beside += [u for v in node.results() if v is not None for u, _ in v.uses]
            for other in beside:
                if id(other) not in found:
                    found.add(id(other))
                    following.append(other)
        edge = following
    return found

"""A model computed node by node, each float tensor in half or not, as a plan says.

Every node runs in ONNX Runtime as a model of its own (equal nodes share one), so that between two
nodes a tensor can be rounded, measured, or left alone, and a second run with another plan computes
only what follows from the nodes that changed. If and Loop are interpreted, so that what lies inside
them is rounded too.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Set
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from graphfix.comparison.chunks import give_back, megabytes
from graphfix.comparison.half.forms import SINGLE, Form, Plan
from graphfix.comparison.half.nodes import NodeRunner
from graphfix.comparison.half.rounding import Loss, Rounding, loss_of
from graphfix.comparison.runtimes import Arrays, RuntimeFailed
from graphfix.errors import UsageError
from graphfix.graph import Graph, Model, Node
from graphfix.graph.tensors import read_tensor

_INTERPRETED = ("If", "Loop")
_RANDOM = frozenset({
    "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial",
    "Bernoulli",
})  # fmt: skip
# bytes of all values from which on freed memory is worth handing back
_LARGE = 64 << 20
_NONE: frozenset[int] = frozenset()


class Held:
    """A tensor while the model runs: as it was given, and rounded where somebody asks for it."""

    __slots__ = ("array", "counted", "is_weight", "loss", "rounded")

    def __init__(self, array: Any, is_weight: bool = False) -> None:
        self.array = array  # a list for a sequence, None for an empty optional
        self.is_weight = is_weight
        self.rounded: np.ndarray | None = None
        self.loss: Loss | None = None
        self.counted = 0

    @property
    def size(self) -> int:
        """Bytes, those of a rounded copy included that somebody may yet ask for."""
        bytes_ = int(getattr(self.array, "nbytes", 0))
        return 2 * bytes_ if self.rounded is None and _is_single(self.array) else bytes_


@dataclass(frozen=True)
class Rounded:
    """One tensor that loses elements by rounding at a node. `place`: input 1, output 0 ..."""

    node: Node
    value: str
    is_input: bool
    is_weight: bool
    loss: Loss


@dataclass
class Trace:
    """One run: the outputs, what rounding took, and all values where they were kept."""

    plan: Plan
    outputs: Arrays = field(default_factory=dict)
    losses: list[Rounded] = field(default_factory=list)
    # by node: the places whose rounding changed anything
    active: dict[int, Form] = field(default_factory=dict)
    values: dict[str, Held] | None = None
    executed: int = 0


@dataclass
class _Steps:
    """A graph's nodes in order, and the values that nobody needs after each of them."""

    nodes: list[Node]
    needs: list[list[str]]
    last: list[list[str]]


@dataclass
class _Scope:
    """The values of a subgraph and those around it."""

    values: dict[str, Held]
    outer: _Scope | None = None

    def __getitem__(self, name: str) -> Held:
        scope: _Scope | None = self
        while scope is not None:
            held = scope.values.get(name)
            if held is not None:
                return held
            scope = scope.outer
        raise RuntimeFailed(
            f"nothing gives the value {name}: the model is damaged, or its nodes go in a circle. "
            "`graphfix check MODEL` says more."
        )


class Interpreter:
    """Runs a model under plans. `memory` bounds, in bytes, what values may take at one time.

    `folded` are the nodes that follow from constants alone: what they give counts as weights.
    """

    def __init__(
        self, model: Model, rounding: Rounding, memory: int, folded: Collection[int] = ()
    ) -> None:
        self.model = model
        self.rounding = rounding
        self.memory = memory
        self.folded = frozenset(folded)
        self.total_bytes = 0  # of all values of the last full run
        self.opaque: list[Node] = []  # nodes whose subgraphs were not looked into
        self._weights: dict[int, dict[str, Held]] = {}
        self._steps: dict[int, _Steps] = {}
        self._runner = NodeRunner(model)
        self._kept: dict[int, list[Held]] = {}  # of folded and random nodes
        self._record: Trace | None = None
        self._live = 0

    def run(
        self, feeds: Mapping[str, np.ndarray], plan: Plan, *, base: Trace | None = None,
        record: bool = False, keep: bool = False,
    ) -> Trace:  # fmt: skip
        """Run the model and return its outputs.

        With `base`, an earlier run that kept its values, only what its plan does otherwise and
        what follows from there is computed. `record` measures the losses, `keep` keeps all values.

        Raises RuntimeFailed where a node stops, UsageError where the values pass the budget.
        """
        trace = Trace(plan)
        self._record = trace if record else None
        graph = self.model.graph
        if base is not None and base.values is not None:
            self._rerun(graph, plan, base, trace)
            return trace
        values = dict(self._constants(graph))
        values.update({n: Held(a) for n, a in feeds.items() if n in graph.values})
        self._live = self.total_bytes = 0
        scope = _Scope(values)
        self._walk(graph, scope, plan, trace, free=not keep)
        if self.total_bytes > _LARGE:
            give_back()
        trace.outputs = {n: scope[n].array for n in graph.outputs}
        if keep:
            trace.values = values
        return trace

    # ------------------------------------------------------------------ walking

    def _rerun(self, graph: Graph, plan: Plan, base: Trace, trace: Trace) -> None:
        assert base.values is not None
        steps = self._steps_of(graph)
        changed = _changed(plan, base.plan)
        scope = _Scope({}, _Scope(base.values))
        new = scope.values
        for node, needs in zip(steps.nodes, steps.needs, strict=True):
            is_touched = id(node) in changed or (new and any(n in new for n in needs))
            if not is_touched and not (node.subgraphs and _holds(node, changed)):
                continue
            results = self._execute(node, scope, plan)
            trace.executed += 1
            for name, held in zip(node.outputs, results, strict=False):
                if name and not _same(held.array, base.values[name].array):
                    new[name] = held
        trace.outputs = {n: scope[n].array for n in graph.outputs}

    def _walk(self, graph: Graph, scope: _Scope, plan: Plan, trace: Trace, free: bool) -> None:
        steps = self._steps_of(graph)
        values = scope.values
        for node, last in zip(steps.nodes, steps.last, strict=True):
            results = self._execute(node, scope, plan)
            trace.executed += 1
            for name, held in zip(node.outputs, results, strict=False):
                if name:
                    values[name] = held
                    size = held.size
                    held.counted = size
                    self._live += size
                    self.total_bytes += size
            if self._live > self.memory:
                raise UsageError(
                    f"--memory {megabytes(self.memory)} (beside the weights and the program): the "
                    f"values alive at {node.name or node.op_type} take more. Give more, or "
                    "smaller shapes (--shape)."
                )
            if free:
                for name in last:
                    gone = values.pop(name, None)
                    if gone is not None:
                        self._live -= gone.counted

    def _steps_of(self, graph: Graph) -> _Steps:
        found = self._steps.get(id(graph))
        if found is None:
            nodes = graph.ordered()
            needs = [_needs(node) for node in nodes]
            last: list[list[str]] = [[] for _ in nodes]
            seen = {*graph.outputs, *graph.initializers, *graph.inputs}
            for index in range(len(nodes) - 1, -1, -1):
                for name in (*needs[index], *nodes[index].outputs):
                    if name and name not in seen:
                        seen.add(name)
                        last[index].append(name)
            found = self._steps[id(graph)] = _Steps(nodes, needs, last)
        return found

    def _constants(self, graph: Graph) -> dict[str, Held]:
        found = self._weights.get(id(graph))
        if found is None:
            if graph.proto.sparse_initializer:
                raise RuntimeFailed(
                    "sparse initializers are not computed by the preview. Make them dense."
                )
            found = {}
            for name, tensor in graph.initializers.items():
                array = read_tensor(tensor, self.model.folder)
                if array is None:
                    raise RuntimeFailed(
                        f"the weight {name} cannot be read: its external file is missing, or its "
                        "data do not fit its shape or type. `graphfix check MODEL` says which."
                    )
                found[name] = Held(array, is_weight=True)
            self._weights[id(graph)] = found
        return found

    # ------------------------------------------------------------------ one node

    def _execute(self, node: Node, scope: _Scope, plan: Plan) -> list[Held]:
        identity = id(node)
        if identity in self._kept:
            return self._kept[identity]
        form = plan.of(node)
        if node.op_type in _INTERPRETED and node.is_standard:
            return self._control(node, scope, plan)
        constant: list[bool] = []
        arrays: list[Any] = []
        for index, name in enumerate(node.inputs):
            if not name:
                constant.append(False)
                arrays.append(None)
                continue
            held = scope[name]
            constant.append(held.is_weight)
            if index in form.inputs and _is_single(held.array):
                arrays.append(self._rounded(held, node, index))
            else:
                arrays.append(held.array)
        captured: dict[str, Any] = {}
        if node.subgraphs:
            names = sorted({n for _, g in node.subgraphs for n in g.captured()})
            captured = {name: scope[name].array for name in names}
            if node not in self.opaque:
                self.opaque.append(node)
        results = [Held(a) for a in self._runner.run(node, arrays, constant, captured)]
        if identity in self.folded:
            for held in results:
                held.is_weight = True
            self._kept[identity] = results
        elif node.op_type in _RANDOM:
            self._kept[identity] = results  # the same draw for every plan
        for index, held in enumerate(results):
            if index in form.outputs and _is_single(held.array):
                self._round_output(held, node, index)
        return results

    def _rounded(self, held: Held, node: Node, index: int) -> np.ndarray:
        if held.rounded is None:
            held.rounded = self.rounding(held.array, held.is_weight)
            held.loss = None
            if self._record is not None or held.is_weight:
                held.loss = loss_of(held.array, held.rounded)
        if self._record is not None:
            if held.loss is not None:
                name = node.inputs[index]
                self._record.losses.append(Rounded(node, name, True, held.is_weight, held.loss))
            if not _same(held.array, held.rounded):
                self._note(node, inputs={index})
        return held.rounded

    def _round_output(self, held: Held, node: Node, index: int) -> None:
        exact = held.array
        held.array = held.rounded = self.rounding(exact)
        if self._record is not None:
            loss = loss_of(exact, held.array)
            if loss is not None:
                name = node.outputs[index]
                self._record.losses.append(Rounded(node, name, False, False, loss))
            if not _same(exact, held.array):
                self._note(node, outputs={index})

    def _note(self, node: Node, inputs: Set[int] = _NONE, outputs: Set[int] = _NONE) -> None:
        assert self._record is not None
        before = self._record.active.get(id(node), SINGLE)
        self._record.active[id(node)] = Form(before.inputs | inputs, before.outputs | outputs)

    # ------------------------------------------------------------------ control flow

    def _control(self, node: Node, scope: _Scope, plan: Plan) -> list[Held]:
        graphs = dict(node.subgraphs)
        wanted = {"then_branch", "else_branch"} if node.op_type == "If" else {"body"}
        if not wanted <= graphs.keys():
            raise RuntimeFailed(
                f"node {node.name or node.op_type} ({node.key}) lacks "
                f"{' and '.join(sorted(wanted - graphs.keys()))}: the model is damaged. Export it "
                "again."
            )
        if node.op_type == "If":
            is_true = bool(np.asarray(scope[node.inputs[0]].array).reshape(-1)[0])
            return self._inner(graphs["then_branch" if is_true else "else_branch"], scope, {}, plan)
        return self._loop(node, graphs["body"], scope, plan)

    def _inner(
        self, graph: Graph, scope: _Scope, given: Mapping[str, Held], plan: Plan
    ) -> list[Held]:
        inner = _Scope({**self._constants(graph), **given}, scope)
        self._walk(graph, inner, plan, Trace(plan), free=True)
        return [inner[name] for name in graph.outputs]

    def _loop(self, node: Node, body: Graph, scope: _Scope, plan: Plan) -> list[Held]:
        names = [*node.inputs, "", ""]
        limit = int(_scalar(scope[names[0]].array)) if names[0] else None
        goes_on = bool(_scalar(scope[names[1]].array)) if names[1] else True
        carried = [scope[name] for name in node.inputs[2:]]
        scanned: list[list[Any]] = [[] for _ in body.outputs[1 + len(carried) :]]
        step = 0
        while goes_on and (limit is None or step < limit):
            first = (Held(np.array(step, np.int64)), Held(np.array(True)))
            given = dict(zip(body.inputs, (*first, *carried), strict=False))
            results = self._inner(body, scope, given, plan)
            goes_on = bool(_scalar(results[0].array))
            carried = results[1 : 1 + len(carried)]
            for kept, held in zip(scanned, results[1 + len(carried) :], strict=True):
                kept.append(held.array)
            step += 1
        outputs = list(carried)
        for kept, name in zip(scanned, body.outputs[1 + len(carried) :], strict=True):
            outputs.append(Held(np.stack(kept) if kept else _empty_scan(body, name)))
        return outputs


def _empty_scan(body: Graph, name: str) -> np.ndarray:
    """Return what a Loop of no step gives for a scan output: nothing, of the right rank."""
    value = body.lookup(name)
    shape = value.shape if value is not None else None
    dims = [d if isinstance(d, int) else 0 for d in shape or ()]
    kind = {"float32": np.float32, "int64": np.int64, "bool": np.bool_}
    dtype = kind.get(value.dtype or "float32", np.float32) if value is not None else np.float32
    return np.zeros((0, *dims), dtype)


def _scalar(array: np.ndarray) -> Any:
    return np.asarray(array).reshape(-1)[0]


def _needs(node: Node) -> list[str]:
    names = [name for name in node.inputs if name]
    for _, inner in node.subgraphs:
        names += inner.captured()
    return names


def _changed(one: Plan, two: Plan) -> set[int]:
    """Return the nodes that two plans treat differently."""
    return {
        key for key in one.forms.keys() | two.forms.keys()
        if one.forms.get(key, SINGLE) != two.forms.get(key, SINGLE)
    }  # fmt: skip


def _holds(node: Node, changed: set[int]) -> bool:
    return any(id(inner) in changed for _, g in node.subgraphs for inner in g.walk())


def _same(one: Any, two: Any) -> bool:
    if one is two:
        return True
    if not isinstance(one, np.ndarray) or not isinstance(two, np.ndarray):
        return False
    if one.shape != two.shape or one.dtype != two.dtype:
        return False
    if one.dtype.kind == "O":
        return bool((one == two).all())
    if one.dtype == np.float32 and one.flags.c_contiguous and two.flags.c_contiguous:
        # bit by bit, so that a NaN equals itself
        return np.array_equal(one.view(np.uint32), two.view(np.uint32))
    return one.tobytes() == two.tobytes()


def _is_single(array: Any) -> bool:
    return isinstance(array, np.ndarray) and array.dtype == np.float32

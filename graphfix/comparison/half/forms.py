"""What of a node the target holds in half: by the dtypes of its kernel and the precision mode.

A node has two forms, as far as its kernel has them: lowered to float16, and left in float32. A form
says which inputs are rounded to half before the node and which outputs behind it. A plan gives
each node one of the two, as ATC's precision mode, its lists and --keep_dtype would.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from graphfix.analysis.context import Context
from graphfix.analysis.kernels import choice_of
from graphfix.errors import UsageError
from graphfix.graph import Graph, Model, Node
from graphfix.support import kernels as tables
from graphfix.support.kernels import Kernel
from graphfix.support.tables import Tables
from graphfix.support.target import Target

# what runs on the cube unit, by GE operator (fp16_facts: the modes treat them apart)
CUBE = frozenset({
    "Conv2D", "Conv3D", "DepthwiseConv2D", "Conv2DTranspose", "Conv2DTransposeD",
    "Conv3DTranspose", "Conv3DTransposeD", "MatMul", "MatMulV2", "MatMulV3", "BatchMatMul",
    "BatchMatMulV2", "BatchMatMulV3", "FullyConnection", "GEMM", "DeformableConv2D", "DynamicRNN",
    "DynamicRNNV2", "DynamicGRUV2", "CommonGRU",
})  # fmt: skip
MIXED = frozenset({"allow_mix_precision", "allow_mix_precision_fp16"})
_KEEPING = frozenset({"must_keep_origin_dtype"})
_CUBE_ONLY = frozenset({"force_fp32", "cube_fp16in_fp32out"})
_BFLOAT16 = frozenset({"allow_mix_precision_bf16", "allow_fp32_to_bf16"})
# nodes that give float32 without a rounding of their own: control flow is looked into
_CONTROL = frozenset({"If", "Loop", "Scan", "SequenceMap"})
# written as several GE nodes in every context that the lowering audit saw (op_support's `becomes`
# names what an expansion may hold, not what it does)
_EXPANDED = frozenset({
    "ArgMax", "ArgMin", "Compress", "EyeLike", "LayerNormalization", "LpNormalization", "LpPool",
    "MaxUnpool", "Mean", "NonMaxSuppression", "OneHot", "RandomNormal", "RandomNormalLike",
    "RandomUniform", "RandomUniformLike", "ReduceLogSum", "Resize", "RoiAlign", "ThresholdedRelu",
    "Unique",
})  # fmt: skip


@dataclass(frozen=True)
class Form:
    """How a node holds its float32 tensors: the positions that are rounded to half."""

    inputs: frozenset[int] = frozenset()
    outputs: frozenset[int] = frozenset()

    @property
    def is_half(self) -> bool:
        """Whether anything is rounded."""
        return bool(self.inputs or self.outputs)


SINGLE = Form()


@dataclass(frozen=True)
class NodeForms:
    """What a node can be. A form is None where the kernel has no such row.

    `wide` takes half and gives float32, which cube operators may. `follows`: it takes the type that
    reaches it. `is_expanded`: the parser writes several nodes, none with the node's own name.
    `role`: kernel, unknown (no table tells; both forms are assumed), local (moves tensors without
    a kernel), folded (computed at build time, in float32), untouched (Cast, or nothing of float).
    """

    role: str
    ge_op: str
    half: Form | None
    single: Form | None
    wide: Form | None = None
    precision_list: str = ""
    follows: bool = False
    is_expanded: bool = False

    @property
    def is_choice(self) -> bool:
        """Whether the node can be both, so that --keep_dtype can tell."""
        return self.half is not None and self.single is not None and self.role != "local"


@dataclass
class Plan:
    """A form for every node of a model and its subgraphs, by node identity."""

    forms: dict[int, Form]
    half: list[Node] = field(default_factory=list)

    def of(self, node: Node) -> Form:
        """Return the node's form."""
        return self.forms.get(id(node), SINGLE)


class Planner:
    """The forms of a model's nodes on a target, and the plans that options make of them.

    Raises UsageError for a mode that lowers to bfloat16 and for a mixed mode without a SoC, whose
    lists are the SoC family's.
    """

    def __init__(self, model: Model, target: Target, support: Tables | None = None) -> None:
        mode = target.precision_mode
        if mode in _BFLOAT16:
            raise UsageError(
                f"--precision-mode {mode}: lowers to bfloat16, which the preview of half precision "
                "does not compute. Give a float16 mode, force_fp16 for one."
            )
        if len(target.socs) > 1:
            raise UsageError(
                f"--soc {','.join(s.name for s in target.socs)}: the preview is of one chip at a "
                "time. Give one."
            )
        if mode in MIXED and not target.socs:
            raise UsageError(
                f"--precision-mode {mode}: its lists are the chip's own. Give --soc (graphfix "
                "socs)."
            )
        self.model, self.target, self.mode = model, target, mode
        self.soc = target.socs[0] if target.socs else None
        self.context = Context(model, target, support or Tables())
        self.nodes = list(_walk(model.graph))
        self.forms = {id(node): self._forms(node) for node in self.nodes}

    # ------------------------------------------------------------------ plans

    def plan(
        self,
        keep: Iterable[Node] = (),
        black: Iterable[str] = (),
    ) -> Plan:
        """Return what the target makes of the model.

        `keep` are the nodes of --keep_dtype, `black` GE operators that --modify_mixlist puts on
        the black list.
        """
        kept = {id(node) for node in keep}
        blacklisted = frozenset(black)
        plan = Plan({})
        is_half: dict[tuple[int, str], bool] = {}
        for node in self.nodes:
            forms = self.forms[id(node)]
            if forms.role == "local":
                form, lowered = SINGLE, self._before(node, is_half)
            else:
                form = self._form(node, forms, kept, blacklisted, is_half)
                lowered = form.is_half
            plan.forms[id(node)] = form
            if form.is_half:
                plan.half.append(node)
            for name in node.outputs:
                is_half[id(node.graph), name] = lowered
        return plan

    def single(self) -> Plan:
        """Return the plan that rounds nothing: the reference."""
        return Plan({})

    def _form(
        self, node: Node, forms: NodeForms, kept: set[int], black: frozenset[str],
        is_half: Mapping[tuple[int, str], bool],
    ) -> Form:  # fmt: skip
        half, single = forms.half, forms.single
        is_cube = forms.ge_op in CUBE
        if half is None or self.mode in _KEEPING:
            return SINGLE
        if id(node) in kept and single is not None:
            return single
        if self.mode in _CUBE_ONLY and is_cube and forms.wide is not None:
            return forms.wide
        if single is None:
            return half
        if forms.follows:
            return half if self._before(node, is_half) else single
        if self.mode in _CUBE_ONLY:
            return single
        if self.mode == "allow_fp32_to_fp16":
            return half if is_cube else single
        if self.mode in MIXED:
            if forms.ge_op in black or forms.precision_list == "black":
                return single
            if forms.precision_list != "white":
                return half if self._before(node, is_half) else single
        return half

    @staticmethod
    def _before(node: Node, is_half: Mapping[tuple[int, str], bool]) -> bool:
        """Whether the operator before the node gives half: the first that is no constant."""
        for value in node.values:
            if value is None or value.is_constant or value.dtype not in (None, "float32"):
                continue
            return is_half.get((id(value.graph), value.name), False)
        return False

    # ------------------------------------------------------------------ forms

    def _forms(self, node: Node) -> NodeForms:
        outputs = [v for v in node.results() if v is not None]
        if node.op_type == "Constant" or (outputs and all(v.is_folded for v in outputs)):
            return NodeForms("folded", node.op_type, None, SINGLE)
        dtypes = [None if v is None else v.dtype or "float32" for v in node.values]
        results = [v.dtype or "float32" if v is not None else None for v in node.results()]
        if node.op_type == "Cast" or "float32" not in (*dtypes, *results):
            return NodeForms("untouched", node.op_type, None, SINGLE)
        if node.op_type in _CONTROL or node.subgraphs:
            return NodeForms("local", node.op_type, None, SINGLE)
        every = Form(
            frozenset(i for i, d in enumerate(dtypes) if d == "float32"),
            frozenset(i for i, d in enumerate(results) if d == "float32"),
        )
        registration = self.context.registration(node)
        choice = choice_of(self.context, node) if registration is not None else None
        ge_op = choice.ge_op if choice is not None else ""
        if registration is not None and not ge_op:
            ge_op = registration.ge_op
        expanded = registration is not None and _is_expanded(node)
        if (choice is not None and choice.engine is not None) or (
            ge_op and ge_op in tables.local_operators()
        ):
            return NodeForms("local", ge_op, None, SINGLE)
        taken = Form(every.inputs)
        unknown = NodeForms(
            "unknown", ge_op or node.op_type, every, SINGLE, taken, is_expanded=expanded
        )
        if self.soc is None or not ge_op or not tables.has_table(self.target.release, self.soc):
            return unknown
        if "float32" not in dtypes:
            # what a node makes of integers is rounded by who uses it
            return NodeForms("untouched", ge_op, None, SINGLE)
        places: Sequence[int] = range(len(dtypes))
        if choice is not None and choice.inputs is not None:
            places = choice.inputs
        wanted = tuple(dtypes[i] if 0 <= i < len(dtypes) else None for i in places)
        core = tables.ai_core(self.target.release, self.soc, ge_op)
        if core is not None:
            half, single, wide = _by_rows(core, places, wanted, every)
            if half is not None or single is not None:
                return NodeForms("kernel", ge_op, half, single, wide, core.precision_list,
                                 is_expanded=expanded)  # fmt: skip
        cpu = tables.ai_cpu(self.target.release, self.soc, ge_op)
        if cpu is not None:
            half, single = _by_sets(cpu, wanted, every)
            # the AI CPU takes the type that reaches it
            return NodeForms("kernel", ge_op, half, single, follows=True, is_expanded=expanded)
        return unknown


def _walk(graph: Graph) -> Iterable[Node]:
    for node in graph.ordered():
        for _, inner in node.subgraphs:
            yield from _walk(inner)
        yield node


def _is_expanded(node: Node) -> bool:
    """Whether the parser writes several nodes, which then lose the ONNX node's name."""
    if not node.is_standard:
        return False
    if node.op_type in ("Conv", "ConvTranspose", "AveragePool", "MaxPool"):
        value = node.input(0)
        return value is not None and value.shape is not None and len(value.shape) == 3
    if node.op_type in ("Gemm", "Max", "Min"):
        return len(node.inputs) > 2
    return node.op_type in _EXPANDED


def _by_rows(
    kernel: Kernel, places: Sequence[int], wanted: tuple[str | None, ...], every: Form
) -> tuple[Form | None, Form | None, Form | None]:
    """Return the half, the float32 and the wide form that an AI Core kernel's rows allow."""
    if not kernel.positional:
        return (*_by_sets(kernel, wanted, every), None)
    floats = [i for i, dtype in enumerate(wanted) if dtype == "float32"]
    rows = []
    for inputs, outputs in tables.combinations(kernel):
        row = _spread(kernel, inputs, len(wanted))
        if all(_fits(have, want) for have, want in zip(row, wanted, strict=True)):
            rows.append((row, outputs))
    if not tables.combinations(kernel) or not floats:
        return every, SINGLE, None
    half = _best("float16", "float16", rows, floats, places, every)
    wide = _best("float16", "float32", rows, floats, places, every)
    single = _best("float32", "float32", rows, floats, places, every)
    return (
        half,
        SINGLE if single is not None else None,
        wide if wide is not None and not wide.outputs else None,
    )


def _spread(kernel: Kernel, row: tuple[str, ...], count: int) -> list[str]:
    """Return the row's dtype for each of `count` inputs; a dynamic tensor stands for many."""
    result, index = [], 0
    for _ in range(count):
        result.append(row[index] if index < len(row) else "")
        if index < len(row) and kernel.inputs[index].kind != "dynamic":
            index += 1
    return result


def _fits(have: str, want: str | None) -> bool:
    if not have or want is None:
        return True
    if want == "float32":
        return have in ("float32", "float16")
    return have == want or (want == "int64" and have == "int32")


def _best(
    dtype: str, result: str, rows: list[tuple[list[str], tuple[str, ...]]], floats: list[int],
    places: Sequence[int], every: Form,
) -> Form | None:  # fmt: skip
    """Return the form of the row with the most inputs of a dtype; the first input decides.

    Of equal ones, the row whose first output is of the dtype `result`.
    """
    found = [r for r in rows if r[0][floats[0]] in (dtype, "")]
    if not found:
        return None
    row, outputs = max(
        found,
        key=lambda r: (r[1][:1] == (result,), sum(r[0][i] in (dtype, "") for i in floats)),
    )
    kept = {place for place, have in zip(places, row, strict=True) if have == "float32"}
    given = {i for i, have in enumerate(outputs) if have == "float32"}
    return Form(every.inputs - kept, every.outputs - given)


def _by_sets(
    kernel: Kernel, wanted: tuple[str | None, ...], every: Form
) -> tuple[Form | None, Form | None]:
    """Return the forms of a kernel whose tensors have a set of dtypes each."""

    def takes(dtype: str) -> bool:
        for i, want in enumerate(wanted):
            if want != "float32" or not kernel.inputs:
                continue
            have = kernel.inputs[min(i, len(kernel.inputs) - 1)].dtypes
            if have and dtype not in have:
                return False
        return True

    half, single = takes("float16"), takes("float32")
    if not half and not single:
        return every, SINGLE
    return (every if half else None), (SINGLE if single else None)

"""Per SoC family: which engine runs each node, by exact dtype combination.

Inputs decide; of outputs only Cast's, since GE inserts casts behind kernels that give int32 for
ONNX's int64. Constants and what follows from them alone are folded before kernels are chosen.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from graphfix.analysis.context import Context
from graphfix.graph import Node, Value
from graphfix.support import kernels as tables
from graphfix.support.conditions import NodeView
from graphfix.support.kernels import Kernel
from graphfix.support.tables import KernelChoice
from graphfix.support.target import Soc

# SoC families with fewer dynamic-shape kernels than this are static chips
FEW_DYNAMIC = 50

# operators whose output size depends on data, and the input that decides the shape of others
DATA_DEPENDENT = frozenset({"NonZero", "NonMaxSuppression", "Unique", "Compress", "StringSplit"})
SHAPE_INPUT = {
    "Reshape": 1,
    "Expand": 1,
    "Tile": 1,
    "ConstantOfShape": 0,
    "Pad": 1,
    "Slice": 1,
    "TopK": 1,
    "Range": 1,
}

# what a float tensor may become, in the order in which the mode prefers it
# (fp16_facts: the default force_fp16 on every family; op_support/README.md names the sources)
_LOWERING: dict[str, dict[str, tuple[str, ...]]] = {
    "force_fp16": {
        "float32": ("float16", "float32"),
        "float16": ("float16", "float32"),
        "bfloat16": ("float16", "bfloat16", "float32"),
    },
    "force_fp32": {
        "float32": ("float32", "float16"),
        "float16": ("float32", "float16"),
        "bfloat16": ("float32", "bfloat16", "float16"),
    },
    "allow_fp32_to_fp16": {"float32": ("float32", "float16")},
    "allow_mix_precision": {"float32": ("float16", "float32")},
    "allow_mix_precision_bf16": {"float32": ("bfloat16", "float32")},
    "allow_fp32_to_bf16": {"float32": ("float32", "bfloat16")},
    "must_keep_origin_dtype": {},
}
_LOWERING["cube_fp16in_fp32out"] = _LOWERING["force_fp32"]
_LOWERING["allow_mix_precision_fp16"] = _LOWERING["allow_mix_precision"]


@dataclass(frozen=True)
class Placement:
    """Where a node runs on a SoC. `engine`: AI Core, AI CPU, local, folded, unknown or none."""

    engine: str
    slug: str | None = None
    ge_op: str = ""
    source: str = ""
    certainty: str = "high"
    note: str = ""


_FOLDED = Placement("folded")


def check_kernels(context: Context, socs: tuple[Soc, ...]) -> dict[str, Counter[str]]:
    """Add kernel findings for the SoCs and return how many nodes each engine gets, per SoC.

    Findings that several SoCs share are one finding with all their names.
    """
    counts: dict[str, Counter[str]] = {soc.name: Counter() for soc in socs}
    usable = [soc for soc in socs if tables.has_table(context.target.release, soc)]
    for soc in socs:
        if soc not in usable:
            counts[soc.name]["unknown"] = sum(1 for _ in context.model.graph.walk())
    if not usable:
        return counts
    may_be_dynamic = _may_be_dynamic(context)
    cache: dict[object, tuple[list[tuple[Soc, Placement]], bool]] = {}
    for graph in context.model.graph.graphs():
        for group in context.groups(graph):
            if group[0].op_type != "Constant":
                _place_group(context, group, usable, may_be_dynamic, cache, counts)
    return counts


def _place_group(
    context: Context, group: list[Node], socs: list[Soc], may_be_dynamic: bool,
    cache: dict[object, tuple[list[tuple[Soc, Placement]], bool]],
    counts: dict[str, Counter[str]],
) -> None:  # fmt: skip
    """Place the nodes of one operator; equal dtypes are looked up once.

    `cache` holds places by what decides them, and whether there is something to report.
    """
    sample = group[0]
    if context.registration(sample) is None:
        # an operator of the user's own has a kernel of the user's own
        engine = "unknown" if context.is_custom(sample) else "unregistered"
        for soc in socs:
            counts[soc.name][engine] += len(group)
        return
    choices = _choices(context, sample)
    tally: Counter[object] = Counter()
    opset, is_cast = context.opset(sample) or 0, sample.op_type == "Cast"
    fixed = choices[0] if choices and choices[0].when is None else None
    values, kind = sample.graph.values, (sample.op_type, sample.domain)
    for node in group:
        output = values.get(node.outputs[0]) if node.outputs else None
        if output is not None and output.is_folded:
            tally[None] += 1
            continue
        choice = fixed or _choose(choices, node, opset)
        dtypes = _dtypes(node, choice)
        result = _dtype(output) if is_cast else None
        dynamic = may_be_dynamic and _is_dynamic(node)
        key = (kind, id(choice), dtypes, result, dynamic)
        placed = cache.get(key)
        if placed is None:
            places = [
                (soc, _place(context, node, choice, dtypes, result, dynamic, soc)) for soc in socs
            ]
            placed = cache[key] = (places, any(p.slug is not None for _, p in places))
        tally[key] += 1
        if placed[1]:
            _report_all(context, node, placed[0], dtypes)
    for found, number in tally.items():
        for soc, place in cache[found][0] if found is not None else ((s, _FOLDED) for s in socs):
            counts[soc.name][place.engine] += number


def _report_all(
    context: Context, node: Node, places: list[tuple[Soc, Placement]],
    dtypes: tuple[str | None, ...],
) -> None:  # fmt: skip
    found: dict[tuple[str, str, str], tuple[Placement, list[str]]] = {}
    for soc, place in places:
        if place.slug is not None:
            entry = found.setdefault((place.slug, place.ge_op, place.note), (place, []))
            entry[1].append(soc.name)
    for place, names in found.values():
        _report(context, node, place, tuple(names), dtypes)


def _may_be_dynamic(context: Context) -> bool:
    """Whether any shape can be dynamic: an unbound input, or an operator that makes one up."""
    root = context.model.graph
    for name in root.inputs:
        value = root.values.get(name)
        if value is not None and value.shape is not None and _has_open_dim(value):
            return True
    for graph in root.graphs():
        for group in context.groups(graph):
            op_type = group[0].op_type
            if op_type in DATA_DEPENDENT or graph.parent is not None:
                return True
            position = SHAPE_INPUT.get(op_type)
            if position is not None and any(
                (v := node.input(position)) is not None and not v.is_constant for node in group
            ):
                return True
    return False


def _has_open_dim(value: Value) -> bool:
    return value.shape is not None and any(not isinstance(d, int) for d in value.shape)


def choice_of(context: Context, node: Node) -> KernelChoice | None:
    """Return the GE operator whose kernel decides for a node; None where the tables name none."""
    return _choose(_choices(context, node), node, context.opset(node) or 0)


def _choices(context: Context, node: Node) -> list[KernelChoice]:
    operator, opset = context.operator(node), context.opset(node) or 0
    return [] if operator is None else [c for c in operator.kernels if opset in c.opsets]


def _choose(choices: list[KernelChoice], node: Node, opset: int) -> KernelChoice | None:
    view = None
    for choice in choices:
        if choice.when is None:
            return choice
        view = view or NodeView(node, opset)
        if choice.when(view):
            return choice
    return None


def _dtypes(node: Node, choice: KernelChoice | None) -> tuple[str | None, ...]:
    values = node.values
    if choice is not None and choice.inputs is not None:
        values = [values[i] if 0 <= i < len(values) else None for i in choice.inputs]
    return tuple([None if v is None else v.dtype for v in values])


def _dtype(value: Value | None) -> str | None:
    return value.dtype if value is not None else None


def _is_dynamic(node: Node) -> bool:
    for name in (*node.inputs, *node.outputs):
        value = node.graph.lookup(name) if name else None
        if value is not None and _has_open_dim(value):
            return True
    return False


def _place(
    context: Context, node: Node, choice: KernelChoice | None, dtypes: tuple[str | None, ...],
    result: str | None, dynamic: bool, soc: Soc,
) -> Placement:  # fmt: skip
    registration = context.registration(node)
    assert registration is not None
    ge_op = choice.ge_op if choice is not None else registration.ge_op
    release = context.target.release
    note = choice.note if choice is not None else ""
    certainty = choice.certainty if choice is not None else "high"
    if result is not None and dtypes[:1] == (result,):
        return Placement("local", ge_op=ge_op, note="a Cast to its own type is removed")
    if choice is not None and choice.engine is not None:
        return Placement("local", ge_op=ge_op, certainty=certainty)
    if ge_op in tables.local_operators():
        return Placement("local", ge_op=ge_op)
    if "bfloat16" in dtypes and soc.family in tables.WITHOUT_BF16:
        return Placement("none", "bfloat16-unsupported", ge_op, "soc_versions.csv")
    core = tables.ai_core(release, soc, ge_op)
    # where the pass behind a kernel choice does not apply, the original operator stays
    cpu = tables.ai_cpu(release, soc, ge_op) or tables.ai_cpu(release, soc, registration.ge_op)
    on_cpu = cpu is not None and _cpu_takes(cpu, dtypes)
    if core is None:
        if on_cpu and cpu is not None:
            return Placement("AI CPU", "ai-cpu-only", ge_op, cpu.source, certainty, note)
        return Placement(
            "unknown",
            "no-kernel",
            ge_op,
            f"op_support/kernels/{'+'.join(release.kernels)}",
            "medium",
            note,
        )
    mode = context.target.precision_mode
    if not _core_takes(core, dtypes, result, mode, soc):
        if on_cpu and cpu is not None:
            return Placement("AI CPU", "dtype-on-ai-cpu", ge_op, core.source, certainty, note)
        if _narrowed(dtypes) != dtypes and _core_takes(core, _narrowed(dtypes), result, mode, soc):
            slug = "double-narrowed" if "double" in dtypes else "int64-narrowed"
            return Placement("AI Core", slug, ge_op, core.source, "low", note)
        return Placement("none", "dtype-without-kernel", ge_op, core.source, "medium", note)
    if dynamic and core.is_static_only and _has_dynamic_kernels(soc):
        return Placement("AI Core", "kernel-static-only", ge_op, core.source, certainty, note)
    return Placement("AI Core", ge_op=ge_op, source=core.source, certainty=certainty)


def _has_dynamic_kernels(soc: Soc) -> bool:
    return (soc.dynamic_shape_kernels or 0) >= FEW_DYNAMIC


def _narrowed(dtypes: tuple[str | None, ...]) -> tuple[str | None, ...]:
    smaller = {"int64": "int32", "double": "float32", "uint64": "uint32"}
    return tuple(smaller.get(d, d) if d is not None else None for d in dtypes)


def _cpu_takes(kernel: Kernel, dtypes: tuple[str | None, ...]) -> bool:
    for position, dtype in enumerate(dtypes):
        if dtype is None:
            continue
        tensor = kernel.inputs[min(position, len(kernel.inputs) - 1)] if kernel.inputs else None
        if tensor is not None and tensor.dtypes and dtype not in tensor.dtypes:
            return False
    return True


def _core_takes(
    kernel: Kernel, dtypes: tuple[str | None, ...], result: str | None, mode: str, soc: Soc
) -> bool:
    lowering = _LOWERING[mode]
    allowed = [None if d is None else lowering.get(d, (d,)) for d in dtypes]
    # Cast keeps the types that the model asks for
    if result is not None:
        allowed = [None if d is None else (d,) for d in dtypes]
    if not kernel.positional:
        return all(
            want is None or not (t := _tensor_at(kernel, i)) or any(w in t for w in want)
            for i, want in enumerate(allowed)
        )
    rows = tables.combinations(kernel)
    if not rows:
        return True
    without_bf16 = soc.family in tables.WITHOUT_BF16
    for inputs, outputs in rows:
        if without_bf16 and "bfloat16" in inputs:
            continue
        if _row_fits(kernel, inputs, allowed) and (
            result is None or not outputs or outputs[0] in ("", result)
        ):
            return True
    return False


def _tensor_at(kernel: Kernel, position: int) -> tuple[str, ...] | None:
    if not kernel.inputs:
        return None
    return kernel.inputs[min(position, len(kernel.inputs) - 1)].dtypes


def _row_fits(kernel: Kernel, row: tuple[str, ...], allowed: list[tuple[str, ...] | None]) -> bool:
    index = 0
    for want in allowed:
        if index >= len(row):
            return True  # inputs beyond the kernel's are the expansion's business
        have = row[index]
        if kernel.inputs[index].kind != "dynamic":
            index += 1
        if want is not None and have and have not in want:
            return False
    return True


def _report(
    context: Context, node: Node, place: Placement, socs: tuple[str, ...],
    dtypes: tuple[str | None, ...],
) -> None:  # fmt: skip
    assert place.slug is not None
    types = ", ".join(d or "?" for d in dtypes)
    if node.op_type == "Cast":
        types += f" to {_dtype(node.output(0)) or '?'}"
    what = {
        "ai-cpu-only": f"{place.ge_op} has only an AI CPU kernel",
        "dtype-on-ai-cpu": f"{place.ge_op} with ({types}) runs on the AI CPU",
        "no-kernel": f"No table lists a kernel of {place.ge_op}",
        "dtype-without-kernel": f"No kernel of {place.ge_op} takes ({types})",
        "bfloat16-unsupported": "The chip has no bfloat16",
        "kernel-static-only": f"The kernel of {place.ge_op} declares no dynamic shapes",
        "int64-narrowed": f"{place.ge_op} has no int64 kernel; int32 may be used",
        "double-narrowed": f"{place.ge_op} has no double kernel",
    }[place.slug]
    via = f" ({place.note})" if place.note else ""
    stage = "compile" if place.slug in ("dtype-without-kernel", "bfloat16-unsupported") else "run"
    context.add(
        place.slug,
        f"{what} on {', '.join(socs)}{via}.",
        node,
        headline=what if place.ge_op == node.op_type else f"{node.op_type}: {what}",
        evidence=place.source,
        certainty=place.certainty,
        socs=socs,
        stage=stage,
        facts={"ge_op": place.ge_op, "dtypes": list(dtypes)},
    )

"""Shapes: what is unbound, what was baked in at export, what only the run can tell."""

from __future__ import annotations

import math
from collections.abc import Callable

from graphfix.analysis.context import Context
from graphfix.analysis.kernels import DATA_DEPENDENT, FEW_DYNAMIC, SHAPE_INPUT
from graphfix.graph import Dim, Graph, Node, Shape, Value
from graphfix.support.target import Soc

_ELEMENTWISE = {"Add", "Sub", "Mul", "Div", "Where", "Pow", "Equal", "Less", "Greater", "And", "Or"}
_EVIDENCE = "shape inference on the model"


def check_shapes(context: Context, socs: tuple[Soc, ...], bound: bool = False) -> None:
    """Add findings about unbound, baked and data-dependent shapes.

    `bound`: the user bound input shapes, so sizes of the trace may not fit any more.
    """
    unbound = _unbound_inputs(context)
    for value in unbound:
        _report_unbound(context, value)
    if unbound:
        _static_chips(context, socs)
    for graph in context.model.graph.graphs():
        for group in context.groups(graph):
            if not group[0].is_standard:
                continue
            op_type = group[0].op_type
            if op_type in DATA_DEPENDENT:
                _check_data_dependent(context, group)
            if op_type in _BAKED and (unbound or (bound and op_type not in _ELEMENTWISE)):
                for node in group:
                    _check_baked(context, node)
            if op_type in SHAPE_INPUT and not unbound:
                for node in group:
                    _check_shape_input(context, node)


def _check_data_dependent(context: Context, group: list[Node]) -> None:
    for node in group:
        output = node.output(0)
        if output is not None and (output.uses or output.is_output):
            context.add(
                "data-dependent-shape",
                f"How many elements {node.op_type} gives depends on the data.",
                node,
                headline=f"{node.op_type}: output size depends on data",
                evidence="ONNX operator schema",
                certainty="proved",
                stage="compile",
            )


def _unbound_inputs(context: Context) -> list[Value]:
    graph = context.model.graph
    found = []
    for name in graph.inputs:
        value = graph.values.get(name)
        if value is None or name in graph.initializers or not name:
            continue
        if value.dtype is not None and (value.shape is None or _symbols(value.shape)):
            found.append(value)
    return found


def _symbols(shape: Shape) -> list[int]:
    return [i for i, d in enumerate(shape) if not isinstance(d, int)]


def show_shape(shape: Shape | None) -> str:
    """Return a shape as text: `batch,3,?,640`."""
    if shape is None:
        return "?"
    return ",".join("?" if d is None else str(d) for d in shape)


def _report_unbound(context: Context, value: Value) -> None:
    code = context.target.release.code("unbound_shape")
    if value.shape is None:
        what, option = "has no shape at all", "--input_shape"
        example = "..."
    else:
        open_dims = _symbols(value.shape)
        names = ", ".join(str(value.shape[i] or f"dim {i}") for i in open_dims)
        what = f"[{show_shape(value.shape)}]: {names} unbound"
        option = _profile_option(value.shape, open_dims)
        example = ",".join(str(d) if isinstance(d, int) else "1" for d in value.shape)
    context.add(
        "unbound-dim",
        f"The input {value.name} {what}. In static mode ATC stops with {code}; "
        f"{option} gives profiles instead.",
        headline=f"input {value.name} {what}",
        stage="compile",
        remedy=f"--shape {value.name}={example} (ATC: --input_shape), or profiles: {option}",
        evidence="ge_parser_rules: GE api/atc (August 2026)",
        certainty="high",
        facts={"input": value.name, "option": option},
    )
    context.findings[-1].node, context.findings[-1].op_type = value.name, "Input"


def _profile_option(shape: Shape, open_dims: list[int]) -> str:
    if open_dims == [0]:
        return "--dynamic_batch_size"
    if len(shape) == 4 and open_dims and set(open_dims) <= {2, 3}:
        return "--dynamic_image_size"
    return "--dynamic_dims"


def _static_chips(context: Context, socs: tuple[Soc, ...]) -> None:
    static = [
        s
        for s in socs
        if s.dynamic_shape_kernels is not None and s.dynamic_shape_kernels < FEW_DYNAMIC
    ]
    if static:
        names = tuple(s.name for s in static)
        context.add(
            "dynamic-on-static-chip",
            f"{', '.join(names)}: only "
            f"{static[0].dynamic_shape_kernels} kernels take dynamic shapes.",
            evidence="op_support/soc_versions.csv",
            certainty="high",
            socs=names,
            stage="compile",
        )


# ---------------------------------------------------------------------- baked dims


def _check_baked(context: Context, node: Node) -> None:
    reason = _BAKED[node.op_type](node)
    if reason:
        context.add(
            "baked-dim",
            f"{reason}.",
            node,
            headline=f"{node.op_type}: the size of the trace is baked in",
            evidence=_EVIDENCE,
            certainty="high",
            stage="compile",
        )


def _target(node: Node) -> list[int] | None:
    value = node.input(1)
    if value is None or value.known is None or value.known.ndim != 1:
        return None
    return [int(d) for d in value.known.tolist()]


def _shape_of(node: Node, position: int) -> Shape | None:
    value = node.input(position)
    return value.shape if value is not None else None


def _baked_reshape(node: Node) -> str | None:
    shape, target = _shape_of(node, 0), _target(node)
    if shape is None or target is None or any(d is None for d in shape):
        return None
    dims = list(shape)
    if not int(node.attributes["allowzero"].i if "allowzero" in node.attributes else 0):
        kept = [i for i, d in enumerate(target) if d == 0 and i < len(dims)]
        target = [d for d in target if d != 0]
        dims = [d for i, d in enumerate(dims) if i not in kept]
    fixed, symbols = _factors(dims)
    if fixed is None:
        return None
    wanted = math.prod(d for d in target if d > 0)
    shown = f"[{show_shape(shape)}]"
    text = ",".join(map(str, target))
    if -1 in target:
        if symbols and fixed and wanted and fixed % wanted:
            return (
                f"The constant shape [{text}] divides {shown} only for certain sizes of "
                f"{', '.join(symbols)}: it holds sizes of the trace"
            )
        return None
    if symbols:
        return (
            f"The constant shape [{text}] has a fixed number of elements, but "
            f"{', '.join(symbols)} of {shown} is dynamic"
        )
    if fixed != wanted:
        return f"The constant shape [{text}] does not fit {shown}: it was traced at another size"
    return None


def _factors(dims: list[Dim]) -> tuple[int | None, list[str]]:
    """Return (product of all known factors, symbols); (None, []) for other expressions.

    torch writes products of symbols as `12*s72`.
    """
    fixed, symbols = 1, []
    for dim in dims:
        if isinstance(dim, int):
            fixed *= dim
            continue
        for factor in str(dim).split("*"):
            word = factor.strip()
            if word.isdigit():
                fixed *= int(word)
            elif word.replace("_", "a").replace(".", "a").isalnum():
                symbols.append(word)
            else:
                return None, []
    return fixed, symbols


def _baked_expand(node: Node) -> str | None:
    shape, target = _shape_of(node, 0), _target(node)
    if shape is None or target is None:
        return None
    for dim, want in zip(reversed(shape), reversed(target), strict=False):
        if isinstance(dim, str) and want > 1:
            return f"The constant shape [{','.join(map(str, target))}] fixes {dim} to {want}"
        if isinstance(dim, int) and dim > 1 and want > 1 and dim != want:
            return (
                f"The constant shape [{','.join(map(str, target))}] does not fit "
                f"[{show_shape(shape)}]: it was traced at another size"
            )
    return None


def _baked_split(node: Node) -> str | None:
    shape, sizes = _shape_of(node, 0), _target(node)
    if sizes is None and "split" in node.attributes:
        sizes = list(node.attributes["split"].ints)
    if shape is None or not sizes:
        return None
    axis = node.attributes["axis"].i if "axis" in node.attributes else 0
    if not -len(shape) <= axis < len(shape):
        return None
    dim = shape[axis]
    if isinstance(dim, str):
        return f"The constant sizes {sizes} fix {dim} to {sum(sizes)}"
    if isinstance(dim, int) and dim != sum(sizes):
        return (
            f"The constant sizes {sizes} do not add up to {dim}: they were traced at another size"
        )
    return None


def _baked_constant(node: Node) -> str | None:
    """A constant of a fixed size above 1 that broadcasts against a dynamic dim."""
    for position in range(len(node.inputs)):
        constant = node.input(position)
        if constant is None or constant.constant is None or constant.shape is None:
            continue
        for other_position in range(len(node.inputs)):
            other = node.input(other_position)
            if other is None or other.shape is None or other is constant:
                continue
            for have, dim in zip(reversed(constant.shape), reversed(other.shape), strict=False):
                if isinstance(have, int) and have > 1 and isinstance(dim, str):
                    return (
                        f"The constant {constant.name} of shape [{show_shape(constant.shape)}] "
                        f"fixes {dim} to {have}"
                    )
    return None


_BAKED: dict[str, Callable[[Node], str | None]] = {
    "Reshape": _baked_reshape,
    "Expand": _baked_expand,
    "Split": _baked_split,
    **dict.fromkeys(_ELEMENTWISE, _baked_constant),
}


def _check_shape_input(context: Context, node: Node) -> None:
    """Report a shape that is computed at run time although all inputs are bound (GF405)."""
    value, output = node.input(SHAPE_INPUT[node.op_type]), node.output(0)
    if value is None or output is None or value.is_constant:
        return
    if output.shape is None or _symbols(output.shape):
        if _in_loop(node.graph):
            return
        context.add(
            "shape-not-constant",
            f"The shape input {value.name!r} is computed at run time.",
            node,
            headline=f"{node.op_type}: its shape is computed at run time",
            evidence=_EVIDENCE,
            certainty="high",
            stage="compile",
        )


def _in_loop(graph: Graph) -> bool:
    return graph.owner is not None and graph.owner.op_type != "If"

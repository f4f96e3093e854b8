"""What half precision does to constants: overflow, vanishing epsilons, infinities.

Reads constants of up to 1,024 elements, or all of them when `weights` is asked for.
"""

from __future__ import annotations

import numpy as np

from graphfix.analysis.context import Context
from graphfix.graph import Graph, Node, Value
from graphfix.graph.tensors import SMALL_ELEMENTS, read_tensor, small_array

FP16_MAX = 65504.0
# below this a float32 rounds to zero in float16 (half of the smallest subnormal, 2**-24)
FP16_TINY = 2.0**-25

_HALF_MODES = {
    "force_fp16",
    "allow_mix_precision",
    "allow_mix_precision_fp16",
    "allow_fp32_to_fp16",
}
_EPSILON_OPS = {
    "LayerNormalization",
    "BatchNormalization",
    "InstanceNormalization",
    "GroupNormalization",
    "RMSNormalization",
    "MeanVarianceNormalization",
    "SkipLayerNormalization",
    "LpNormalization",
}
# these take an int64 bound as "to the end"; GE clamps it
_CLAMPING = {"Slice"}
_CHECKED = frozenset({1, 7, 11, 16})  # float32, int64, double, bfloat16
_EVIDENCE = "IEEE 754 half precision; ATC's default precision mode force_fp16"


def check_precision(context: Context, weights: bool = False) -> None:
    """Add findings about constants that do not survive the target's precision mode."""
    half = context.target.precision_mode in _HALF_MODES
    for graph in context.model.graph.graphs():
        constants = [v for v in graph.values.values() if v.constant is not None and v.uses]
        for value in _suspects(constants) if not weights else constants:
            _check_constant(context, graph, value, half, weights)
        for group in context.groups(graph):
            if half and group[0].op_type in _EPSILON_OPS:
                for node in group:
                    if "epsilon" in node.attributes:
                        _check_epsilon(context, node, node.attributes["epsilon"].f)


def _suspects(values: list[Value]) -> list[Value]:
    """Leave out small float32 constants that are harmless, all judged in one stroke."""
    plain, rest = [], []
    for value in values:
        tensor = value.constant
        assert tensor is not None
        kind = tensor.data_type
        if kind == 1 and 4 <= len(tensor.raw_data) <= 4 * SMALL_ELEMENTS:
            plain.append(value)
        elif kind in _CHECKED:
            rest.append(value)
    if not plain:
        return rest
    data = [v.constant.raw_data for v in plain if v.constant is not None]
    sizes = np.array([len(d) // 4 for d in data])
    numbers = np.abs(np.frombuffer(b"".join(d[: 4 * (len(d) // 4)] for d in data), "<f4"))
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    peaks = np.maximum.reduceat(numbers, starts)  # NaN wins, as it should
    harmless = (peaks <= FP16_MAX) & ((peaks >= FP16_TINY) | (peaks == 0))
    return rest + [v for v, fine in zip(plain, harmless.tolist(), strict=True) if not fine]


def _check_epsilon(context: Context, node: Node, epsilon: float) -> None:
    if 0 < epsilon < FP16_TINY:
        context.add(
            "epsilon-underflows-fp16",
            f"epsilon {epsilon:.3g} is 0 in float16; whether the kernel adds it in float32 is not "
            "known.",
            node,
            headline=f"{node.op_type}: epsilon {epsilon:.0e} is 0 in float16",
            evidence=_EVIDENCE,
            certainty="low",
            stage="run",
        )


def _array(context: Context, value: Value, weights: bool) -> np.ndarray | None:
    assert value.constant is not None
    if weights:
        return read_tensor(value.constant, context.model.folder)
    return value.known if value.known is not None else small_array(value.constant)


def _check_constant(
    context: Context, graph: Graph, value: Value, half: bool, weights: bool
) -> None:
    assert value.constant is not None
    if value.constant.data_type not in _CHECKED:
        return
    users = [node for node, _ in value.uses]
    if all(_is_folded(user) for user in users):
        return
    array = _array(context, value, weights)
    if array is None or array.size == 0:
        return
    user = users[0]
    if value.dtype == "int64":
        _check_int64(context, value, user, array)
        return
    data = array.astype(np.float64)
    finite = data[np.isfinite(data)]
    if finite.size < data.size:
        what = "NaN" if np.isnan(data).any() else "infinity"
        _report(context, "infinite-constant", value, user, f"holds {what}")
    if not half or finite.size == 0:
        return
    peak = float(np.abs(finite).max())
    if peak > FP16_MAX:
        _report(
            context,
            "constant-overflows-fp16",
            value,
            user,
            f"holds {_signed_peak(finite):.4g}, beyond float16's 65504",
        )
    elif 0 < peak < FP16_TINY:
        is_epsilon = user.op_type in ("Add", "Max", "Clip")
        slug = "epsilon-underflows-fp16" if is_epsilon else "constant-underflows-fp16"
        _report(context, slug, value, user, f"is {peak:.3g} and becomes 0 in float16")


def _signed_peak(data: np.ndarray) -> float:
    return float(data[np.abs(data).argmax()])


def _check_int64(context: Context, value: Value, user: Node, array: np.ndarray) -> None:
    if user.op_type in _CLAMPING:
        return
    if np.abs(array.astype(np.float64)).max() > 2**31 - 1:
        _report(
            context,
            "int64-narrowed",
            value,
            user,
            f"holds {int(array.flat[np.abs(array).argmax()])}, beyond 32 bits",
        )


def _is_folded(node: Node) -> bool:
    outputs = [node.output(i) for i in range(len(node.outputs))]
    return bool(outputs) and all(v is None or v.is_folded for v in outputs)


def _report(context: Context, slug: str, value: Value, user: Node, what: str) -> None:
    source = value.producer
    name = value.name if source is None else context.name(source)
    context.add(
        slug,
        f"The constant {name} {what}; {user.op_type} uses it.",
        user,
        headline=f"{user.op_type}: a constant {what}",
        evidence=_EVIDENCE,
        certainty="high",
        stage="run",
        facts={"constant": value.name},
    )

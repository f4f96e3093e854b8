"""Rounding to half and back, and what a tensor loses by it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import helper

from graphfix.comparison.runtimes.onnxruntime import new_session
from graphfix.graph import dtypes

HALF_MAX = 65504.0
# numpy casts to half one by one; above this size ONNX Runtime's Cast is faster
_SMALL = 2048
# families whose arithmetic saturates instead of becoming infinite, and those known to become
# infinite (documents of INF_NAN_MODE_ENABLE and set_device_sat_mode); the others are not told
SATURATING = frozenset({"ascend910"})
INFINITE = frozenset({"ascend910b", "ascend910_93"})


@dataclass(frozen=True)
class Loss:
    """What rounding takes from a tensor.

    `overflow` and `underflow` count elements: finite ones beyond half's range, non-zero ones that
    become zero. `peak` is the largest finite magnitude with its sign, `least` the largest of those
    that vanish; `nonzero` and `size` say of how many.
    """

    overflow: int
    underflow: int
    peak: float
    least: float
    nonzero: int
    size: int


class Rounding:
    """Float32 arrays as half holds them, given back as float32.

    `clip_weights`: constants beyond the range end at 65504 (ATC's --is_weight_clip) instead of
    infinity; `saturate`: so does everything else, and NaN becomes 0.
    """

    def __init__(self, *, clip_weights: bool = False, saturate: bool = False) -> None:
        self.clip_weights = clip_weights
        self.saturate = saturate
        self._cast: Any = None

    def __call__(self, array: np.ndarray, is_weight: bool = False) -> np.ndarray:
        """Return a new float32 array."""
        result = self._half(array)
        if self.saturate:
            return np.asarray(np.nan_to_num(result, nan=0.0, posinf=HALF_MAX, neginf=-HALF_MAX))
        if is_weight and self.clip_weights:
            # infinities that the model itself holds stay
            beyond = np.isinf(result) & ~np.isinf(array)
            return np.where(beyond, np.copysign(np.float32(HALF_MAX), array), result)
        return result

    def _half(self, array: np.ndarray) -> np.ndarray:
        if array.size <= _SMALL:
            with np.errstate(all="ignore"):
                return array.astype(np.float16).astype(np.float32)
        if self._cast is None:
            self._cast = new_session(_cast_model(), threads=1)
        result: np.ndarray = self._cast.run(["y"], {"x": array})[0]
        return result


def loss_of(array: np.ndarray, rounded: np.ndarray) -> Loss | None:
    """Return what rounding took; None when nothing overflowed or vanished."""
    if array.size == 0:
        return None
    with np.errstate(all="ignore"):
        magnitude = np.abs(array)
        beyond = (magnitude >= 65520.0) & np.isfinite(array)
        overflow = int(np.count_nonzero(beyond))
        vanished = (rounded == 0) & (magnitude > 0)
        underflow = int(np.count_nonzero(vanished))
        if not overflow and not underflow:
            return None
        peak = least = 0.0
        if overflow:
            flat = np.where(beyond, magnitude, 0).reshape(-1)
            peak = float(array.reshape(-1)[int(flat.argmax())])
        if underflow:
            least = float(magnitude[vanished].max())
    return Loss(overflow, underflow, peak, least, int(np.count_nonzero(array)), int(array.size))


def _cast_model() -> onnx.ModelProto:
    single, half = dtypes.NUMBERS["float32"], dtypes.NUMBERS["float16"]
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["x"], ["h"], to=half),
            helper.make_node("Cast", ["h"], ["y"], to=single),
        ],
        "half",
        [helper.make_tensor_value_info("x", single, None)],
        [helper.make_tensor_value_info("y", single, None)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

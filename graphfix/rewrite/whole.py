"""Comparing whole models: the outputs of the original and of the rewritten one."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx

from graphfix.graph import Model
from graphfix.rewrite.island import Port
from graphfix.rewrite.proof import difference, finite, random_input
from graphfix.rewrite.rule import Exactness

# sizes for dynamic dims, tried until two of them run
_SIZES = (2, 3, 1, 4, 5, 8, 16)


@dataclass
class WholeProof:
    """Greatest absolute and relative difference of each output, over all samples."""

    ok: bool | None
    reason: str
    samples: int = 0
    outputs: dict[str, dict[str, float]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the comparison as the report has it."""
        outputs = {
            name: {key: finite(number) for key, number in errors.items()}
            for name, errors in self.outputs.items()
        }
        return {"equal": self.ok, "reason": self.reason, "outputs": outputs}


def compare_models(before: Model, after: Model, tolerance: float) -> WholeProof:
    """Run both models in ONNX Runtime, optimizations off, symbolic dims at two sizes."""
    try:
        sessions = [_session(before), _session(after)]
    except Exception as error:
        return WholeProof(
            None, f"ONNX Runtime does not load it: {str(error).splitlines()[0][:160]}"
        )
    result = WholeProof(None, "no size of its dynamic dims was found at which it runs")
    for round_, size in enumerate(_SIZES):
        inputs = _inputs(before, after, size, round_)
        try:
            expected = sessions[0].run(None, inputs)
        except Exception as error:  # sizes that the original does not take tell nothing
            if result.ok is None:
                result.reason = f"the original does not run: {str(error).splitlines()[0][:120]}"
            continue
        result.samples += 1
        if result.ok is None:
            result.ok, result.reason = True, "equal"
        try:
            actual = sessions[1].run(None, inputs)
        except Exception as error:
            result.ok = False
            result.reason = f"the result does not run: {str(error).splitlines()[0][:160]}"
            return result
        for info, want, have in zip(before.proto.graph.output, expected, actual, strict=True):
            problem, relative = difference(want, have, Exactness.ROUNDING, tolerance)
            entry = result.outputs.setdefault(info.name, {"max_abs": 0.0, "max_rel": 0.0})
            entry["max_rel"] = max(entry["max_rel"], relative)
            entry["max_abs"] = max(entry["max_abs"], _absolute(want, have))
            if problem is not None:
                result.ok, result.reason = False, f"{info.name}: {problem}"
        if result.samples == 2:
            break
    return result


def _absolute(want: Any, have: Any) -> float:
    a, b = np.asarray(want), np.asarray(have)
    if a.dtype.kind != "f" or a.shape != b.shape or a.size == 0:
        return 0.0
    with np.errstate(all="ignore"):
        distance = np.abs(a.astype(np.float64) - b.astype(np.float64))
    return float(np.nan_to_num(distance, nan=0.0, posinf=0.0).max())


def _session(model: Model) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    if model.path is not None and model.folder is not None:
        options.add_session_config_entry(
            "session.model_external_initializers_file_folder_path", str(model.folder)
        )
    proto = onnx.ModelProto()
    proto.CopyFrom(model.proto)
    return onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def _inputs(before: Model, after: Model, size: int, round_: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(zlib.crc32(b"graphfix") + round_)
    inputs = {}
    for name in before.graph.inputs:
        if name in before.graph.initializers:
            continue
        value = after.graph.values.get(name) or before.graph.values[name]
        shape = tuple(d if isinstance(d, int) else size for d in value.shape or ())
        inputs[name] = random_input(rng, Port(name, value.dtype, shape), shape)
    return inputs

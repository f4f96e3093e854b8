"""Comparing whole models: the outputs of the original and of the rewritten one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from graphfix.comparison.inputs import SIZES, bind, meanings, sample
from graphfix.comparison.metrics import finite, measure
from graphfix.comparison.runtimes import Port, RuntimeFailed
from graphfix.comparison.runtimes.onnxruntime import OnnxRuntime
from graphfix.graph import Model
from graphfix.rewrite.proof import difference
from graphfix.rewrite.rule import Exactness

# the sizes above this one are for images, which take long to run
_LARGEST = 16


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
    with OnnxRuntime(before) as original, OnnxRuntime(after) as rewritten:
        try:
            original.load()
        except RuntimeFailed as error:
            return WholeProof(None, str(error))
        try:
            rewritten.load()
        except RuntimeFailed as error:
            return WholeProof(False, f"the result: {error}")
        return _compare(original, rewritten, tolerance)


def _compare(original: OnnxRuntime, rewritten: OnnxRuntime, tolerance: float) -> WholeProof:
    result = WholeProof(None, "no size of its dynamic dims was found at which it runs")
    # the rewritten model may know static dims that the original leaves open
    known = {port.name: port.shape for port in rewritten.inputs}
    ports = [Port(p.name, p.dtype, known.get(p.name, p.shape)) for p in original.inputs]
    means = meanings(original.model)
    for round_, size in enumerate(s for s in SIZES if s <= _LARGEST):
        try:
            inputs = sample(ports, bind(ports, {}, size), round_, means)
            expected = original.run(inputs)
        except RuntimeFailed as error:  # sizes that the original does not take tell nothing
            if result.ok is None:
                result.reason = str(error)
            continue
        result.samples += 1
        if result.ok is None:
            result.ok, result.reason = True, "equal"
        try:
            actual = rewritten.run(inputs)
        except RuntimeFailed as error:
            result.ok, result.reason = False, f"the result: {error}"
            return result
        for name, want in expected.items():
            if name not in actual:
                result.ok, result.reason = False, f"{name} is not there"
                continue
            problem, relative = difference(want, actual[name], Exactness.ROUNDING, tolerance)
            entry = result.outputs.setdefault(name, {"max_abs": 0.0, "max_rel": 0.0})
            entry["max_rel"] = max(entry["max_rel"], relative)
            entry["max_abs"] = max(entry["max_abs"], measure(want, actual[name]).max_abs or 0.0)
            if problem is not None:
                result.ok, result.reason = False, f"{name}: {problem}"
        if result.samples == 2:
            break
    return result

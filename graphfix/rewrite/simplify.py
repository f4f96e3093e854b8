"""--simplify: onnxsim as an optional first step, in a process of its own and under a budget.

Its result is kept only when the whole-model comparison holds.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from graphfix.errors import UsageError
from graphfix.graph import Model, load, save
from graphfix.graph.saving import external_files
from graphfix.rewrite.whole import compare_models

# onnxsim keeps several copies of the model in memory (8 GB for one of 1.5 GB, measured)
_MAX_BYTES = 1 << 28
_SECONDS = 300

_PROGRAM = """
import sys, onnx, onnxsim
model, ok = onnxsim.simplify(onnx.load(sys.argv[1]))
onnx.save(model, sys.argv[2])
sys.exit(0 if ok else 3)
"""


def simplify(model: Model, seconds: int = _SECONDS) -> tuple[Model, str]:
    """Return (the simplified model, or the same one, and what happened).

    Raises UsageError when onnxsim is not installed.
    """
    if find_spec("onnxsim") is None:
        raise UsageError(
            "--simplify: onnxsim is not installed. Install it with: pip install "
            "'graphfix[simplify]'."
        )
    weights = sum(file.stat().st_size for file in external_files(model) if file.is_file())
    if model.byte_size + weights > _MAX_BYTES:
        return model, f"onnxsim left out: the model is larger than {_MAX_BYTES >> 20} MiB"
    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder) / "before.onnx", Path(folder) / "after.onnx"
        save(model, before)  # with its external weights
        command = [sys.executable, "-c", _PROGRAM, str(before), str(after)]
        try:
            done = subprocess.run(command, capture_output=True, timeout=seconds, check=False)
        except subprocess.TimeoutExpired:
            return model, f"onnxsim left out: it took more than {seconds} s"
        if done.returncode != 0 or not after.is_file():
            return model, f"onnxsim left out: it ended with {done.returncode}"
        simplified = load(after)
    result = Model(simplified.proto, model.path)
    proof = compare_models(model, result, 1e-5)
    if proof.ok is not True:
        return model, f"onnxsim's result was dropped: {proof.reason}"
    nodes = len(model.graph.nodes) - len(result.graph.nodes)
    return result, f"onnxsim removed {nodes} nodes, outputs equal"

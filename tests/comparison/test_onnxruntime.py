"""ONNX Runtime as one side: outputs, intermediate values, branches, external weights, failures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from graphfix.comparison.runtimes import RuntimeFailed
from graphfix.comparison.runtimes.onnxruntime import OnnxRuntime
from graphfix.graph import Model, load
from tests.builders import NESTED_IF, external, text_model

CHAIN = "g (float[2] x) => (float[2] y) { a = Neg(x)  b = Exp(a)  c = Abs(b)  y = Relu(c) }"


# ONNX Runtime takes no outer value as the output of a branch
BRANCHES = NESTED_IF.replace("() => (b) {}", "() => (float[2] p) { p = Identity(b) }")


@pytest.mark.parametrize("optimize", [False, True])
def test_outputs_and_inner_values(optimize: bool) -> None:
    feeds = {"x": np.array([1, -2], np.float32)}
    with OnnxRuntime(Model(text_model(CHAIN)), optimize=optimize) as side:
        assert list(side.run(feeds)) == ["y"]
        inner = side.run(feeds, ["b", "a"])
        assert list(inner) == ["b", "a"]
        np.testing.assert_array_equal(inner["a"], [-1, 2])
        np.testing.assert_allclose(inner["b"], np.exp([-1, 2]), rtol=1e-6)


def test_values_that_a_branch_captures() -> None:
    feeds = {"x": np.array([1, -2], np.float32), "c": np.array(True)}
    with OnnxRuntime(Model(text_model(BRANCHES))) as side:
        np.testing.assert_array_equal(side.run(feeds, ["y", "a"])["y"], [-1, 0])


def test_external_weights(tmp_path: Path) -> None:
    external(tmp_path, "w.bin")
    np.arange(4, dtype=np.float32).tofile(tmp_path / "w.bin")
    with OnnxRuntime(load(tmp_path / "model.onnx")) as side:
        np.testing.assert_array_equal(side.run({"x": np.ones(4, np.float32)})["y"], [1, 2, 3, 4])


def test_sequences_come_member_by_member() -> None:
    text = "g (float[4] x) => (seq(float[2]) y) { y = SplitToSequence<axis = 0, keepdims = 1>(x) }"
    with OnnxRuntime(Model(text_model(text))) as side:
        found = side.run({"x": np.arange(4, dtype=np.float32)})
    assert list(found) == ["y[0]", "y[1]", "y[2]", "y[3]"]


def test_failures_name_the_side(tmp_path: Path) -> None:
    missing = Model(text_model("g (float[2] x) => (float[2] y) { y = Nonsense(x) }"))
    with OnnxRuntime(missing) as side, pytest.raises(RuntimeFailed, match="does not load"):
        side.run({"x": np.ones(2, np.float32)})
    with OnnxRuntime(Model(text_model(CHAIN))) as side, pytest.raises(RuntimeFailed, match="run"):
        side.run({"x": np.ones(3, np.float32)})
    with pytest.raises(RuntimeFailed, match="has only"):
        OnnxRuntime(missing, providers=["NoSuchProvider"])

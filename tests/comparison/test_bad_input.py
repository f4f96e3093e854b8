"""What does not fit is told in one paragraph: what, where, what to do; nothing is half done."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from graphfix.comparison.compare import compare
from graphfix.errors import UsageError
from tests.builders import INT64, model_of, text_model, write

ONE = "g (float[2,3] x) => (float[2,3] y) { y = Tanh(x) }"


def saved(folder: Path, **arrays: np.ndarray) -> Path:
    folder.mkdir(exist_ok=True)
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return folder


def refused(done: Any, *says: str) -> None:
    """One paragraph on stderr, exit code 2, and nothing on stdout."""
    text = " ".join(done.stderr.split())
    assert done.returncode == 2 and done.stdout == "" and "Traceback" not in done.stderr
    assert all(part in text for part in says), text
    assert "\n\n" not in done.stderr.strip()


@pytest.fixture
def one(tmp_path: Path) -> Path:
    return write(text_model(ONE), tmp_path / "a.onnx")


def test_other_output_names(one: Path, main: Callable[..., Any]) -> None:
    other = write(
        text_model(ONE.replace("y)", "z)").replace("y =", "z =")), one.with_name("b.onnx")
    )
    refused(main("compare", one, other), "has no output y: it has z", "--by-order")
    assert main("compare", one, other, "--by-order").returncode == 0


def test_other_output_counts(one: Path, main: Callable[..., Any]) -> None:
    two = "g (float[2,3] x) => (float[2,3] y, float[2,3] z) { y = Tanh(x) z = Neg(x) }"
    other = write(text_model(two), one.with_name("b.onnx"))
    refused(main("compare", one, other, "--by-order"), "has 1 outputs", "2")
    done = main("compare", one, other)  # what the original has is there
    assert done.returncode == 0
    refused(main("compare", other, one), "has no output z")


def test_other_input_names_and_counts(one: Path, main: Callable[..., Any]) -> None:
    text = "g (float[2,3] x, float[2,3] u) => (float[2,3] y) { y = Add(x, u) }"
    other = write(text_model(text), one.with_name("b.onnx"))
    refused(main("compare", one, other), "wants input u")
    refused(main("compare", one, other, "--by-order"), "wants input u")


def test_an_output_of_another_shape_or_dtype_fails_by_name() -> None:
    a = model_of([helper.make_node("Shape", ["x"], ["y"])], {"x": ["a", "b"]}, {"y": (INT64, None)})
    flat = model_of([helper.make_node("Flatten", ["x"], ["y"], axis=0)], {"x": ["a", "b"]},
                    {"y": None})  # fmt: skip
    report = compare(a, flat, inputs={"x": np.ones((1, 2), np.float32)})
    assert not report.passed and "shape [1,2] instead of [2]" in str(
        report.outputs[0].metrics.problem
    )
    cast = text_model("g (float[a,b] x) => (bool[2] y) { s = Shape(x) y = Cast<to = 9>(s) }")
    report = compare(a, cast, inputs={"x": np.ones((1, 2), np.float32)})
    assert "dtype bool instead of int64" in str(report.outputs[0].metrics.problem)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(["gone.onnx"], "gone.onnx"), (["gone"], "gone"), (["gone.npy"], "gone.npy"),
     (["gone.om"], "gone.om: there is no such file"),
     (["a.onnx", "--input", "x=gone.npy"], "gone.npy: there is no such file"),
     (["a.onnx", "--input", "gone"], "gone: there is no such file or folder"),
     (["a.onnx", "--input", "u=1"], "no input is called u"),
     (["a.om", "--aipp", "gone.cfg"], "--aipp gone.cfg: cannot be read")],
)  # fmt: skip
def test_missing_files(
    arguments: list[str], says: str, one: Path, main: Callable[..., Any]
) -> None:
    one.with_name("a.om").write_bytes(b"IMOD")
    refused(main("compare", one, *arguments, "--save-inputs", "in"), says)
    assert not one.with_name("in").exists()


def test_wrong_byte_counts(one: Path, main: Callable[..., Any]) -> None:
    folder = saved(one.parent / "in", x=np.ones((2, 3), np.float32))
    (one.parent / "out").mkdir()
    (one.parent / "out" / "y.bin").write_bytes(bytes(20))
    refused(main("compare", one, "out", "--input", folder),
            "out/y.bin: 20 bytes; float32[2,3] takes 24", "--bin NAME=")  # fmt: skip
    (one.parent / "x.bin").write_bytes(bytes(25))
    refused(main("compare", one, one, "--input", "x=x.bin"), "x.bin: 25 bytes", "takes 24")


def test_a_budget_that_does_not_do(one: Path, main: Callable[..., Any]) -> None:
    big = write(text_model(ONE.replace("2,3", "1000,1000")), one.with_name("big.onnx"))
    refused(main("compare", big, big, "--layers", "--memory", "1MB", "--output", "r.txt"),
            "--memory 1 MiB: does not hold y", "--bisect")  # fmt: skip
    assert not one.with_name("r.txt").exists()
    assert main("compare", big, big, "--bisect", "--memory", "1MB").returncode == 0


def test_a_number_for_an_input(one: Path, main: Callable[..., Any]) -> None:
    text = "g (float[n] x, int64 rate) => (float[n] y) { r = Cast<to = 1>(rate) y = Mul(x, r) }"
    proto = text_model(text)
    path = write(proto, one.with_name("rate.onnx"))
    report = compare(proto, proto, inputs=["rate=16000"])
    assert report.passed and report.inputs["rate"] == "int64[]"
    assert main("compare", path, path, "--input", "rate=16000").returncode == 0
    refused(main("compare", path, path, "--input", "rate=0.5"), "int64, which is no such number")
    refused(main("compare", path, path, "--input", "x=1"), "for an input of fixed shape", "[n]")


def test_images_are_large_enough_to_be_halved() -> None:
    text = """g (float[N,3,H,W] image) => (float[N,3,P,Q] y) {
        y = AveragePool<kernel_shape = [32, 32], strides = [32, 32]>(image)
    }"""
    assert compare(text_model(text), text_model(text)).inputs == {"image": "float32[4,3,64,64]"}


def test_inputs_that_differ_in_type_are_refused() -> None:
    ints = onnx.ModelProto()
    ints.CopyFrom(text_model(ONE))
    with pytest.raises(UsageError, match=r"float64\[2,3\] does not fit.*Convert the file"):
        compare(ints, ints, inputs={"x": np.zeros((2, 3))})

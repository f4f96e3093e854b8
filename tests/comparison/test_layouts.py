"""Folders as the tools of Ascend write them: ais_bench, msit, msprobe, msaccucmp."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from graphfix.comparison.compare import compare
from graphfix.comparison.runtimes.layouts import unpacked
from graphfix.comparison.runtimes.onnxruntime import OnnxRuntime
from graphfix.errors import UsageError
from graphfix.graph import Model
from tests.builders import text_model, write

TEXT = """g (float[2,3] x) => (float[2,3] y, int64[2] shape) {
    a = Neg(x)
    b = Exp(a)
    y = Tanh(b)
    shape = Shape(x)
}"""
X = np.random.default_rng(0).normal(size=(2, 3)).astype(np.float32)
TIME = "1682148256368588"


def model(**swaps: str) -> onnx.ModelProto:
    text = TEXT
    for old, new in swaps.items():
        text = text.replace(old, new)
    proto = text_model(text)
    for node in proto.graph.node:
        node.name = f"/block/{node.output[0]}"
    return proto


def values(x: np.ndarray = X, **swaps: str) -> dict[str, np.ndarray]:
    return OnnxRuntime(Model(model(**swaps))).run({"x": x}, ["a", "b", "y", "shape"])


def ais_bench(folder: Path, samples: dict[str, np.ndarray], kind: str, how: str) -> None:
    """Writes OUTPUT/TIME/STEM_INDEX.kind and the summary, in the given order of samples."""
    inner = folder / "2022_12_17-07_37_18"
    inner.mkdir(parents=True)
    info: dict[str, Any] = {}
    for number, (stem, x) in enumerate(samples.items()):
        found = values(x)
        names = []
        for index, name in enumerate(("y", "shape")):
            array = found[name] if name == "y" else found[name].astype(np.int32)
            file = inner / f"{stem}_{index}.{kind}"
            np.save(file, array) if kind == "npy" else array.tofile(file)
            names.append(f"result/{inner.name}/{file.name}")
        info[str(number)] = {"infiles": [f"data/{stem}.bin"], "outfiles": names}
    document = json.dumps({"filesinfo": info, "NPU_compute_time": {"count": len(samples)}})
    if how == "beside":
        (folder / f"{inner.name}_summary.json").write_text(document)
    elif how == "inside":
        (inner / "sumary.json").write_text(document)


@pytest.mark.parametrize("kind", ["bin", "npy"])
@pytest.mark.parametrize("how", ["beside", "inside", "none"])
def test_ais_bench(kind: str, how: str, tmp_path: Path) -> None:
    ais_bench(tmp_path / "result", {"pure_infer_data": X}, kind, how)
    report = compare(model(), tmp_path / "result", inputs={"x": X})
    assert report.passed and len(report.outputs) == 2
    assert not compare(model(), tmp_path / "result", inputs={"x": X + 1}).passed
    assert compare(model(), tmp_path / "result" / "2022_12_17-07_37_18", inputs={"x": X}).passed


def test_ais_bench_samples_in_the_order_of_its_summary(tmp_path: Path) -> None:
    """The names alone would put img10 before img9."""
    data = {f"img{n}": X + n for n in (9, 10, 11)}
    ais_bench(tmp_path / "result", data, "bin", "beside")
    report = compare(model(), tmp_path / "result", inputs=[{"x": x} for x in data.values()])
    assert report.passed and report.samples == 3
    folder = tmp_path / "data"
    folder.mkdir()
    for number, x in enumerate(data.values()):
        x.tofile(folder / f"{number}.bin")
    report = compare(model(), tmp_path / "result", inputs=[f"x={folder}"])
    assert report.passed and report.samples == 3
    with pytest.raises(UsageError, match="holds 3 samples, but 1 are asked for"):
        compare(model(), tmp_path / "result", inputs={"x": X})


def test_what_an_npu_gave_is_held_to_half_precision(tmp_path: Path) -> None:
    ais_bench(tmp_path / "result", {"pure_infer_data": X}, "npy", "beside")
    for file in (tmp_path / "result").rglob("*_0.npy"):
        np.save(file, np.load(file).astype(np.float16).astype(np.float32))
    report = compare(model(), tmp_path / "result", inputs={"x": X})
    assert report.passed and report.tolerance is not None and report.tolerance.euclidean == 0.05
    plain = tmp_path / "plain"
    plain.mkdir()
    for name, array in values().items():
        np.save(plain / f"{name}.npy", array.astype(np.float16).astype(array.dtype))
    report = compare(model(), plain, inputs={"x": X})
    assert not report.passed and report.tolerance is None


def test_ais_bench_text_is_not_guessed(tmp_path: Path) -> None:
    np.savetxt(tmp_path / "pure_infer_data_0.txt", X)
    with pytest.raises(UsageError, match="holds text; let ais_bench write --outfmt NPY"):
        compare(model(), tmp_path, inputs={"x": X})


def converted(folder: Path, found: dict[str, np.ndarray], shape: bool = False) -> None:
    """Writes what msaccucmp makes of dumps: inputs and outputs of each node."""
    folder.mkdir(parents=True)
    for name, array in found.items():
        stem = f"Op.block_{name}.8.5.{TIME}"
        dims = "." + "x".join(map(str, array.shape)) if shape else ""
        np.save(folder / f"{stem}.output.0{dims}.npy", array)
        np.save(folder / f"{stem}.input.0{dims}.npy", array + 100)
    np.save(folder / f"TransData.trans_TransData_9.3.2.{TIME}.output.0.npy", X)


@pytest.mark.parametrize("shape", [False, True])
def test_msaccucmp(shape: bool, tmp_path: Path) -> None:
    converted(tmp_path / "dump", values(Exp="Sqrt", Neg="Abs"), shape)
    report = compare(model(Neg="Abs"), tmp_path / "dump", inputs={"x": X}, layers=True)
    assert report.layers is not None and report.layers.first is not None
    assert report.layers.first.node == "/block/b" and len(report.layers.layers) == 4


def msit(folder: Path, dynamic: bool, found: dict[str, np.ndarray]) -> Path:
    """Writes the folders of msit debug compare --convert True."""
    top = folder / "20230602" / ("x-2_3" if dynamic else "")
    npu = top / "dump_data" / "npu"
    raw = npu / "20230602" / "0" / "model" / "1" / "0"
    raw.mkdir(parents=True)
    (raw / f"Add.block_b.8.5.{TIME}").write_bytes(b"dump")
    converted(npu / "20230602_bin2npy" / "0" / "model" / "1" / "0", found)
    outputs = npu / "20230602155"
    outputs.mkdir()
    found["y"].tofile(outputs / "input_0_0.bin")
    np.save(outputs / "input_0_0.npy", found["y"])
    (npu / "20230602155_summary.json").write_text("{}")
    onnx_side = top / "dump_data" / "onnx"
    onnx_side.mkdir()
    for name, array in values().items():
        np.save(onnx_side / f"block_{name}.0.{TIME}.npy", array)
    (top / "input").mkdir()
    X.tofile(top / "input" / "input_0.bin")
    return top


@pytest.mark.parametrize("dynamic", [False, True])
def test_msit_and_msprobe(dynamic: bool, tmp_path: Path) -> None:
    top = msit(tmp_path, dynamic, values(Exp="Sqrt", Neg="Abs"))
    for folder in (top, top / "dump_data", tmp_path / "20230602"):
        report = compare(model(Neg="Abs"), folder, inputs={"x": X}, layers=True)
        assert report.layers is not None and report.layers.first is not None
        assert report.layers.first.node == "/block/b"
        assert {o.name: o.metrics.passed for o in report.outputs} == {"y": False, "shape": True}
    golden = top / "dump_data" / "onnx"
    assert compare(model(), golden, inputs=[f"x={top / 'input' / 'input_0.bin'}"]).passed


def test_outputs_that_no_dump_has_are_taken_by_position(tmp_path: Path) -> None:
    """A fused operator bears another name; the tool saved the model's outputs beside."""
    found = values()
    found.pop("shape")
    y = found.pop("y")
    top = msit(tmp_path, False, {**found, "y": y})
    for file in top.rglob("Op.block_y.*"):
        file.unlink()
    one = text_model(TEXT.replace(", int64[2] shape", "").replace("shape = Shape(x)", ""))
    for node in one.graph.node:
        node.name = f"/block/{node.output[0]}"
    report = compare(one, top, inputs={"x": X}, layers=True)
    assert report.passed and [o.name for o in report.outputs] == ["y"]


def test_fused_operators_are_known_by_their_last_node(tmp_path: Path) -> None:
    found = values(Neg="Abs")
    folder = tmp_path / "dump"
    folder.mkdir()
    for name, node in (("a", "_block_a"), ("y", "_block_b_block_y"), ("shape", "_block_shape")):
        np.save(folder / f"Op.{node}.8.5.{TIME}.output.0.npy", found[name])
    report = compare(model(Neg="Abs"), folder, inputs={"x": X}, layers=True)
    assert report.passed and report.layers is not None and report.layers.unmatched == 1
    assert {la.value for la in report.layers.layers} == {"a", "y", "shape"}
    report = compare(model(), folder, inputs={"x": X}, layers=True)
    assert report.layers is not None and report.layers.first is not None
    assert report.layers.first.node == "/block/a"


def test_names_with_dots_are_names(tmp_path: Path) -> None:
    proto = text_model(TEXT)
    proto.graph.node[1].output[0] = proto.graph.node[2].input[0] = "h.b"
    for name in ("y", "shape", "h.b"):
        np.save(tmp_path / f"{name}.npy", values()["b" if name == "h.b" else name])
    report = compare(proto, tmp_path, inputs={"x": X}, layers=True)
    assert report.passed and report.layers is not None and len(report.layers.layers) == 3


def test_ais_bench_dumps_as_npy(tmp_path: Path) -> None:
    converted(tmp_path / "dump" / "20230103063551_npy" / "0" / "model" / "1" / "0", values())
    report = compare(model(), tmp_path / "dump", inputs={"x": X}, layers=True)
    assert report.passed and report.layers is not None and len(report.layers.layers) == 4


def test_raw_dumps_are_told_how_to_convert(tmp_path: Path) -> None:
    raw = tmp_path / "dump_data" / "npu" / "0" / "model" / "1" / "0"
    raw.mkdir(parents=True)
    (raw / f"Add.block_b.8.5.{TIME}").write_bytes(b"dump")
    with pytest.raises(UsageError, match=r"as the device wrote them.*msaccucmp\.py convert"):
        compare(model(), tmp_path, inputs={"x": X})
    with pytest.raises(UsageError, match=r"as the device wrote them"):
        compare(model(), raw, inputs={"x": X})


def test_several_samples_of_layers(tmp_path: Path) -> None:
    """Each sample is held against its own dump."""
    data = [X, X + 1, X + 2]
    for number, x in enumerate(data):
        converted(tmp_path / "saved" / str(number), values(x))
    report = compare(model(), tmp_path / "saved", inputs=[{"x": x} for x in data], layers=True)
    assert report.passed and report.layers is not None and report.layers.first is None
    assert len(report.layers.layers) == 4


# ---------------------------------------------------------------------- inner formats


def blocks(array: np.ndarray, size: int = 16) -> np.ndarray:
    n, c, h, w = array.shape
    full = np.zeros((n, -(-c // size) * size, h, w), array.dtype)
    full[:, :c] = array
    return full.reshape(n, -1, size, h, w).transpose(0, 1, 3, 4, 2)


def fractal(array: np.ndarray, size: int = 16) -> np.ndarray:
    *lead, m, n = array.shape
    rows, columns = -(-m // size), -(-n // size)
    full = np.zeros((*lead, rows * size, columns * size), array.dtype)
    full[..., :m, :n] = array
    full = full.reshape(*lead, rows, size, columns, size)
    axes = list(range(len(lead)))
    return full.transpose(*axes, *(len(lead) + i for i in (2, 0, 1, 3)))


@pytest.mark.parametrize("shape", [(2, 3, 5, 7), (1, 32, 2, 2), (1, 33, 1, 1)])
def test_nc1hwc0_is_unpacked(shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).random(shape)
    assert np.array_equal(unpacked(blocks(array), shape), array)


@pytest.mark.parametrize("shape", [(5, 7), (2, 16, 33), (3, 2, 17, 16)])
def test_fractal_nz_is_unpacked(shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).random(shape)
    assert np.array_equal(unpacked(fractal(array), shape), array)


def test_other_shapes_stay() -> None:
    array = np.zeros((2, 1, 5, 7, 16))
    assert unpacked(array, (2, 3, 5, 8)).shape == array.shape
    assert unpacked(array, ("N", 3, 5, 7)).shape == array.shape
    assert unpacked(np.zeros((4, 4)), (16,)).shape == (4, 4)


def test_a_dump_in_blocks_is_compared(tmp_path: Path) -> None:
    text = "g (float[1,3,4,4] x) => (float[1,3,4,4] y) { v = Exp(x)  y = Tanh(v) }"
    proto = text_model(text)
    proto.graph.node[0].name, proto.graph.node[1].name = "exp", "tanh"
    x = np.random.default_rng(0).normal(size=(1, 3, 4, 4)).astype(np.float32)
    found = OnnxRuntime(Model(proto)).run({"x": x}, ["v", "y"])
    for node, name in (("exp", "v"), ("tanh", "y")):
        np.save(tmp_path / f"Op.{node}.1.2.{TIME}.output.0.npy", blocks(found[name]))
    report = compare(proto, tmp_path, inputs={"x": x}, layers=True)
    assert report.passed and report.layers is not None and report.layers.first is None


# ---------------------------------------------------------------------- .bin


def test_the_form_of_a_bin_is_given(tmp_path: Path, main: Callable[..., Any]) -> None:
    found = values()
    found["y"].astype(np.float64).tofile(tmp_path / "y.bin")
    np.save(tmp_path / "shape.npy", found["shape"])
    np.save(tmp_path / "x.npy.keep", X)
    with pytest.raises(UsageError, match=r"48 bytes; float32\[2,3\] takes 24.*--bin NAME="):
        compare(model(), tmp_path, inputs={"x": X})
    form = {"y": (np.dtype(np.float64), (2, 3))}
    assert compare(model(), tmp_path, inputs={"x": X}, bins=form).passed
    path = write(model(), tmp_path / "model.onnx")
    (tmp_path / "in").mkdir()
    np.save(tmp_path / "in" / "x.npy", X)
    command = ("compare", path, tmp_path, "--input", tmp_path / "in")
    assert main(*command, "--bin", "y=float64:2,3").returncode == 0
    for text in ("y=float99:2,3", "y=float64", "float64:2", "y=float64:-1", "y=U3:2"):
        done = main(*command, "--bin", text)
        assert done.returncode == 2 and f"--bin {text}" in done.stderr

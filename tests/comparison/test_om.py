"""The OM runtime over a stand-in for pyACL that checks order, sizes and leaks."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from graphfix.comparison.compare import compare
from graphfix.comparison.metrics import Tolerance
from graphfix.comparison.runtimes import RuntimeFailed
from graphfix.comparison.runtimes.om import OmRuntime
from graphfix.comparison.runtimes.pyacl import meaning
from graphfix.errors import UsageError
from graphfix.report.compare import render
from tests.builders import INT64, model_of, text_model, write

MODEL = """g (float[N,4] x, float[N,4] u) => (float[N,4] y, float[N,4] z) {
    s = Add(x, u)
    y = Tanh(s)
    z = Exp(y)
}"""


@pytest.fixture
def acl(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The stand-in as the module `acl`; at the end everything must have been given back."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "standin"))
    monkeypatch.delitem(sys.modules, "acl", raising=False)
    module = importlib.import_module("acl")
    module.reset()
    yield module
    assert module.violations == []
    assert module.alive() == []
    monkeypatch.delitem(sys.modules, "acl")


@pytest.fixture
def om(tmp_path: Path) -> Callable[..., Path]:
    """Writes a stand-in OM of a model."""

    def make(proto: onnx.ModelProto, name: str = "model", **spec: Any) -> Path:
        spec["onnx"] = str(write(proto, tmp_path / f"{name}.behind.onnx"))
        path = tmp_path / f"{name}.om"
        path.write_text(json.dumps(spec))
        return path

    return make


def fixed(text: str = MODEL, size: int = 2) -> onnx.ModelProto:
    return text_model(text.replace("[N,", f"[{size},"))


HALF = 2e-3


def test_a_static_om(acl: Any, om: Callable[..., Path]) -> None:
    report = compare(text_model(MODEL), om(fixed()), samples=2)
    assert report.passed and report.inputs == {"x": "float32[2,4]", "u": "float32[2,4]"}
    assert [(o.name, o.other) for o in report.outputs] == [("y", "y"), ("z", "z")]
    assert report.notes == [] and "OM on device 0" in report.b
    calls = acl.journal
    assert calls[:4] == ["init", "rt.set_device", "rt.create_context", "rt.get_run_mode"]
    assert calls[-5:] == [
        "mdl.destroy_desc", "mdl.unload", "rt.destroy_context", "rt.reset_device", "finalize",
    ]  # fmt: skip
    assert calls.count("mdl.execute") == 2


def test_a_wrong_om_is_found(acl: Any, om: Callable[..., Path]) -> None:
    wrong = fixed(MODEL.replace("Tanh", "Sin"))
    report = compare(text_model(MODEL), om(wrong))
    assert not report.passed and {o.metrics.passed for o in report.outputs} == {False}


def test_half_outputs_are_compared_by_value(acl: Any, om: Callable[..., Path]) -> None:
    report = compare(text_model(MODEL), om(fixed(), half=True))
    assert report.passed and 0 < (report.outputs[0].metrics.max_abs or 0) < HALF
    assert "cosine from 0.99, relative Euclidean error to 0.05; an NPU" in render(report)
    wrong = om(fixed(MODEL.replace("Exp", "Sin")), half=True)
    layers = compare(text_model(MODEL), wrong, layers=True).layers
    assert layers is not None and layers.first is not None and layers.begins is None
    strict = compare(text_model(MODEL), om(fixed(), half=True), tolerance=Tolerance(1e-7, 1e-7))
    assert not strict.passed
    assert "float16 instead of float32" in render(report)


@pytest.mark.parametrize("names", [["Tanh_1:0:y", "Exp_2:0:z"], ["Tanh_1:0", "Exp_2:0"]])
def test_output_names_as_an_om_tells_them(
    names: list[str], acl: Any, om: Callable[..., Path]
) -> None:
    proto = text_model(MODEL)
    for node, name in zip(proto.graph.node, ("Add_0", "Tanh_1", "Exp_2"), strict=True):
        node.name = name
    report = compare(proto, om(fixed(), outputs=names), layers=True)
    assert report.passed and [(o.name, o.other) for o in report.outputs] == [
        ("y", names[0]), ("z", names[1]),
    ]  # fmt: skip
    assert report.layers is not None
    assert [(la.value, la.other) for la in report.layers.layers] == [
        ("y", names[0]), ("z", names[1]),
    ]  # fmt: skip
    assert report.layers.unmatched == 1
    assert "An OM gives its outputs only" in report.notes[0]


def test_other_names_are_refused_and_pair_by_order(acl: Any, om: Callable[..., Path]) -> None:
    path = om(fixed(), outputs=["output_0_Tanh_0", "output_1_Exp_0"])
    with pytest.raises(UsageError, match=r"has no output y, z: it has output_0_Tanh_0.*--by-order"):
        compare(text_model(MODEL), path)
    assert compare(text_model(MODEL), path, by_order=True).passed


def gathering(dtype: int) -> onnx.ModelProto:
    table = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    node = helper.make_node("Gather", ["w", "ids"], ["y"])
    return model_of([node], {"ids": (dtype, [4])}, {"y": [4, 3]}, {"w": table})


def test_int64_inputs_become_int32(acl: Any, om: Callable[..., Path]) -> None:
    path = om(gathering(TensorProto.INT32))
    assert compare(gathering(INT64), path, samples=3).passed
    ids = {"ids": np.array([0, 1, 2, 2**32 + 3])}
    with pytest.raises(UsageError, match="ids is int32, which does not hold all values"):
        compare(gathering(INT64), path, inputs=ids)


def test_an_output_of_integers_narrows(acl: Any, om: Callable[..., Path]) -> None:
    text = "g (float[2,3] x) => (int64[2] y) { y = Shape(x) }"
    narrow = "g (float[2,3] x) => (int32[2] y) { s = Shape(x)  y = Cast<to = 6>(s) }"
    report = compare(text_model(text), om(text_model(narrow)))
    assert report.passed and report.outputs[0].metrics.note is not None


# ---------------------------------------------------------------------- gears and dynamic shapes


def test_dynamic_batch(acl: Any, om: Callable[..., Path]) -> None:
    path = om(text_model(MODEL), batch=[3, 1, 8])
    report = compare(text_model(MODEL), path)
    assert report.passed and report.inputs["x"] == "float32[3,4]"
    report = compare(text_model(MODEL), path, shapes={"x": (8, 4)})
    assert report.passed and report.inputs["u"] == "float32[8,4]"
    report = compare(fixed(size=1), path)
    assert report.passed and report.inputs["x"] == "float32[1,4]"
    assert "mdl.set_dynamic_batch_size" in acl.journal
    with pytest.raises(UsageError, match=r"these sizes only: x=3,4 u=3,4; x=1,4 u=1,4; x=8,4"):
        compare(text_model(MODEL), path, shapes={"x": (5, 4)})


CONV = """g (float[1,2,H,W] x) => (float[1,2,P,Q] y) {
    p = AveragePool<kernel_shape = [2, 2]>(x)
    y = Relu(p)
}"""


def test_dynamic_image_size(acl: Any, om: Callable[..., Path]) -> None:
    path = om(text_model(CONV), hw=[[6, 8], [4, 4]])
    report = compare(text_model(CONV), path, samples=2)
    assert report.passed and report.inputs == {"x": "float32[1,2,6,8]"}
    assert report.outputs[0].metrics.shape == (1, 2, 5, 7)
    assert compare(text_model(CONV), path, shapes={"x": (1, 2, 4, 4)}).passed
    assert "mdl.set_dynamic_hw_size" in acl.journal


def test_dynamic_dims_of_several_inputs(acl: Any, om: Callable[..., Path]) -> None:
    text = """g (float[1,S] a, float[S,T] b) => (float[1,T] y) { y = MatMul(a, b) }"""
    path = om(text_model(text), dims=[[1, 3, 3, 5], [1, 7, 7, 2]])
    report = compare(text_model(text), path)
    assert report.passed and report.inputs == {"a": "float32[1,3]", "b": "float32[3,5]"}
    report = compare(text_model(text), path, shapes={"b": (7, 2)})
    assert report.passed and report.inputs["a"] == "float32[1,7]"
    assert "mdl.set_input_dynamic_dims" in acl.journal


@pytest.mark.parametrize("unsized", [False, True])
def test_a_dynamic_shape(unsized: bool, acl: Any, om: Callable[..., Path]) -> None:
    path = om(text_model(MODEL), ranges=True, unsized=unsized)
    report = compare(text_model(MODEL), path, samples=2)
    assert report.passed and report.inputs["x"] == "float32[4,4]"
    inputs = [{n: np.ones((k, 4), np.float32) for n in "xu"} for k in (1, 7)]
    assert compare(text_model(MODEL), path, inputs=inputs).passed
    assert "mdl.set_dataset_tensor_desc" in acl.journal


def test_an_empty_input(acl: Any, om: Callable[..., Path]) -> None:
    inputs = {n: np.ones((0, 4), np.float32) for n in "xu"}
    report = compare(text_model(MODEL), om(text_model(MODEL), ranges=True), inputs=inputs)
    assert report.passed and report.outputs[0].metrics.elements == 0


# ---------------------------------------------------------------------- AIPP

IMAGE = "g (float[N,3,4,6] x) => (float[N,3,4,6] y) { y = Tanh(x) }"
PIXELS = {"name": "x", "dtype": "uint8", "dims": [2, 4, 6, 3]}
STATIC = {"inputFormat": 3, "meanChn0": 124, "meanChn1": 116, "meanChn2": 104,
          "varReciChn0": 0.0171, "varReciChn1": 0.0175, "varReciChn2": 0.0174}  # fmt: skip


@pytest.mark.parametrize("swap", [0, 1])
def test_static_aipp(swap: int, acl: Any, om: Callable[..., Path]) -> None:
    path = om(text_model(IMAGE), inputs=[PIXELS], aipp={**STATIC, "rbuvSwapSwitch": swap})
    report = compare(text_model(IMAGE), path, samples=2)
    assert report.passed and report.inputs == {"x": "float32[2,3,4,6]"}
    assert "both sides get what the OM's AIPP makes of whole pixels" in report.notes[0]
    wrong = om(text_model(IMAGE), "wrong", inputs=[PIXELS],
               aipp={**STATIC, "rbuvSwapSwitch": swap})  # fmt: skip
    image = np.random.default_rng(0).normal(size=(2, 3, 4, 6)).astype(np.float32)
    assert compare(text_model(IMAGE), wrong, inputs={"x": image}).passed
    assert not compare(text_model(IMAGE.replace("Tanh", "Sin")), wrong).passed


def test_static_aipp_by_gears(acl: Any, om: Callable[..., Path]) -> None:
    pixels = {**PIXELS, "dims": [-1, 4, 6, 3]}
    path = om(text_model(IMAGE), inputs=[pixels], aipp=STATIC, batch=[4, 1])
    report = compare(text_model(IMAGE), path, shapes={"x": (1, 3, 4, 6)})
    assert report.passed and report.inputs == {"x": "float32[1,3,4,6]"}
    assert compare(text_model(IMAGE), path).inputs == {"x": "float32[4,3,4,6]"}


def test_aipp_that_does_more_needs_both_inputs(
    acl: Any, om: Callable[..., Path], tmp_path: Path
) -> None:
    path = om(text_model(IMAGE), inputs=[PIXELS], aipp={**STATIC, "cscSwitch": 1})
    with pytest.raises(UsageError, match=r"colour conversion.*--input-b NAME=PIXELS"):
        compare(text_model(IMAGE), path)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 4, 6, 3), np.uint8)
    scale, mean = np.float32([0.0171, 0.0175, 0.0174]), np.float32([124, 116, 104])
    image = ((pixels.astype(np.float32) - mean) * scale).transpose(0, 3, 1, 2)
    report = compare(text_model(IMAGE), path, inputs={"x": image}, inputs_b={"x": pixels})
    assert report.passed and report.notes == []
    np.save(tmp_path / "image.npy", np.ascontiguousarray(image))
    pixels.tofile(tmp_path / "pixels.bin")
    report = compare(
        text_model(IMAGE),
        path,
        inputs=[f"x={tmp_path / 'image.npy'}"],
        inputs_b=[f"x={tmp_path / 'pixels.bin'}"],
    )
    assert report.passed


CONFIG = """aipp_op {
    aipp_mode : dynamic   # as ATC had it
    input_format : RGB888_U8
    src_image_size_w : 6
    src_image_size_h : 4
    // of ImageNet
    mean_chn_0 : 124
    mean_chn_1 : 116
    mean_chn_2 : 104
    var_reci_chn_0 : 0.0171
    var_reci_chn_1 : 0.0175
    var_reci_chn_2 : 0.0174
}"""


def test_dynamic_aipp(acl: Any, om: Callable[..., Path], tmp_path: Path) -> None:
    path = om(text_model(IMAGE), inputs=[PIXELS], dynamic_aipp=True)
    with pytest.raises(UsageError, match=r"dynamic AIPP.*--aipp FILE"):
        compare(text_model(IMAGE), path)
    config = tmp_path / "aipp.cfg"
    config.write_text(CONFIG)
    report = compare(text_model(IMAGE), path, shapes={"x": (2, 3, 4, 6)}, aipp=config)
    assert report.passed and "mdl.set_aipp_pixel_var_reci" in acl.journal


@pytest.mark.parametrize(
    ("text", "says"),
    [(CONFIG.replace("RGB888_U8", "RGB88_U8"), "RGB88_U8 is not known. Did you mean RGB888_U8"),
     (CONFIG.replace("input_format : RGB888_U8", ""), "input_format is missing"),
     (CONFIG.replace("src_image_size_w : 6", ""), "src_image_size_w is missing"),
     (CONFIG + CONFIG, "several aipp_op")],
)  # fmt: skip
def test_aipp_files_that_do_not_do(
    text: str, says: str, acl: Any, om: Callable[..., Path], tmp_path: Path
) -> None:
    config = tmp_path / "aipp.cfg"
    config.write_text(text)
    with pytest.raises(UsageError, match=says):
        compare(text_model(IMAGE), om(text_model(IMAGE), dynamic_aipp=True), aipp=config)


# ---------------------------------------------------------------------- errors

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "static": (MODEL.replace("[N,", "[2,"), {}),
    "batch": (MODEL, {"batch": [2, 4]}),
    "hw": (CONV, {"hw": [[4, 4]]}),
    "dims": (MODEL, {"dims": [[2, 4, 2, 4]]}),
    "ranges": (MODEL, {"ranges": True, "unsized": True}),
    "aipp": (IMAGE.replace("[N,", "[2,"), {"inputs": [PIXELS], "aipp": STATIC}),
    "dynamic_aipp": (IMAGE.replace("[N,", "[2,"), {"inputs": [PIXELS], "dynamic_aipp": True}),
}


def run_of(kind: str, om: Callable[..., Path], tmp_path: Path) -> Callable[[], Any]:
    text, spec = KINDS[kind]
    path = om(text_model(text), **spec)
    config = tmp_path / "aipp.cfg"
    config.write_text(CONFIG)
    aipp = config if kind == "dynamic_aipp" else None
    return lambda: compare(text_model(text), path, aipp=aipp)


@pytest.mark.parametrize("kind", KINDS)
def test_each_call_in_turn_fails(
    kind: str, acl: Any, om: Callable[..., Path], tmp_path: Path
) -> None:
    """Whatever fails, the error names the call and its code, and everything is given back once."""
    run = run_of(kind, om, tmp_path)
    assert run().passed
    calls = list(acl.journal)
    assert len(calls) > 35
    for position, name in enumerate(calls, 1):
        acl.reset()
        acl.fail_at = position
        back = name.rpartition(".")[2].startswith(("destroy", "free", "unload", "reset", "final"))
        if back or (name == "rt.set_context" and position > calls.index("mdl.execute")):
            report = run()  # nothing to be had is lost: a note
            silent = name == "destroy_tensor_desc"  # pyACL's own function says nothing
            assert report.passed and len(report.notes) - (kind.endswith("aipp")) == (not silent)
            assert silent or f"acl.{name} failed: 507899" in " ".join(report.notes)
        else:
            with pytest.raises(RuntimeFailed, match=rf"acl\.{name} failed: ") as caught:
                run()
            assert "507899" in str(caught.value) or "returned no object" in str(caught.value)
            assert "CANN says: EE9999" in str(caught.value)
            assert acl.journal[-1] == ("init" if name == "init" else "finalize")
        assert acl.violations == [] and acl.alive() == []


def test_a_device_that_vanishes_leaves_what_was_compared(acl: Any, om: Callable[..., Path]) -> None:
    acl.vanish_after = 2
    report = compare(text_model(MODEL), om(fixed()), samples=4)
    assert not report.passed and report.stopped is not None
    assert "507010 ACL_ERROR_RT_LOST_HEARTBEAT, the device has stopped" in report.stopped
    assert [o.metrics.passed for o in report.outputs] == [True, True]
    assert report.outputs[0].sample in (0, 1)
    text = render(report)
    assert "Stopped: model.om" in text and max(map(len, text.splitlines())) <= 100


def test_a_device_that_is_not_there(acl: Any, om: Callable[..., Path]) -> None:
    with pytest.raises(RuntimeFailed, match=r"acl\.rt\.set_device failed: 107001.*npu-smi"):
        compare(text_model(MODEL), om(fixed()), device=1)
    acl.devices = 2
    assert compare(text_model(MODEL), om(fixed()), device=1).passed


def test_two_oms_side_by_side(acl: Any, om: Callable[..., Path]) -> None:
    """Each has its own context; the one that initialised finalises."""
    report = compare(om(fixed(), "one"), om(fixed(), "two", half=True))
    assert report.passed and acl.journal.count("finalize") == 1


def test_a_process_that_is_initialised_already(acl: Any, om: Callable[..., Path]) -> None:
    acl.init()
    assert compare(text_model(MODEL), om(fixed())).passed
    assert "finalize" not in acl.journal
    acl.finalize()


def test_on_the_device_itself_memory_is_copied_there(acl: Any, om: Callable[..., Path]) -> None:
    acl.run_mode = 0
    assert compare(text_model(MODEL), om(fixed())).passed


def test_a_file_that_is_no_om(acl: Any, tmp_path: Path) -> None:
    (tmp_path / "broken.om").write_bytes(b"\x00IMOD")
    with pytest.raises(RuntimeFailed, match=r"broken.om .*load_from_file failed: 100003"):
        compare(text_model(MODEL), tmp_path / "broken.om")
    with pytest.raises(UsageError, match=r"gone\.om: there is no such file"):
        compare(text_model(MODEL), tmp_path / "gone.om")


def test_wrong_sizes_never_reach_the_device(acl: Any, om: Callable[..., Path]) -> None:
    with OmRuntime(om(fixed())) as side, pytest.raises(RuntimeFailed, match="takes 32 bytes"):
        side.run({n: np.zeros((3, 4), np.float32) for n in "xu"})
    with OmRuntime(om(text_model(MODEL), batch=[2, 4])) as side:
        with pytest.raises(RuntimeFailed, match=r"not built for inputs of \(3, 4\)"):
            side.run({n: np.zeros((3, 4), np.float32) for n in "xu"})
        side.close()
        side.close()
    assert "mdl.execute" not in acl.journal


def test_without_pyacl(om: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "acl", None)
    with pytest.raises(RuntimeFailed, match=r"needs pyACL.*CANN toolkit.*set_env\.sh"):
        compare(text_model(MODEL), om(fixed()))
    monkeypatch.setitem(sys.modules, "acl", json)
    with pytest.raises(RuntimeFailed, match="not CANN's pyACL"):
        compare(text_model(MODEL), om(fixed()))


def test_meanings_of_codes() -> None:
    assert meaning(207004).startswith("207004 ACL_ERROR_RT_NO_DEVICE, the device is not there")
    assert meaning(507123) == "507123, an internal error of device, driver or CANN: see its log"
    assert meaning(7) == "7, unknown"


def test_the_command_line(acl: Any, om: Callable[..., Path], main: Callable[..., Any]) -> None:
    path = om(fixed())
    model = write(text_model(MODEL), path.with_name("model.onnx"))
    done = main("compare", model, path, "--device", "0", "--samples", "2")
    assert done.returncode == 0 and "OM on device 0" in done.stdout
    assert main("compare", model, path, "--device", "-1").returncode == 2
    acl.vanish_after = acl._state.executed
    done = main("compare", model, path)
    assert done.returncode == 2 and "507010" in done.stderr and "Traceback" not in done.stderr

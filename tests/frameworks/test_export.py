"""graphfix export: the right file from PyTorch modules, and the proof that it is."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import onnx
import onnxruntime
import pytest
import torch

import graphfix
from graphfix.frameworks.request import Request, inputs_of
from graphfix.frameworks.worker import AUTO, plan
from tests.conftest import PACKAGE, Run
from tests.frameworks import models as own

pytestmark = pytest.mark.usefixtures("inline")
SOC = ("--soc", "Ascend310P3")


@pytest.fixture
def export(main: Callable[..., Run], models: Path) -> Callable[..., Run]:
    """Runs `graphfix export my_models.py:NAME -o m.onnx`; m.onnx must be whole or not there."""

    def run(spec: str, *arguments: object, output: str = "m.onnx") -> Run:
        spec = spec if spec.endswith((".pt", ".pt2")) else f"my_models.py:{spec}"
        done = main("export", spec, "-o", output, *SOC, "--report", "r.json", *arguments)
        assert (done.returncode == 0) == (models.parent / output).is_file(), done.stderr
        assert not list(models.parent.glob(".*")), "left something behind"
        return done

    return run


def document(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "r.json").read_text(encoding="utf-8"))
    schema = json.loads((PACKAGE / "schemas" / "export-1.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(found)
    return found


def dims(value: onnx.ValueInfoProto) -> list[int | str]:
    return [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]


def outputs(path: Path, **feeds: np.ndarray) -> list[np.ndarray]:
    return onnxruntime.InferenceSession(str(path)).run(None, feeds)


def test_the_best_of_both_exporters_is_written(export: Callable[..., Run], tmp_path: Path) -> None:
    done = export("Tiny", "--input", "input_ids=int64[1,6]")
    assert done.returncode == 0, done.stderr
    found = document(tmp_path)
    tried = [(c["exporter"], c["opset"]) for c in found["candidates"]]
    assert tried == plan("factory", None, None, 0) and len(tried) == sum(map(len, AUTO.values()))
    chosen = found["candidates"][found["chosen"]]
    rivals = [c for c in found["candidates"] if c["status"] == "beaten"]
    assert rivals and all(
        (sum(c["findings"].values()), c["nodes"])
        >= (sum(chosen["findings"].values()), chosen["nodes"])
        for c in rivals
    )
    assert chosen["proof"]["passed"] and len(chosen["proof"]["runs"]) == 2
    assert f"{chosen['exporter']} {chosen['opset']}: {found['why']}" in " ".join(
        done.stdout.split()
    )
    assert "values 0 to 10, the rows of its nn.Embedding" in done.stdout
    assert all(len(line) <= 100 for line in done.stdout.splitlines())


def test_names_shapes_and_values_are_the_modules(
    export: Callable[..., Run], tmp_path: Path
) -> None:
    assert export("instance", "--input", "input_ids=int64[2,6]", "--exporter", "torchscript",
                  "--opset", "14").returncode == 0  # fmt: skip
    proto = onnx.load(tmp_path / "m.onnx")
    assert [(i.name, dims(i)) for i in proto.graph.input] == [("input_ids", [2, 6])]
    assert [o.name for o in proto.graph.output] == ["logits", "pooled"]
    assert proto.opset_import[0].version == 14
    ids = np.array([[0, 10, 3, 4, 5, 6], [1, 1, 2, 2, 9, 9]])
    module = sys.modules["my_models"].instance.eval()
    with torch.no_grad():
        want = module(torch.from_numpy(ids))
    logits, pooled = outputs(tmp_path / "m.onnx", input_ids=ids)
    np.testing.assert_allclose(logits, want["logits"], atol=1e-5)
    np.testing.assert_allclose(pooled, want["pooled"], atol=1e-5)


@pytest.mark.parametrize("exporter", ["dynamo", "torchscript"])
def test_optional_inputs_go_by_name(
    export: Callable[..., Run], tmp_path: Path, exporter: str
) -> None:
    done = export(
        "Tiny", "--input", "bias=float32[8]", "--input", "input_ids=int64[1,6]",
        "--exporter", exporter, "--opset", "18", "--output-names", "a,b",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    graph = onnx.load(tmp_path / "m.onnx").graph
    assert [i.name for i in graph.input] == ["input_ids", "bias"]
    assert [o.name for o in graph.output] == ["a", "b"]


@pytest.mark.parametrize("exporter", ["dynamo", "torchscript"])
def test_defaults_do_not_become_inputs(
    export: Callable[..., Run], tmp_path: Path, exporter: str
) -> None:
    done = export("Options", "--input", "x=float32[1,6]", "--input", "mask=float32[1,6]",
                  "--exporter", exporter, "--opset", "18")  # fmt: skip
    assert done.returncode == 0, done.stderr
    graph = onnx.load(tmp_path / "m.onnx").graph
    assert [i.name for i in graph.input] == ["x", "mask"]


def test_own_names_go_by_position(export: Callable[..., Run], tmp_path: Path) -> None:
    done = export("Anything", "--input", "a=float32[3,2]", "--input", "b=float32[2]",
                  "--dynamic", "a:0=n", "--exporter", "dynamo", "--opset", "18")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [dims(i) for i in onnx.load(tmp_path / "m.onnx").graph.input] == [["n", 2], [2]]


def test_dynamic_axes_are_proved_at_other_sizes(export: Callable[..., Run], tmp_path: Path) -> None:
    done = export("Attention", "--input", "x=float32[1,6,8]", "--dynamic", "x:0=batch",
                  "--dynamic", "x:1=seq", "--exporter", "dynamo", "--opset", "18")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert dims(onnx.load(tmp_path / "m.onnx").graph.input[0]) == ["batch", "seq", 8]
    (candidate,) = document(tmp_path)["candidates"]
    sizes = [run["sizes"] for run in candidate["proof"]["runs"]]
    assert {"batch": 1, "seq": 6} in sizes and len({s["seq"] for s in sizes}) == 2
    assert "a size of 1 for a constant" in " ".join(done.stdout.split())


def test_baked_sizes_are_no_success(export: Callable[..., Run], tmp_path: Path) -> None:
    """The guide's trap: declared dynamic, the traced sizes in Reshape."""
    done = export("Attention", "--input", "x=float32[1,6,8]", "--dynamic", "x:1=seq",
                  "--exporter", "torchscript", "--opset", "17")  # fmt: skip
    assert done.returncode == 1
    assert "baked sizes: does not run at seq=4" in done.stderr and "Reshape" in done.stderr
    assert "--exporter dynamo" in done.stderr
    assert document(tmp_path)["candidates"][0]["status"] == "baked"


def test_auto_passes_by_what_is_baked(export: Callable[..., Run], tmp_path: Path) -> None:
    done = export("Attention", "--input", "x=float32[1,6,8]", "--dynamic", "x:1=seq")
    assert done.returncode == 0, done.stderr
    found = document(tmp_path)
    assert found["candidates"][found["chosen"]]["exporter"] == "dynamo"


def test_the_fast_path_of_attention_is_off(export: Callable[..., Run]) -> None:
    done = export("Attention", "--input", "x=float32[1,6,8]", "--exporter", "torchscript",
                  "--opset", "17")  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_numbers_taken_from_a_shape_are_found(export: Callable[..., Run], tmp_path: Path) -> None:
    """Here no node stops: the numbers are wrong at another size."""
    words = ("Baked", "--input", "x=float32[2,6]", "--dynamic", "x:1=n", "--opset", "17")
    done = export(*words, "--exporter", "torchscript")
    assert done.returncode == 1 and "beyond the tolerance" in " ".join(done.stderr.split())
    assert document(tmp_path)["candidates"][0]["status"] == "baked"
    assert export(*words, "--exporter", "dynamo").returncode == 0


def test_a_branch_that_tracing_lost_is_no_success(
    export: Callable[..., Run], tmp_path: Path
) -> None:
    done = export("Branch", "--input", "x=float32[2,8]", "--opset", "17")
    assert done.returncode == 1 and "torch.where" in done.stderr
    states = {c["exporter"]: c["status"] for c in document(tmp_path)["candidates"]}
    assert states == {"dynamo": "failed", "torchscript": "wrong"}


def test_a_branch_that_no_proof_reached_is_told(export: Callable[..., Run], tmp_path: Path) -> None:
    done = export("Branch", "--input", "x=float32[2,8]:0..1", "--opset", "17")
    assert done.returncode == 0, done.stderr
    assert "depends on data" in " ".join(done.stdout.split())
    assert any("torch.where" in note for note in document(tmp_path)["notes"])


def test_a_module_of_one_size_is_told(export: Callable[..., Run]) -> None:
    done = export("OneSize", "--input", "x=float32[2,6]", "--dynamic", "x:1=n")
    assert done.returncode == 1
    assert "the module itself runs only at n=6" in " ".join(done.stderr.split())


def test_random_outputs_cannot_be_proved(export: Callable[..., Run]) -> None:
    done = export("Random", "--input", "x=float32[64]", "--exporter", "torchscript",
                  "--opset", "17")  # fmt: skip
    assert done.returncode == 1 and "training=self.training" in done.stderr


def test_an_opset_that_the_exporter_cannot_reach(export: Callable[..., Run]) -> None:
    done = export("Attention", "--input", "x=float32[1,6,8]", "--exporter", "dynamo",
                  "--opset", "13")  # fmt: skip
    assert done.returncode == 1 and "cannot convert this model to 13" in done.stderr


def test_tied_weights_are_not_doubled(export: Callable[..., Run], tmp_path: Path) -> None:
    done = export("Tied", "--input", "ids=int32[1,4]", "--opset", "17")
    assert done.returncode == 0, done.stderr
    more = {c["exporter"]: c["doubled_bytes"] for c in document(tmp_path)["candidates"]}
    assert more["dynamo"] == 0 and more["torchscript"] > 4_000_000
    assert (tmp_path / "m.onnx").stat().st_size < 5 << 20
    assert "writes weights twice" in done.stdout


def test_no_path_of_this_machine_stays_in_the_file(
    export: Callable[..., Run], tmp_path: Path
) -> None:
    assert export("Tiny", "--input", "input_ids=int64[1,6]", "--exporter", "dynamo",
                  "--opset", "18").returncode == 0  # fmt: skip
    data = (tmp_path / "m.onnx").read_bytes()
    assert str(tmp_path).encode() not in data and b"site-packages" not in data


def test_the_same_command_writes_the_same_bytes(export: Callable[..., Run], tmp_path: Path) -> None:
    words = ("Tiny", "--input", "input_ids=int64[1,6]", "--opset", "17")
    export(*words)
    first = (tmp_path / "m.onnx").read_bytes()
    export(*words)
    assert (tmp_path / "m.onnx").read_bytes() == first


def test_large_weights_go_beside_the_model(
    export: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graphfix.frameworks.exporters.MAX_INLINE_BYTES", 1 << 20)
    (tmp_path / "m.onnx.weights").write_bytes(b"of another model")
    for exporter in ("dynamo", "torchscript"):
        done = export("Tied", "--input", "ids=int64[1,4]", "--opset", "17", "--exporter", exporter)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "m.onnx").stat().st_size < 1 << 20
        assert "m.onnx.weights stays as it was" in " ".join(done.stdout.split())
        (got,) = outputs(tmp_path / "m.onnx", ids=np.array([[1, 2, 3, 4095]]))
        assert got.shape == (1, 4, 4096) and np.isfinite(got).all()
    assert (tmp_path / "m.onnx.weights").read_bytes() == b"of another model"
    names = sorted(p.name for p in tmp_path.glob("m.onnx*"))
    assert names == ["m.onnx", "m.onnx.2.weights", "m.onnx.3.weights", "m.onnx.weights"]


def test_torchscript_files(export: Callable[..., Run], tmp_path: Path) -> None:
    x = torch.ones(1, 6, dtype=torch.int64)
    with torch.no_grad():
        torch.jit.trace(own.Tied().eval(), x).save(str(tmp_path / "t.pt"))
    done = export("t.pt", "--input", "ids=int64[1,6]<4096", "--opset", "17")
    assert done.returncode == 0, done.stderr
    (candidate,) = document(tmp_path)["candidates"]
    assert candidate["exporter"] == "torchscript" and candidate["proof"]["passed"]
    done = export("t.pt", "--input", "ids=int64[1,6]", "--exporter", "dynamo", output="o.onnx")
    assert done.returncode == 2 and "does not take this kind of file" in done.stderr


def test_a_fast_path_inside_a_torchscript_file(export: Callable[..., Run], tmp_path: Path) -> None:
    kept = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(True)
    with torch.no_grad():
        traced = torch.jit.trace(own.Attention().eval(), torch.ones(1, 6, 8))
    torch.backends.mha.set_fastpath_enabled(kept)
    traced.save(str(tmp_path / "t.pt"))
    done = export("t.pt", "--input", "x=float32[1,6,8]", "--opset", "17")
    assert done.returncode == 1 and "set_fastpath_enabled(False)" in done.stderr


def test_exported_programs(export: Callable[..., Run], tmp_path: Path) -> None:
    ids = torch.ones(3, 6, dtype=torch.int64)
    rows = torch.export.Dim("rows", min=2, max=9)
    program = torch.export.export(
        own.Tiny().eval(), (ids,), dynamic_shapes={"input_ids": {0: rows}}
    )
    torch.export.save(program, tmp_path / "p.pt2")
    done = export("p.pt2", "--opset", "18")
    assert done.returncode == 0, done.stderr
    found = document(tmp_path)
    assert found["candidates"][found["chosen"]]["exporter"] == "dynamo"
    batch, length = dims(onnx.load(tmp_path / "m.onnx").graph.input[0])
    assert isinstance(batch, str) and length == 6
    done = export("p.pt2", "--input", "input_ids=int64[1,6]", output="other.onnx")
    assert done.returncode == 2 and "says its inputs" in done.stderr


def test_python_api(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    request = Request("my_models:Tiny", inputs_of(["input_ids=int64[1,6]"]), opset=18,
                      exporter="dynamo")  # fmt: skip
    done = graphfix.export(request, tmp_path / "m.onnx", graphfix.Target.of(["Ascend310P3"]))
    assert done.path == tmp_path / "m.onnx" and done.chosen is not None
    assert done.chosen.findings == dict.fromkeys(done.chosen.findings or {}, 0)

"""graphfix run: the whole road, with and without an ATC, and one report."""

from __future__ import annotations

import argparse
import json
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from graphfix.atc import convert as convert_module
from tests.atc.standin import install
from tests.builders import text_model, write
from tests.conftest import PACKAGE, Run

SOC = ("--soc", "Ascend310P3")


def gelu() -> Any:
    return text_model("g (float[2,3] x) => (float[2,3] y) { y = Gelu(x) }", 20)


@pytest.fixture
def walk(
    main: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Run]:
    """Runs `graphfix run` where no CANN is installed."""
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("ASCEND_TOOLKIT_HOME", raising=False)
    monkeypatch.setattr(convert_module, "preflight", lambda *_: [])
    write(gelu(), tmp_path / "m.onnx")

    def run(spec: str, *arguments: object) -> Run:
        return main("run", spec, *SOC, "--report", "r.json", *arguments)

    return run


def report(tmp_path: Path) -> dict[str, Any]:
    document = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    schema = json.loads((PACKAGE / "schemas" / "run-1.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(document)
    return document


def stages(document: dict[str, Any]) -> list[str]:
    return [s["stage"] for s in document["stages"]]


def test_without_an_atc_a_bundle_is_packed(walk: Callable[..., Run], tmp_path: Path) -> None:
    done = walk("m.onnx")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "m.bundle.tar.gz").is_file() and "none on this machine" in done.stdout
    assert "Gelu" in done.stdout and "predicted: refused before, taken after" in done.stdout
    document = report(tmp_path)
    assert stages(document) == ["check", "fix", "bundle"]
    assert document["check"]["error_code"] == "E19010"
    assert document["result"]["schema"] == "graphfix.bundle/1"
    assert document["fix"]["changes"]
    assert "times    check" in done.stdout and "s in all" in done.stdout


def test_with_an_atc_the_om_is_made(walk: Callable[..., Run], tmp_path: Path) -> None:
    done = walk("m.onnx", "--atc", install(tmp_path / "kit"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "m.om").is_file() and not (tmp_path / "m.bundle.tar.gz").exists()
    document = report(tmp_path)
    assert stages(document) == ["check", "fix", "convert"]
    assert document["result"]["status"] == "converted"


def test_what_atc_would_still_refuse_is_no_success(
    walk: Callable[..., Run], tmp_path: Path
) -> None:
    assert walk("m.onnx", "--no-fix", "--bundle", "b.tar").returncode == 1
    assert (tmp_path / "b.tar").is_file() and report(tmp_path)["fix"] is None


def exporter(monkeypatch: pytest.MonkeyPatch, writes: bool) -> list[argparse.Namespace]:
    """An export command in place of graphfix's own, which needs torch."""
    seen: list[argparse.Namespace] = []
    module = types.ModuleType("graphfix.cli.export")

    def add_arguments(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("spec")
        parser.add_argument("-o", "--output", type=Path)
        parser.add_argument("--input", action="append", default=[])
        parser.add_argument("--soc", default="")

    def run(options: argparse.Namespace) -> int:
        seen.append(options)
        if writes:
            write(gelu(), options.output)
        return 0 if writes else 1

    module.add_arguments, module.run = add_arguments, run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "graphfix.cli.export", module)
    return seen


def test_a_spec_is_exported_first(
    walk: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = exporter(monkeypatch, writes=True)
    done = walk("guide.models:transformer", "--input", "ids=int64[1,512]", "--input", "m=bool[1]")
    assert done.returncode == 0, done.stderr
    assert seen[0].spec == "guide.models:transformer" and seen[0].soc == "Ascend310P3"
    assert seen[0].input == ["ids=int64[1,512]", "m=bool[1]"]
    assert (tmp_path / "transformer.onnx").is_file()
    assert (tmp_path / "transformer.bundle.tar.gz").is_file()
    document = report(tmp_path)
    assert stages(document) == ["export", "check", "fix", "bundle"]
    assert document["spec"] == "guide.models:transformer"


def test_an_export_that_writes_nothing_ends_the_road(
    walk: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exporter(monkeypatch, writes=False)
    done = walk("guide.models:transformer")
    assert done.returncode == 2 and "wrote no model" in done.stderr
    assert not (tmp_path / "r.json").exists()


def test_without_soc_nothing_starts(main: Callable[..., Run], tmp_path: Path) -> None:
    done = main("run", "m.onnx")
    assert done.returncode == 2 and "--soc" in done.stderr


def test_the_road_from_a_module_is_one_command(
    walk: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    from graphfix.frameworks import export as leader
    from graphfix.frameworks.worker import work

    monkeypatch.setattr(leader, "start_worker", lambda folder, on_tick: work(folder))
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "road.py").write_text(
        "from torch import nn\nmodel = nn.Sequential(nn.Linear(4, 3), nn.GELU())\n"
    )
    done = walk("road.py:model", "--input", "x=float32[2,4]", "--output-names", "y",
                "--dynamic", "x:0=batch", "--shape", "x=-1,4", "--batch", "1,2,8",
                "--exporter", "torchscript")  # fmt: skip
    assert done.returncode == 0, done.stderr
    document = report(tmp_path)
    assert stages(document) == ["export", "check", "fix", "bundle"]
    exported = document["export"]
    assert exported["schema"] == "graphfix.export/1" and exported["soc"] == ["Ascend310P3"]
    assert exported["candidates"][exported["chosen"]]["proof"]["passed"]
    # the file is open, and checked at the first profile: nothing is unbound then
    assert document["result"]["options"]["dynamic_batch_size"] == "1,2,8"
    assert document["check"]["outputs"] == ["y: float32[1,3]"]
    assert all(f["code"] != "GF401" for f in document["check"]["findings"])
    assert "checked at the first one" in done.stdout
    assert (tmp_path / "model.bundle.tar.gz").is_file()


def test_a_module_that_cannot_be_exported_ends_the_road(
    walk: Callable[..., Run], tmp_path: Path
) -> None:
    pytest.importorskip("torch")
    done = walk("no_such_module:model", "--input", "x=float32[2,4]", "--opset", "99")
    assert done.returncode == 2 and "--opset 99" in done.stderr
    (tmp_path / "road.py").write_text("")
    done = walk("road.py", "--input", "x=float32[2,4]")
    assert done.returncode == 2 and "road.py:NAME" in done.stderr
    assert not list(tmp_path.glob("*.tar.gz"))

"""The bundle: complete, the same every time, and its script works where ATC is."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import onnx
import pytest

from graphfix.atc.bundle import write_bundle
from graphfix.atc.invocation import Profiles
from graphfix.atc.prepare import Prepared, Wish, prepare
from graphfix.comparison.compare import compare
from graphfix.errors import UsageError
from graphfix.graph import load
from graphfix.support import Target
from tests.atc.standin import environment, install
from tests.builders import model_of, text_model, write
from tests.conftest import PACKAGE

TARGET = Target.of(["Ascend310P3"])


def gelu() -> onnx.ModelProto:
    body = "g (float[N,3] x, int64[2] i) => (float[N,3] y, int64[2] j) { y = Gelu(x) j = Neg(i) }"
    proto = text_model(body, 20)
    proto.graph.input[0].name = proto.graph.node[0].input[0] = "a/b:x"
    proto.graph.node[0].name = "/gelu"
    return proto


def prepared(tmp_path: Path, name: str = "my model.v1.onnx", fix: bool = True) -> Prepared:
    path = write(gelu(), tmp_path / name)
    profiles = Profiles({"a/b:x": (2, 3)})
    made = prepare(load(path), Wish(TARGET, profiles, fix=fix))
    # convert refuses such a level itself; here the very words must reach the other machine
    options = {**made.invocation.options, "log": "it's; $HOME"}
    return replace(made, invocation=replace(made.invocation, options=options))


def unpack(archive: Path, folder: Path) -> Path:
    folder.mkdir()
    with tarfile.open(archive) as file:
        for member in file.getmembers():
            assert not Path(member.name).is_absolute() and ".." not in Path(member.name).parts
        subprocess.run(["tar", "xf", archive, "-C", folder], check=True)
    (root,) = folder.iterdir()
    return root


def convert_sh(
    root: Path, *arguments: str, cwd: Path, **extra: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [root / "convert.sh", *arguments], cwd=cwd, env=environment(**extra), capture_output=True,
        text=True, timeout=60,
    )  # fmt: skip


def test_hashes_schema_and_golden_data(tmp_path: Path) -> None:
    given = prepared(tmp_path)
    written = write_bundle(given, tmp_path / "b.tar.gz")
    root = unpack(tmp_path / "b.tar.gz", tmp_path / "there")
    manifest = json.loads((root / "manifest.json").read_text(encoding="utf-8"))
    assert manifest == written and root.name == "my model.v1"
    schema = json.loads((PACKAGE / "schemas" / "bundle-1.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(manifest)
    listed = {e["path"]: e["sha256"] for e in manifest["files"]}
    there = {p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()}
    assert there == {*listed, "manifest.json"}
    for path, digest in listed.items():
        assert hashlib.sha256((root / path).read_bytes()).hexdigest() == digest
    assert manifest["model"]["original_sha256"] == hashlib.sha256(
        (tmp_path / "my model.v1.onnx").read_bytes()).hexdigest()  # fmt: skip
    assert "Gelu" not in [
        n.op_type for n in onnx.load(root / manifest["model"]["bundled"]).graph.node
    ]
    (port,) = (p for p in manifest["golden"]["inputs"] if p["name"] == "a/b:x")
    npy, raw = (root / f for f in port["files"])
    array = np.load(npy)
    assert array.shape == (2, 3) and array.tobytes() == raw.read_bytes()
    assert {p["name"] for p in manifest["golden"]["outputs"]} == {"y", "j"}


def test_the_same_twice(tmp_path: Path) -> None:
    given = prepared(tmp_path)
    write_bundle(given, tmp_path / "one.tar.gz")
    again = tmp_path / "other"
    again.mkdir()
    os.utime(tmp_path / "my model.v1.onnx", (1, 1))
    write_bundle(prepared(tmp_path), again / "two.tgz")
    assert (tmp_path / "one.tar.gz").read_bytes() == (again / "two.tgz").read_bytes()
    with tarfile.open(tmp_path / "one.tar.gz") as file:
        entries = file.getmembers()
    assert [e.name for e in entries] == sorted(e.name for e in entries)
    assert {(e.mtime, e.uid, e.gid, e.uname) for e in entries} == {(0, 0, 0, "")}


def test_the_script_converts_from_any_folder(tmp_path: Path) -> None:
    write_bundle(prepared(tmp_path), tmp_path / "b.tar")
    root = unpack(tmp_path / "b.tar", tmp_path / "the re")
    atc = install(tmp_path / "kit")
    path = f"{atc.parent}:{os.environ['PATH']}"
    # the stand-in sees the very words: a bad --log value, quotes and all
    done = convert_sh(root, cwd=tmp_path, PATH=path)
    assert done.returncode == 255 and "E10010" in done.stdout and "it's; $HOME" in done.stdout
    assert "graphfix diagnose" in done.stderr and (root / "out" / "atc.log").is_file()
    assert not list((root / "out").glob("*.om")) and not list((root / "out").glob(".convert*"))


def test_a_file_of_an_option_travels_along(tmp_path: Path) -> None:
    keep = tmp_path / "my $keep's.cfg"
    keep.write_text("/gelu\n")
    made = prepared(tmp_path)
    options = {**made.invocation.options, "log": "error", "keep_dtype": str(keep)}
    made = replace(made, invocation=replace(made.invocation, options=options))
    write_bundle(made, tmp_path / "b.tar")
    root = unpack(tmp_path / "b.tar", tmp_path / "there")
    keep.unlink()
    inside = root / "config" / "keep_dtype" / keep.name
    assert inside.read_text() == "/gelu\n"
    echo = tmp_path / "echo"
    echo.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\nexit 1\n')
    echo.chmod(0o755)
    done = convert_sh(root, cwd=tmp_path, ATC=str(echo))
    assert f"--keep_dtype={inside}" in done.stdout.splitlines()


def _plain(tmp_path: Path) -> Path:
    wish = Wish(TARGET, Profiles({"a/b:x": (2, 3)}))
    path = write(gelu(), tmp_path / "it's.onnx")
    write_bundle(prepare(load(path), wish), tmp_path / "b.tar.gz")
    return unpack(tmp_path / "b.tar.gz", tmp_path / "the re")


def test_the_om_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    root = _plain(tmp_path)
    atc = str(install(tmp_path / "kit"))
    done = convert_sh(root, "result", cwd=tmp_path, ATC=atc)
    assert done.returncode == 0, done.stdout + done.stderr
    om = tmp_path / "result" / "it's.om"
    whole = om.read_bytes()
    assert sorted(p.name for p in om.parent.iterdir()) == ["atc.log", "it's.om"]
    for scenario in ("disk-full", "killed", "code:E40021", "truncated"):
        done = convert_sh(root, "result", cwd=root, ATC=atc, GRAPHFIX_STANDIN=scenario)
        assert done.returncode != 0 and om.read_bytes() == whole
        assert not list((tmp_path / "result").glob(".convert*"))


def test_no_atc_is_said(tmp_path: Path) -> None:
    root = _plain(tmp_path)
    done = convert_sh(root, cwd=tmp_path, ATC="/nowhere/atc")
    assert done.returncode == 127 and "set_env.sh" in done.stderr
    assert not (root / "out").exists()


def test_what_comes_back_can_be_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = prepared(tmp_path)
    manifest = write_bundle(given, tmp_path / "b.tar.gz")
    root = unpack(tmp_path / "b.tar.gz", tmp_path / "there")
    back = tmp_path / "back"
    back.mkdir()
    for port in manifest["golden"]["outputs"]:
        data = (root / port["files"][1]).read_bytes()
        (back / f"{port['name']}.bin").write_bytes(data)
    monkeypatch.chdir(root)
    words = manifest["compare"]
    assert words[:2] == ["graphfix", "compare"] and words[3:5] == ["RESULT", "--input"]
    report = compare(words[2], back, inputs=[words[5]])
    assert report.passed and len(report.outputs) == 2
    (back / "y.bin").write_bytes(np.full((2, 3), 9, np.float32).tobytes())
    assert not compare(words[2], back, inputs=[words[5]]).passed


def test_external_weights_come_along_and_no_fix_keeps_the_bytes(tmp_path: Path) -> None:
    node = onnx.helper.make_node("Add", ["x", "w"], ["y"], name="add")
    proto = model_of([node], {"x": [64]}, {"y": [64]}, {"w": np.arange(64, dtype=np.float32)})
    onnx.save(proto, tmp_path / "m.onnx", save_as_external_data=True, location="w.bin",
              size_threshold=0)  # fmt: skip
    for fix in (True, False):
        archive = tmp_path / f"{fix}.tar.gz"
        write_bundle(prepare(load(tmp_path / "m.onnx"), Wish(TARGET, fix=fix)), archive)
        root = unpack(archive, tmp_path / f"u{fix}")
        assert (root / "model" / "w.bin").read_bytes() == (tmp_path / "w.bin").read_bytes()
        again = onnx.load(root / "model" / "m.onnx")
        assert onnx.numpy_helper.to_array(again.graph.initializer[0])[63] == 63
    same = (root / "model" / "m.onnx").read_bytes()
    assert same == (tmp_path / "m.onnx").read_bytes()


def test_profiles_make_golden_data_at_the_first(tmp_path: Path) -> None:
    path = write(
        text_model("g (float[N,3] x) => (float[N,3] y) { y = Relu(x) }"), tmp_path / "m.onnx"
    )
    manifest = write_bundle(
        prepare(load(path), Wish(TARGET, Profiles(batch=(4, 8)))), tmp_path / "b.tar.gz"
    )
    assert manifest["golden"]["inputs"][0]["shape"] == [4, 3]
    assert manifest["options"]["dynamic_batch_size"] == "4,8"


def test_a_model_that_onnx_runtime_cannot_run_has_no_golden_data(tmp_path: Path) -> None:
    node = onnx.helper.make_node("NPUThing", ["x"], ["y"], name="n", domain="npu")
    proto = model_of([node], {"x": [2]}, {"y": [2]}, imports={"npu": 1})
    path = write(proto, tmp_path / "m.onnx")
    manifest = write_bundle(prepare(load(path), Wish(TARGET, fix=False)), tmp_path / "b.tar.gz")
    assert manifest["golden"]["reason"] and not manifest["golden"]["inputs"]
    root = unpack(tmp_path / "b.tar.gz", tmp_path / "u")
    assert "no golden data" in (root / "README.md").read_text()


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    given = prepared(tmp_path)
    before = sorted(p.name for p in tmp_path.iterdir())
    with pytest.raises(UsageError, match="must end in"):
        write_bundle(given, tmp_path / "b.zip")
    with pytest.raises(UsageError, match="cannot be written"):
        write_bundle(given, tmp_path / "nowhere" / "b.tar.gz")
    assert sorted(p.name for p in tmp_path.iterdir()) == before

"""Bad input: exit 2, one paragraph that names the file or option, nothing written."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.builders import external, relu, write

WEIGHTS = np.float32([1, 2, 3, 4]).tobytes()


def zip_archive() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}q\x00.")
    return stream.getvalue()


def assert_refused(run: Callable[..., object], folder: Path, arguments: list, *words: str) -> None:
    """Exit 2, one paragraph on stderr with these words, nothing on stdout, nothing written."""
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    done = run(*arguments)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr and "internal error" not in done.stderr
    assert done.stderr.startswith("graphfix") and done.stderr.endswith("\n")
    assert "\n\n" not in done.stderr
    flat = " ".join(done.stderr.split())
    for word in words:
        assert word in flat, f"{word!r} is not in {flat!r}"
    after = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert after == before


FILES = {
    "empty.onnx": (b"", "empty"),
    "random.onnx": (np.random.default_rng(7).bytes(2000), "not an ONNX model"),
    "notes.txt": (b"learning rate 0.1\n", "text file"),
    "model.pt": (zip_archive(), "torch.onnx.export"),
    "model.pth": (pickle.dumps({"w": [1]}, 2), "pickle"),
    "graph.pb": (b"\n\x1f\n\x05input\x12\x0bPlaceholder*\t\n\x05dtype\x12\x000\x01", "tf2onnx"),
    "model.om": (b"IMOD" + bytes(100), "offline model"),
    "keras.h5": (b"\x89HDF\r\n\x1a\n" + bytes(64), "tf2onnx"),
}


@pytest.mark.parametrize("name", FILES)
def test_file_that_is_no_model(cli: Callable, tmp_path: Path, name: str) -> None:
    data, word = FILES[name]
    (tmp_path / name).write_bytes(data)
    assert_refused(cli, tmp_path, ["check", name], name, word)


def test_missing_file_and_folders(main: Callable, tmp_path: Path) -> None:
    assert_refused(main, tmp_path, ["check", "nowhere.onnx"], "nowhere.onnx", "no such file")
    assert_refused(main, tmp_path, ["check", "."], "folder", "Give the path")
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved/saved_model.pb").write_bytes(b"\x08\x01")
    assert_refused(main, tmp_path, ["check", "saved"], "saved", "SavedModel", "tf2onnx")


def test_file_without_permission(cli: Callable, tmp_path: Path) -> None:
    path = write(relu(), tmp_path / "secret.onnx")
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    done = cli("check", "secret.onnx")
    assert done.returncode == 2 and "secret.onnx: cannot be read" in done.stderr


def test_truncation_gives_a_verdict_or_a_paragraph(main: Callable, tmp_path: Path) -> None:
    data = relu().SerializeToString()
    codes = set()
    for size in range(len(data)):
        (tmp_path / "cut.onnx").write_bytes(data[:size])
        done = main("check", "cut.onnx")
        codes.add(done.returncode)
        assert done.returncode in (0, 1, 2), (size, done.stderr)
        assert bool(done.stdout) != bool(done.stderr)
        assert "Traceback" not in done.stderr
    assert 2 in codes


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--soc", "Ascend310P4"], ["--soc Ascend310P4", "Ascend310P3"]),
        (["--soc", "Ascend310P3,nonsense"], ["--soc nonsense", "graphfix socs"]),
        (["--cann", "8.9"], ["--cann 8.9", "8.1.RC1", "2026.08"]),
        (["--precision-mode", "fp8"], ["--precision-mode fp8", "force_fp16"]),
        (["--shape", "x"], ["--shape x", "name=1,3,224,224"]),
        (["--shape", "x=[2,3]"], ["--shape x=[2,3]", "without brackets"]),
        (["--shape", "x=2,-1"], ["--shape x=2,-1", "whole numbers"]),
        (["--shape", "x=2,,3"], ["--shape x=2,,3"]),
        (["--shape", "=2,3"], ["--shape =2,3"]),
        (["--shape", "x=2,4"], ["--shape x=2,4", "does not fit", "2 dims"]),
        (["--shape", "x=2"], ["--shape x=2", "does not fit"]),
        (["--shape", "y_in=2,3"], ["--shape y_in", "no input of that name", "x"]),
        (["--select", "GF999"], ["GF999"]),
        (["--select", "GF101,opset-not-registerd"], ["opset-not-registerd", "Did you mean"]),
        (["--ignore", "everything"], ["everything"]),
        (["--fail-on", "always"], ["--fail-on", "always", "rejected", "never"]),
        (["--format", "html"], ["--format", "html", "json"]),
        (["--output", "missing/report.txt"], ["--output missing/report.txt", "no such folder"]),
        (["--output", "folder"], ["--output folder", "folder"]),
        (["--op-support", "nowhere.toml"], ["--op-support nowhere.toml"]),
        (["--colour"], ["--colour"]),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) and v[0].startswith("--") else "",
)
def test_bad_option(main: Callable, tmp_path: Path, options: list[str], words: list[str]) -> None:
    write(relu(), tmp_path / "model.onnx")
    (tmp_path / "folder").mkdir()
    assert_refused(main, tmp_path, ["check", "model.onnx", *options], *words)


def test_report_never_replaces_a_model(main: Callable, tmp_path: Path) -> None:
    path = write(relu(), tmp_path / "model.onnx")
    before = path.read_bytes()
    done = main("check", "model.onnx", "--output", "model.onnx")
    assert path.read_bytes() == before
    assert done.returncode == 2 and "--output model.onnx" in done.stderr


REGISTRATION = """
[[operator.Foo.registration]]
opsets = "17"
ge_op = "Foo"
source = "mine"
certainty = "proved"
"""
CONSTRAINT = """
[[operator.Relu.constraint]]
id = "mine"
opsets = "all"
when = { inputs = 1 }
effect = "note"
finding = "harmless-difference"
says = "so"
advice = "nothing"
source = "mine"
certainty = "proved"
"""


def test_op_support_files_of_these_tests_are_right(main: Callable, tmp_path: Path) -> None:
    write(relu(), tmp_path / "model.onnx")
    (tmp_path / "mine.toml").write_text(REGISTRATION + CONSTRAINT)
    assert main("check", "model.onnx", "--op-support", "mine.toml").returncode == 0


@pytest.mark.parametrize(
    "text",
    [
        "not toml at all [",
        b"\xff\xfe\x00binary".decode("latin-1"),
        "",
        "[Foo]\n",
        "operator = 3\n",
        "[operator]\nFoo = 3\n",
        "[operator.Foo]\nregistration = 3\n",
        "[operator.Foo]\nregistration = [3]\n",
        "[operator.Foo]\nnonsense = 3\n",
        REGISTRATION.replace('"17"', "17"),
        REGISTRATION.replace('"17"', '"seventeen"'),
        REGISTRATION.replace('ge_op = "Foo"\n', ""),
        REGISTRATION + 'form = "subgraph"\nconnected = 3\n',
        CONSTRAINT.replace('"note"', '"terrible"'),
        CONSTRAINT.replace('"harmless-difference"', '"no-such-finding"'),
        CONSTRAINT.replace('"proved"', '"sure"'),
        CONSTRAINT.replace("{ inputs = 1 }", "3"),
        CONSTRAINT.replace("{ inputs = 1 }", "{ weather = 'fine' }"),
        CONSTRAINT.replace("{ inputs = 1 }", "{ attr.alpha.looks = 1 }"),
        CONSTRAINT.replace("{ inputs = 1 }", "{ predicate = 'no_such' }"),
        CONSTRAINT.replace('id = "mine"\n', ""),
        CONSTRAINT.replace('says = "so"', "says = 5"),
        CONSTRAINT + 'stage = "later"\n',
        '[[operator.Relu.constraint]]\nid = "no-such"\ndrop = true\n',
    ],
)
def test_bad_op_support_file(main: Callable, tmp_path: Path, text: str) -> None:
    write(relu(), tmp_path / "model.onnx")
    (tmp_path / "mine.toml").write_text(text, encoding="latin-1")
    arguments = ["check", "model.onnx", "--op-support", "mine.toml", "--verbose"]
    assert_refused(main, tmp_path, arguments, "mine.toml")


def test_no_command_and_unknown_command(main: Callable, tmp_path: Path) -> None:
    assert main().returncode == 2
    assert_refused(main, tmp_path, ["chek", "model.onnx"], "chek")
    assert_refused(main, tmp_path, ["check"], "MODEL")


def test_debug_shows_the_traceback(cli: Callable) -> None:
    done = cli("check", "nowhere.onnx", "--debug")
    assert done.returncode != 0 and "Traceback" in done.stderr and "nowhere.onnx" in done.stderr


def test_unreadable_model_in_json_goes_to_stdout(
    main: Callable, tmp_path: Path, check_schema
) -> None:
    (tmp_path / "empty.onnx").touch()
    done = main("check", "empty.onnx", "--format", "json")
    assert done.returncode == 2
    check_schema.validate(done.document)
    (entry,) = done.document["models"]
    assert entry["verdict"] == "unreadable" and "empty" in entry["error"]
    assert entry["error_code"] == "E19015"  # file size out of range, as 8.1.RC1 numbers it


# ---------------------------------------------------------------------- external data


def codes(done) -> list[str]:
    return [f["code"] for f in done.document["models"][0]["findings"]]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("absolute", [False, True])
def test_path_out_of_the_folder_is_never_opened(
    cli: Callable, tmp_path: Path, absolute: bool
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    os.mkfifo(tmp_path / "pipe")  # whoever opens it for reading waits forever
    external(folder, str(tmp_path / "pipe") if absolute else "../pipe")
    options = ["--format", "json", "--weights", "--soc", "Ascend310P3"]
    done = cli("check", "model/model.onnx", *options, timeout=20)
    assert codes(done) == ["GF003"] and done.returncode == 1
    assert "outside" in done.document["models"][0]["findings"][0]["message"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipe_in_place_of_weights_is_never_opened(cli: Callable, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "w.bin")
    external(tmp_path, "w.bin")
    done = cli("check", "model.onnx", "--format", "json", "--weights", timeout=20)
    assert codes(done) == ["GF001"]


def test_missing_and_short_external_data(main: Callable, tmp_path: Path) -> None:
    external(tmp_path, "w.bin", offset="8")
    done = main("check", "model.onnx", "--format", "json")
    assert codes(done) == ["GF001"] and done.returncode == 1
    (tmp_path / "w.bin").write_bytes(WEIGHTS)
    done = main("check", "model.onnx", "--format", "json")
    assert codes(done) == ["GF002"] and done.returncode == 1
    assert "24 bytes" in done.document["models"][0]["findings"][0]["message"]
    (tmp_path / "w.bin").write_bytes(WEIGHTS + bytes(8))
    done = main("check", "model.onnx", "--format", "json")
    assert codes(done) == [] and done.returncode == 0


def test_many_tensors_of_one_missing_file_are_one_finding(main: Callable, tmp_path: Path) -> None:
    proto = external(tmp_path, "w.bin")
    for number in range(5):
        tensor = proto.graph.initializer.add()
        tensor.CopyFrom(proto.graph.initializer[0])
        tensor.name = f"w{number}"
    write(proto, tmp_path / "model.onnx")
    done = main("check", "model.onnx", "--format", "json")
    assert codes(done) == ["GF001"]
    assert "6 tensors" in done.document["models"][0]["findings"][0]["message"]


def test_unfollowable_folder_in_place_of_weights(main: Callable, tmp_path: Path) -> None:
    (tmp_path / "w.bin").mkdir()
    external(tmp_path, "w.bin")
    done = main("check", "model.onnx", "--format", "json", "--weights")
    assert codes(done) == ["GF001"] and done.returncode == 1


@pytest.mark.parametrize("key", ["offset", "length"])
@pytest.mark.parametrize("number", ["-4", "99999999999999999999", "0x10", "four", ""])
def test_odd_numbers_in_external_data(
    main: Callable, tmp_path: Path, key: str, number: str
) -> None:
    (tmp_path / "w.bin").write_bytes(WEIGHTS)
    proto = external(tmp_path, "w.bin")
    proto.graph.initializer[0].external_data.add(key=key, value=number)
    write(proto, tmp_path / "model.onnx")
    done = main("check", "model.onnx", "--format", "json", "--weights")
    assert done.returncode in (0, 1), done.stderr


@pytest.mark.parametrize("location", ["a\0b", "x" * 5000], ids=["nul", "long"])
def test_location_that_no_file_system_takes(main: Callable, tmp_path: Path, location: str) -> None:
    external(tmp_path, location)
    done = main("check", "model.onnx", "--format", "json", "--weights")
    assert done.returncode == 1, done.stderr
    assert codes(done)[0] in ("GF001", "GF003")

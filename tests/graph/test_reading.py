"""Reading: what is no model is told for what it is; paths out of the folder are never followed."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

import graphfix
from graphfix import GraphfixError, UnreadableModel
from graphfix.graph import reading
from graphfix.graph.tensors import ExternalReference, read_tensor
from tests.builders import external, relu, text_model, write


def zip_archive() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}q\x00.")
    return stream.getvalue()


FILES = {
    "empty.onnx": (b"", "empty"),
    "random.onnx": (np.random.default_rng(1).bytes(4096), "not an ONNX model"),
    "notes.onnx": (b"# how to train\nfirst, ...\n", "text file"),
    "pointer.onnx": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "LFS"),
    "page.onnx": (b"<!DOCTYPE html><html></html>", "HTML"),
    "umlaut.onnx": ("größer".encode() * 100, "text file"),
    "model.pt": (zip_archive(), "torch.onnx.export"),
    "model.pth": (pickle.dumps({"w": [1]}, 2), "torch.onnx.export"),
    "new.pth": (pickle.dumps({"w": [1]}, 4), "pickle"),
    "graph.pb": (b"\n\x1f\n\x05input\x12\x0bPlaceholder*\t\n\x05dtype\x12\x000\x01", "tf2onnx"),
    "model.om": (b"IMOD" + bytes(range(200)), "offline model"),
    "cut.om": (b"\xff\xfe\xfd" * 10, "offline model"),
    "keras.h5": (b"\x89HDF\r\n\x1a\n" + bytes(64), "tf2onnx"),
    "model.onnx.gz": (b"\x1f\x8b\x08" + bytes(30), "gzip"),
    "llm.gguf": (b"GGUF\x03\x00\x00\x00" + bytes(30), "GGUF"),
}


@pytest.mark.parametrize("name", FILES)
def test_other_files_are_told_for_what_they_are(tmp_path: Path, name: str) -> None:
    data, word = FILES[name]
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(UnreadableModel) as caught:
        graphfix.load(path)
    text = str(caught.value)
    assert text.startswith(str(path)) and word in text and "\n" not in text
    assert path.read_bytes() == data


def test_folders(tmp_path: Path) -> None:
    with pytest.raises(UnreadableModel, match=r"holds no \.onnx file"):
        graphfix.load(tmp_path)
    write(relu(), tmp_path / "inner.onnx")
    with pytest.raises(UnreadableModel, match=r"inner\.onnx"):
        graphfix.load(tmp_path)
    (tmp_path / "saved_model.pb").write_bytes(b"\x08\x01")
    with pytest.raises(UnreadableModel, match="SavedModel"):
        graphfix.load(tmp_path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UnreadableModel, match="no such file"):
        graphfix.load(tmp_path / "nowhere.onnx")
    with pytest.raises(UnreadableModel, match="cannot be read"):
        graphfix.load(write(relu(), tmp_path / "a.onnx") / "b.onnx")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipe_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.onnx")
    with pytest.raises(UnreadableModel, match="not a regular file"):
        graphfix.load(tmp_path / "pipe.onnx")


def test_file_beyond_the_limit_of_protobuf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(relu(), tmp_path / "large.onnx")
    monkeypatch.setattr(reading, "MAX_FILE_BYTES", path.stat().st_size - 1)
    with pytest.raises(UnreadableModel, match="external data"):
        graphfix.load(path)


def test_atc_code_of_unreadable_files(tmp_path: Path) -> None:
    (tmp_path / "empty.onnx").touch()
    with pytest.raises(UnreadableModel) as caught:
        graphfix.load(tmp_path / "empty.onnx")
    assert caught.value.atc_cause == "file_size"
    with pytest.raises(UnreadableModel) as caught:
        graphfix.load(tmp_path / "nowhere.onnx")
    assert caught.value.atc_cause is None


def test_truncation_never_raises_anything_else(tmp_path: Path) -> None:
    proto = text_model("""
        g (float[n, 4] x) => (float[n, 4] y) {
            w = Constant <value = float[4] {1, 2, 3, 4}> ()
            a = Mul(x, w)
            y = Softmax <axis = -1> (a)
        }""")
    data = proto.SerializeToString()
    path = tmp_path / "cut.onnx"
    damaged = 0
    for size in range(1, len(data)):
        path.write_bytes(data[:size])
        try:
            graphfix.check(path)
        except GraphfixError as error:
            damaged += "truncated or damaged" in str(error)
    assert damaged > len(data) // 2


def test_message_without_graph_and_opset_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "odd.onnx"
    path.write_bytes(onnx.ModelProto(ir_version=8, producer_name="x").SerializeToString())
    with pytest.raises(UnreadableModel):
        graphfix.load(path)


def test_other_onnx_messages_are_refused_or_checked(tmp_path: Path) -> None:
    for name, message in {
        "tensor.pb": onnx.numpy_helper.from_array(np.float32([1, 2])),
        "graph.onnx": relu().graph,
        "node.onnx": helper.make_node("Relu", ["x"], ["y"]),
    }.items():
        path = tmp_path / name
        path.write_bytes(message.SerializeToString())
        with pytest.raises(UnreadableModel):
            graphfix.load(path)


# ---------------------------------------------------------------------- external data


@pytest.mark.parametrize(
    ("location", "inside"),
    [
        ("w.bin", True),
        ("data/w.bin", True),
        ("./w.bin", True),
        ("..w.bin", True),
        ("../w.bin", False),
        ("data/../../w.bin", False),
        ("/etc/passwd", False),
        ("C:\\w.bin", False),
        ("C:w.bin", False),
        ("\\\\server\\share\\w.bin", False),
        ("..\\w.bin", False),
        ("\\w.bin", False),
        ("", False),
    ],
)
def test_location_is_judged_by_every_system_s_rules(location: str, inside: bool) -> None:
    assert ExternalReference(location, 0, None).is_inside is inside


def test_outside_data_is_not_read(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "w.bin").write_bytes(np.float32([1, 2, 3, 4]).tobytes())
    for location in ("../w.bin", str(tmp_path / "w.bin")):
        tensor = external(folder, location).graph.initializer[0]
        assert read_tensor(tensor, folder) is None


def test_tensor_is_read_at_its_offset(tmp_path: Path) -> None:
    tensor = external(tmp_path, "w.bin", count=2, offset="4").graph.initializer[0]
    (tmp_path / "w.bin").write_bytes(np.float32([1, 2, 3]).tobytes())
    assert read_tensor(tensor, tmp_path).tolist() == [2, 3]
    (tmp_path / "w.bin").write_bytes(np.float32([1, 2]).tobytes())
    assert read_tensor(tensor, tmp_path) is None

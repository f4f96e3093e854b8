"""Reading a model file, and saying what a file is that holds no model."""

from __future__ import annotations

import os
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from graphfix.errors import UnreadableModel
from graphfix.graph.model import Model

# GE refuses a larger file (E13015); protobuf itself ends at the same size
MAX_FILE_BYTES = 2**31 - 1

_PICKLE_PROTOCOLS = (b"\x02", b"\x03", b"\x04", b"\x05")

_TELL_TALES: tuple[tuple[bytes, str, str], ...] = (
    (
        b"PK\x03\x04",
        "a zip archive, which is what torch.save and torch.export write (.pt, .pt2)",
        "Export it to ONNX first: torch.onnx.export(model, args, 'model.onnx').",
    ),
    (
        b"\x80",
        "a Python pickle, which is what torch.save writes (.pt, .pth)",
        "Load it in PyTorch and export it to ONNX: torch.onnx.export(model, args, 'model.onnx').",
    ),
    (
        b"IMOD",
        "an offline model (.om), the output of ATC",
        "graphfix reads what goes into ATC; check the .onnx file that this .om was made from.",
    ),
    (
        b"\x89HDF",
        "an HDF5 file, as Keras writes it (.h5)",
        "Convert it to ONNX with tf2onnx first.",
    ),
    (b"\x1f\x8b", "a gzip archive", "Unpack it first."),
    (b"GGUF", "a GGUF file of llama.cpp", "Export the original PyTorch model to ONNX instead."),
)


def load(path: str | os.PathLike[str]) -> Model:
    """Read an ONNX model; external data stays unread on disk.

    Raises UnreadableModel, with one paragraph that says what the file is and what to do.
    """
    file = Path(path)
    data = _read_bytes(file)
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(data)
    except (DecodeError, RuntimeError) as error:
        raise UnreadableModel(_what_it_is(file, data), "unreadable") from error
    if not (proto.HasField("graph") or proto.opset_import):
        raise UnreadableModel(_what_it_is(file, data), "unreadable")
    model = Model(proto, file, len(data))
    for graph in model.graph.graphs():
        texts = [*graph.values, *(node.op_type for node in graph.nodes)]
        if not all(type(text) is str for text in texts):  # text that is no UTF-8 arrives as bytes
            raise UnreadableModel(
                f"{file}: names in the model are no valid text (UTF-8): it is damaged. Export or "
                "download it again.",
                "unreadable",
            )
    return model


def _read_bytes(file: Path) -> bytes:
    try:
        size = file.stat().st_size
    except FileNotFoundError:
        raise UnreadableModel(
            f"{file}: there is no such file. Give the path of an .onnx model."
        ) from None
    except OSError as error:
        raise UnreadableModel(f"{file}: cannot be read ({error.strerror}).") from None
    if file.is_dir():
        raise UnreadableModel(_about_folder(file))
    if not file.is_file():
        raise UnreadableModel(f"{file}: not a regular file. Give the path of an .onnx model.")
    if size == 0:
        raise UnreadableModel(
            f"{file}: the file is empty (ATC: file size out of range). Was the export or the "
            "download cut off?",
            "file_size",
        )
    if size > MAX_FILE_BYTES:
        raise UnreadableModel(
            f"{file}: {size:,} bytes; protobuf and ATC take at most {MAX_FILE_BYTES:,}. Save the "
            "model with its weights as external data (onnx.save(..., save_as_external_data=True)).",
            "file_size",
        )
    try:
        return file.read_bytes()
    except OSError as error:
        raise UnreadableModel(f"{file}: cannot be read ({error.strerror}).") from None


def _about_folder(file: Path) -> str:
    if (file / "saved_model.pb").exists():
        return (
            f"{file}: a TensorFlow SavedModel folder. Convert it to ONNX with tf2onnx and check "
            "the .onnx file."
        )
    models = sorted(p.name for p in file.glob("*.onnx"))
    hint = f" It holds {', '.join(models[:3])}." if models else " It holds no .onnx file."
    return f"{file}: a folder, not a model.{hint} Give the path of an .onnx file."


def _what_it_is(file: Path, data: bytes) -> str:
    for magic, what, then in _TELL_TALES:
        if data.startswith(magic) and (magic != b"\x80" or data[1:2] in _PICKLE_PROTOCOLS):
            return f"{file}: not an ONNX model but {what}. {then}"
    if file.suffix == ".om":
        return (
            f"{file}: an offline model (.om), the output of ATC. graphfix reads what goes into "
            "ATC; check the .onnx file that it was made from."
        )
    if file.suffix == ".pb":
        return (
            f"{file}: not an ONNX model; .pb is usually a TensorFlow graph. Convert it to ONNX "
            "with tf2onnx (python -m tf2onnx.convert --graphdef ...) and check the result."
        )
    if _looks_like_text(data):
        first = data[:40].decode("utf-8", "replace").splitlines()[0]
        return (
            f"{file}: a text file (it starts with {first!r}), not an ONNX model. ONNX files are "
            "binary; a Git LFS pointer or an HTML page in place of the model looks like this."
        )
    if _starts_like_model(data):
        return (
            f"{file}: starts like an ONNX model but cannot be read to its end: it is truncated "
            "or damaged. Export or download it again."
        )
    return (
        f"{file}: not an ONNX model (its bytes are no protobuf message of that kind). Give a "
        "file that torch.onnx.export or another exporter wrote."
    )


def _looks_like_text(data: bytes) -> bool:
    head = data[:512]
    if b"\x00" in head:
        return False
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:
            return False
        text = head[: error.start].decode("utf-8")
    return all(c.isprintable() or c in "\r\n\t" for c in text)


def _starts_like_model(data: bytes) -> bool:
    # field 1 (ir_version) as a small varint is how every exporter begins
    return len(data) > 2 and data[0] == 0x08 and data[1] < 0x20

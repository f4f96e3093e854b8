"""Writing all weights of a model into one file of its own, beside the model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import onnx
import onnx.numpy_helper

from graphfix.errors import UsageError
from graphfix.graph.tensors import byte_size, external_reference, is_external, tensors_of_node

# smaller tensors, sizes and axes above all, stay where parsers read them: in the model
_LEAST_BYTES = 1024
# large tensors start at a page, so that they can be mapped into memory
_PAGE = 4096
_LARGE_BYTES = 1 << 20
_PIECE_BYTES = 1 << 20


def write_weights(
    proto: onnx.ModelProto, source: Path | None, file: BinaryIO, location: str
) -> None:
    """Write the weights of `proto` to `file` and let its initializers refer to `location`.

    What lies in other external files, relative to `source`, is copied piece by piece. External data
    inside branches and attributes comes into the model, since GE does not find it there.

    Raises UsageError when external data is missing, short, or outside the folder.
    """
    for tensor in proto.graph.initializer:
        is_weight = is_external(tensor) or byte_size(tensor) >= _LEAST_BYTES
        if tensor.data_type != onnx.TensorProto.STRING and is_weight:
            _put_out(tensor, source, file, location)
    for node in proto.graph.node:
        for tensor in tensors_of_node(node):
            if is_external(tensor):
                _take_in(tensor, b"".join(_read(tensor, source)))


def _put_out(tensor: onnx.TensorProto, source: Path | None, file: BinaryIO, location: str) -> None:
    size = byte_size(tensor)
    start = file.tell()
    if size >= _LARGE_BYTES:
        start += -start % _PAGE
        file.seek(start)
    for piece in _read(tensor, source):
        file.write(piece)
    for field in ("raw_data", "float_data", "int32_data", "int64_data", "double_data",
                  "uint64_data", "external_data"):  # fmt: skip
        tensor.ClearField(field)
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", start), ("length", size)):
        tensor.external_data.add(key=key, value=str(value))


def _take_in(tensor: onnx.TensorProto, data: bytes) -> None:
    tensor.ClearField("external_data")
    tensor.ClearField("data_location")
    tensor.raw_data = data


def _read(tensor: onnx.TensorProto, source: Path | None) -> Iterator[bytes]:
    """Yield a tensor's bytes, little-endian as ONNX stores them."""
    if not is_external(tensor):
        if tensor.HasField("raw_data"):
            yield tensor.raw_data
        else:
            array = onnx.numpy_helper.to_array(tensor)
            yield onnx.numpy_helper.from_array(array).raw_data
        return
    reference = external_reference(tensor)
    if reference is None or not reference.is_inside or source is None:
        raise UsageError(
            f"--save-external: the external data of {tensor.name!r} has no place within the "
            "model's folder, so it cannot be written anew."
        )
    path, left = source / reference.location, byte_size(tensor)
    try:
        with path.open("rb") as weights:
            weights.seek(reference.offset)
            while left and (piece := weights.read(min(left, _PIECE_BYTES))):
                left -= len(piece)
                yield piece
    except OSError as error:
        raise UsageError(
            f"--save-external: {path}, which holds {tensor.name!r}, cannot be read "
            f"({error.strerror}). Put it beside the model."
        ) from None
    if left:
        raise UsageError(
            f"--save-external: {path} ends before the data of {tensor.name!r} does. Export or "
            "download it again."
        )

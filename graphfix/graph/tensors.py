"""TensorProtos: where their data is, how much there is of it, and small ones as arrays."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
import onnx
import onnx.numpy_helper

from graphfix.graph import dtypes

_EXTERNAL = onnx.TensorProto.EXTERNAL
SMALL_ELEMENTS = 1024


@dataclass(frozen=True)
class ExternalReference:
    """Where a tensor's bytes lie outside the model; offset and length in bytes."""

    location: str
    offset: int
    length: int | None

    @property
    def is_inside(self) -> bool:
        """Whether the location stays within the folder of the model. Others are never followed."""
        posix, windows = PurePosixPath(self.location), PureWindowsPath(self.location)
        if posix.is_absolute() or windows.drive or windows.root:
            return False
        return bool(self.location) and ".." not in posix.parts and ".." not in windows.parts


# elements of a sparse tensor that is written out
MOST_DENSE = 1 << 26


def is_external(tensor: onnx.TensorProto) -> bool:
    """Whether the tensor's data lies in another file."""
    return bool(tensor.data_location == _EXTERNAL)


def external_reference(tensor: onnx.TensorProto) -> ExternalReference | None:
    """Return where an external tensor lies; None for an inline one or one without location."""
    if not is_external(tensor):
        return None
    entries = {entry.key: entry.value for entry in tensor.external_data}
    if "location" not in entries:
        return None
    return ExternalReference(
        entries["location"], _number(entries.get("offset")) or 0, _number(entries.get("length"))
    )


def _number(text: str | None) -> int | None:
    try:
        return int(text) if text else None
    except ValueError:
        return None


def element_count(tensor: onnx.TensorProto) -> int:
    """Return the number of elements that the dims ask for."""
    return math.prod(tensor.dims) if tensor.dims else 1


def byte_size(tensor: onnx.TensorProto) -> int:
    """Return how many bytes the tensor's elements take; 0 where that is not known (strings)."""
    return (element_count(tensor) * dtypes.BITS.get(tensor.data_type, 0) + 7) // 8


def small_array(tensor: onnx.TensorProto, limit: int = SMALL_ELEMENTS) -> np.ndarray | None:
    """Return an inline tensor of at most `limit` elements as an array; None for all others."""
    if is_external(tensor) or any(d < 0 for d in tensor.dims) or element_count(tensor) > limit:
        return None
    return _to_array(tensor)


def read_tensor(tensor: onnx.TensorProto, folder: Path | None) -> np.ndarray | None:
    """Return a tensor of any size, from its external file where needed.

    None where the data is missing, short, outside the model's folder, or of a type that numpy
    cannot hold.
    """
    if not is_external(tensor):
        return _to_array(tensor)
    reference = external_reference(tensor)
    dtype = dtypes.numpy_dtype(tensor.data_type)
    if reference is None or not reference.is_inside or folder is None or dtype is None:
        return None
    try:
        path = folder / reference.location
        if not path.is_file():  # a pipe would wait for ever
            return None
        with path.open("rb") as file:
            file.seek(reference.offset)
            data = file.read(byte_size(tensor))
    except (OSError, ValueError, OverflowError):
        return None
    if len(data) < byte_size(tensor):
        return None
    return np.frombuffer(data, dtype).reshape(tuple(tensor.dims))


def _to_array(tensor: onnx.TensorProto) -> np.ndarray | None:
    try:
        array: np.ndarray = onnx.numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError, OverflowError):
        return None
    return array


def dense_array(tensor: onnx.SparseTensorProto) -> np.ndarray | None:
    """Return a sparse tensor with its zeros; None when it does not fit itself or is too large.

    Its indices are positions in the flattened tensor, or one row of coordinates for each value.
    """
    shape = tuple(tensor.dims)
    values, indices = _to_array(tensor.values), _to_array(tensor.indices)
    if values is None or indices is None or math.prod(shape) > MOST_DENSE:
        return None
    dense = np.zeros(shape, values.dtype)
    try:
        if indices.ndim == 2:
            dense[tuple(indices.T)] = values
        else:
            dense.reshape(-1)[indices] = values
    except (IndexError, ValueError):
        return None
    return dense


def tensors_of(proto: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Yield all tensors of a model: initializers and tensor attributes, subgraphs included."""
    yield from _tensors_of_graph(proto.graph)
    for function in proto.functions:
        for node in function.node:
            yield from tensors_of_node(node)


def _tensors_of_graph(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for node in graph.node:
        yield from tensors_of_node(node)


def tensors_of_node(node: onnx.NodeProto) -> Iterator[onnx.TensorProto]:
    """Yield the tensors of a node's attributes and of its subgraphs."""
    for attribute in node.attribute:
        if attribute.HasField("t"):
            yield attribute.t
        yield from attribute.tensors
        if attribute.HasField("g"):
            yield from _tensors_of_graph(attribute.g)
        for graph in attribute.graphs:
            yield from _tensors_of_graph(graph)

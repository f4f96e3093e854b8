"""Value: a tensor of a graph, and what is known of its type."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnx.numpy_helper

from graphfix.graph import dtypes
from graphfix.graph.tensors import SMALL_ELEMENTS, element_count, is_external, small_array

if TYPE_CHECKING:
    from graphfix.graph.index import Graph
    from graphfix.graph.node import Node

Dim = int | str | None
Shape = tuple[Dim, ...]

# marks what lies in the protobuf and has not been decoded yet
_UNREAD: Any = object()


class Value:
    """A tensor of one graph: its producer, its uses, and what is known of its type.

    `shape` is None while the rank is unknown; a dim is an int, a symbol or None. `constant` is the
    TensorProto of an initializer or of a Constant node; `known` the array of a small constant or of
    a value that follows from constants and static shapes; `is_folded` says that it follows from
    constants alone, large ones included. Shapes and arrays are decoded when they are asked for.
    """

    __slots__ = (
        "_info",
        "_known",
        "_shape",
        "constant",
        "dtype",
        "graph",
        "is_folded",
        "is_input",
        "is_output",
        "name",
        "producer",
        "uses",
    )

    def __init__(self, name: str, graph: Graph) -> None:
        self.name = name
        self.graph = graph
        self.dtype: str | None = None
        self.producer: Node | None = None
        self.uses: list[tuple[Node, int]] = []
        self.constant: onnx.TensorProto | None = None
        self.is_folded = False
        self.is_input = False
        self.is_output = False
        self._info: onnx.ValueInfoProto | None = None
        self._shape: Shape | None = _UNREAD
        self._known: np.ndarray | None = _UNREAD

    @property
    def exists(self) -> bool:
        """Whether anything gives the value: a node, an initializer or a graph input."""
        return self.producer is not None or self.is_input or self.constant is not None

    @property
    def is_constant(self) -> bool:
        """Whether the value is an initializer, a Constant node, or follows from such."""
        return self.constant is not None or self.is_folded

    @property
    def shape(self) -> Shape | None:
        """The dims, None while the rank is unknown."""
        if self._shape is _UNREAD:
            if self.constant is not None:
                self._shape = tuple(self.constant.dims)
            elif self._info is not None:
                self._shape = declared_shape(self._info.type)
            else:
                self._shape = None
        return self._shape

    @shape.setter
    def shape(self, shape: Shape | None) -> None:
        self._shape = shape

    @property
    def known(self) -> np.ndarray | None:
        """The array of a small constant or computed value, None for all others."""
        if self._known is _UNREAD:
            self._known = small_array(self.constant) if self.constant is not None else None
        return self._known

    @known.setter
    def known(self, array: np.ndarray | None) -> None:
        self._known = array

    def set_info(self, info: onnx.ValueInfoProto | None) -> None:
        """Take the type from a ValueInfoProto; its shape is decoded when it is asked for."""
        self._info = info
        self._shape = _UNREAD
        if self.constant is not None:
            self.dtype = dtypes.NAMES.get(self.constant.data_type)
        elif info is not None:
            self.dtype = dtypes.NAMES.get(info.type.tensor_type.elem_type)
        else:
            self.dtype = None

    @property
    def kind(self) -> str:
        """`tensor`, or `sequence`, `optional`, `map`, `sparse_tensor` where a type says so."""
        if self.constant is None and self._info is not None:
            written = self._info.type.WhichOneof("value")
            return "tensor" if written is None else str(written).removesuffix("_type")
        return "tensor"

    def forget(self) -> None:
        """Drop what was inferred or computed: the producer or the constant has changed."""
        self.set_info(None)
        self._known, self.is_folded = _UNREAD, False

    def __repr__(self) -> str:
        dims = (
            "?"
            if self.shape is None
            else ",".join("?" if d is None else str(d) for d in self.shape)
        )
        return f"<Value {self.name}: {self.dtype or '?'}[{dims}]>"


def small_constant(value: Value | None) -> onnx.TensorProto | None:
    """Return a small constant, or a small value that follows from constants, as a tensor.

    None for weights, which would be too much to copy, and for what is no constant.
    """
    if value is None:
        return None
    if value.constant is None:
        if value.known is None or value.known.dtype.kind not in "biuf":
            return None
        return onnx.numpy_helper.from_array(
            np.ascontiguousarray(value.known).reshape(value.known.shape)
        )
    if is_external(value.constant) or element_count(value.constant) > SMALL_ELEMENTS:
        return None
    return value.constant


def declared_shape(kind: onnx.TypeProto) -> Shape | None:
    """Return the dims of a tensor type; None where it states none."""
    return _shape_of(kind.SerializeToString(deterministic=True))


@lru_cache(maxsize=4096)
def _shape_of(data: bytes) -> Shape | None:
    # the same few types stand at most values: decoding each anew would take ten times as long
    kind = onnx.TypeProto.FromString(data)
    tensor_type = kind.tensor_type
    if not kind.HasField("tensor_type") or not tensor_type.HasField("shape"):
        return None
    return tuple(
        d.dim_value if d.HasField("dim_value") and d.dim_value >= 0 else _symbol(d.dim_param)
        for d in tensor_type.shape.dim
    )


def _symbol(name: str) -> str | None:
    # the C++ inference makes up unk__0, unk__1 ... for dims that it does not know
    return None if not name or name.startswith("unk__") else name

"""One node at a time in ONNX Runtime, as a model of its own; equal nodes share a session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from graphfix.comparison.runtimes import RuntimeFailed
from graphfix.comparison.runtimes.onnxruntime import first_line, new_session
from graphfix.graph import Model, Node
from graphfix.graph.writing import node_proto

_EMBEDDED = 1024  # elements up to which a constant that is no float becomes part of a node's model
# worth a pool of threads
_HEAVY = frozenset({"Conv", "ConvTranspose", "MatMul", "Gemm", "LSTM", "GRU", "RNN"})


class NodeRunner:
    """Runs single nodes of a model."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self._static: dict[int, tuple[Any, ...]] = {}
        self._runners: dict[tuple[Any, ...], tuple[Any, list[str | None], list[str]]] = {}

    def run(
        self, node: Node, arrays: Sequence[Any], constant: Sequence[bool],
        captured: Mapping[str, Any],
    ) -> list[Any]:  # fmt: skip
        """Return what the node gives, None for outputs that it leaves out.

        `arrays` are its inputs, None where one is left empty; `constant` says which of them never
        change; `captured` are the outer values that its subgraphs use. Raises RuntimeFailed.
        """
        outer = list(captured.values())
        key: list[Any] = [self._static_key(node)]
        for array, is_constant in zip(arrays, constant, strict=True):
            if is_constant and _is_embedded(array):
                key.append((array.dtype.str, array.shape, array.tobytes()))
            else:
                key.append(_kind(array))
        key += [_kind(array) for array in outer]
        runner = self._runners.get(tuple(key))
        try:
            if runner is None:
                runner = self._runners[tuple(key)] = self._build(node, arrays, constant, captured)
            session, feeds, fetch = runner
            found: list[Any] = session.run(
                fetch,
                {
                    name: array
                    for name, array in zip(feeds, (*arrays, *outer), strict=True)
                    if name is not None
                },
            )
        except RuntimeFailed:
            raise
        except Exception as error:  # an engine's own errors, of many kinds
            raise RuntimeFailed(
                f"node {node.name or node.op_type} ({node.key}) does not run in ONNX Runtime: "
                f"{first_line(error)}"
            ) from error
        results = iter(found)
        return [next(results) if name else None for name in node.outputs]

    def _static_key(self, node: Node) -> tuple[Any, ...]:
        key = self._static.get(id(node))
        if key is None:
            key = self._static[id(node)] = (
                node.domain,
                node.op_type,
                # a subgraph's captured names are part of it
                b"".join(sorted(a.SerializeToString() for a in node_proto(node).attribute)),
                tuple(bool(name) for name in node.outputs),
            )
        return key

    def _build(
        self, node: Node, arrays: Sequence[Any], constant: Sequence[bool],
        captured: Mapping[str, Any],
    ) -> tuple[Any, list[str | None], list[str]]:  # fmt: skip
        proto = onnx.NodeProto()
        proto.CopyFrom(node_proto(node))
        proto.name = "n"
        del proto.input[:], proto.output[:]
        ports, initializers = [], []
        feeds: list[str | None] = []
        for index, (array, is_constant) in enumerate(zip(arrays, constant, strict=True)):
            name = f"i{index}" if node.inputs[index] else ""
            proto.input.append(name)
            if not name:
                feeds.append(None)
            elif is_constant and _is_embedded(array):
                initializers.append(numpy_helper.from_array(array, name))
                feeds.append(None)
            else:
                ports.append(_port(name, array))
                feeds.append(name)
        for name, array in captured.items():
            ports.append(_port(name, array))
            feeds.append(name)
        for index, name in enumerate(node.outputs):
            proto.output.append(f"o{index}" if name else "")
        fetch = [name for name in proto.output if name]
        graph = helper.make_graph(
            [proto], "g", ports, [onnx.ValueInfoProto(name=name) for name in fetch], initializers
        )
        model = onnx.ModelProto(ir_version=self.model.proto.ir_version, graph=graph)
        model.opset_import.MergeFrom(self.model.proto.opset_import)
        threads = 0 if node.op_type in _HEAVY else 1
        session = new_session(model, folder=self.model.folder, threads=threads, arena=False)
        return session, feeds, fetch


def _is_embedded(array: Any) -> bool:
    return (
        isinstance(array, np.ndarray) and array.dtype.kind in "iub"
        and array.size <= _EMBEDDED
    )  # fmt: skip


def _kind(array: Any) -> Any:
    if isinstance(array, np.ndarray):
        return array.dtype.str, *_dims(array)
    if isinstance(array, list):
        return "sequence", _kind(array[0]) if array else None
    return None


def _dims(array: np.ndarray) -> list[int | None]:
    """Return open dims, so that nodes of other sizes share a session.

    Where sizes have a meaning they are said: of empty tensors, and of lists of sizes or axes, which
    ONNX's inference counts.
    """
    if array.ndim == 1 and array.dtype.kind == "i":
        return [int(array.size)]
    return [None if d else 0 for d in array.shape]


def _port(name: str, array: Any) -> onnx.ValueInfoProto:
    if isinstance(array, list):
        element = helper.np_dtype_to_tensor_dtype(array[0].dtype) if array else 1
        return helper.make_tensor_sequence_value_info(name, element, None)
    number = 8 if array.dtype.kind in "OUS" else helper.np_dtype_to_tensor_dtype(array.dtype)
    return helper.make_tensor_value_info(name, number, _dims(array))

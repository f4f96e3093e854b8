"""Builder: writes the nodes of a Site in the form that the target opset wants."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper

from graphfix.graph import Graph, Node, Value, dtypes
from graphfix.graph.writing import node_proto
from graphfix.rewrite.rule import Site

# made-up names start so, which no file contains by accident; the engine gives real ones
MARK = "%graphfix:"


class Builder:
    """Collects the nodes and constants of one site.

    `opset` is the one to write for: attributes that became inputs (axes, split, clip bounds) are
    written as that opset has them. Values are names, of the graph or made up here.
    """

    def __init__(self, node: Node, graph: Graph) -> None:
        self.node = node
        self.graph = graph
        self.opset: int = graph.model.emit_opset
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._count = 0

    # ------------------------------------------------------------------ reading the node

    def given(self, index: int) -> bool:
        """Whether the node has an input at this position."""
        return index < len(self.node.inputs) and self.node.inputs[index] != ""

    # ------------------------------------------------------------------ writing

    def _fresh(self) -> str:
        self._count += 1
        return f"{MARK}{self._count}"

    def op(self, op_type: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add a node with one output and return its name. Attributes of None are left out."""
        return self.multi(op_type, 1, *inputs, domain=domain, **attributes)[0]

    def multi(
        self, op_type: str, outputs: int, *inputs: str, domain: str = "", **attributes: Any
    ) -> list[str]:
        """Add a node with several outputs and return their names."""
        names = [self._fresh() for _ in range(outputs)]
        kept = {k: v for k, v in attributes.items() if v is not None}
        self._nodes.append(
            onnx.helper.make_node(op_type, list(inputs), names, domain=domain, **kept)
        )
        return names

    def copy(self, node: Node, inputs: Sequence[str] | None = None, **changes: Any) -> list[str]:
        """Add a copy of a node with other inputs or attributes; an attribute of None is dropped."""
        proto = onnx.NodeProto()
        proto.CopyFrom(node_proto(node))
        proto.name = ""
        names = [self._fresh() if name else "" for name in node.outputs]
        del proto.output[:]
        proto.output.extend(names)
        if inputs is not None:
            del proto.input[:]
            proto.input.extend(inputs)
        kept = [a for a in proto.attribute if a.name not in changes]
        del proto.attribute[:]
        proto.attribute.extend(kept)
        proto.attribute.extend(
            onnx.helper.make_attribute(k, v) for k, v in changes.items() if v is not None
        )
        self._nodes.append(proto)
        return names

    def constant(self, array: Any, dtype: str | None = None) -> str:
        """Add a constant and return its name; `dtype` as this product spells it (`float32`)."""
        data = np.asarray(array)
        if dtype is not None:
            if dtype == "bfloat16":
                tensor = onnx.helper.make_tensor(
                    "", onnx.TensorProto.BFLOAT16, data.shape, data.reshape(-1).tolist()
                )
                return self._keep(tensor)
            number = dtypes.numpy_dtype(dtypes.NUMBERS[dtype])
            if number is None:
                raise ValueError(f"no numpy dtype for {dtype}")
            data = data.astype(number)
        return self._keep(onnx.numpy_helper.from_array(data))

    def _keep(self, tensor: onnx.TensorProto) -> str:
        tensor.name = self._fresh()
        self._constants.append(tensor)
        return str(tensor.name)

    def ints(self, *numbers: int) -> str:
        """Add an int64 vector and return its name."""
        return self.constant(np.array(numbers, np.int64))

    def scalar(self, number: float, like: Value | str | None) -> str:
        """Add a scalar of the dtype of a value (or of a dtype by name)."""
        dtype = like if isinstance(like, str) else (like.dtype if like is not None else None)
        if dtype is None:
            raise ValueError("the dtype is not known")
        return self.constant(np.array(number), dtype)

    # ------------------------------------------------- operators whose form changed with opsets

    def reduce(
        self, op_type: str, x: str, axes: Iterable[int] | None, keepdims: bool = True
    ) -> str:
        """Add a Reduce operator: axes as attribute or input, as the opset has it."""
        as_input = self.opset >= (13 if op_type == "ReduceSum" else 18)
        listed = list(axes) if axes is not None else None
        if as_input and listed is not None:
            return self.op(op_type, x, self.ints(*listed), keepdims=int(keepdims))
        return self.op(op_type, x, keepdims=int(keepdims), axes=listed)

    def squeeze(self, x: str, axes: Iterable[int]) -> str:
        """Add a Squeeze."""
        return self._axes("Squeeze", x, list(axes))

    def unsqueeze(self, x: str, axes: Iterable[int]) -> str:
        """Add an Unsqueeze."""
        return self._axes("Unsqueeze", x, list(axes))

    def _axes(self, op_type: str, x: str, axes: list[int]) -> str:
        if self.opset >= 13:
            return self.op(op_type, x, self.ints(*axes))
        return self.op(op_type, x, axes=axes)

    def split(self, x: str, sizes: Sequence[int], axis: int) -> list[str]:
        """Add a Split into the given sizes."""
        if self.opset >= 13:
            return self.multi("Split", len(sizes), x, self.ints(*sizes), axis=axis)
        return self.multi("Split", len(sizes), x, split=list(sizes), axis=axis)

    def slice(
        self, x: str, starts: Sequence[int], ends: Sequence[int], axes: Sequence[int],
        steps: Sequence[int] | None = None,
    ) -> str:  # fmt: skip
        """Add a Slice with constant bounds (opset 10 and up)."""
        inputs = [x, self.ints(*starts), self.ints(*ends), self.ints(*axes)]
        if steps is not None:
            inputs.append(self.ints(*steps))
        return self.op("Slice", *inputs)

    def reshape(self, x: str, dims: Sequence[int]) -> str:
        """Add a Reshape to constant dims (0 keeps, -1 infers)."""
        return self.op("Reshape", x, self.ints(*dims))

    def cast(self, x: str, dtype: str) -> str:
        """Add a Cast."""
        return self.op("Cast", x, to=dtypes.NUMBERS[dtype])

    # ------------------------------------------------------------------ finishing

    @property
    def last(self) -> onnx.NodeProto:
        """The node that was added last, which may still be changed."""
        return self._nodes[-1]

    def site(self, replace: Mapping[str, str] | str, drop: Sequence[Node] | None = None) -> Site:
        """Return the site. A single name replaces the node's first output."""
        mapping = {self.node.outputs[0]: replace} if isinstance(replace, str) else dict(replace)
        return Site(
            tuple(drop or (self.node,)), tuple(self._nodes), tuple(self._constants), mapping
        )

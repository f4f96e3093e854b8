"""Faults for bench_compare and its tests: one wrong node in a model, of many kinds.

A fault changes one node of the main graph, or the value that it gives, as a defect of a converter,
a rewrite or an export would. It returns whether it applies to the node.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Rng = np.random.Generator
Fault = Callable[[onnx.GraphProto, onnx.NodeProto, Rng], bool]


# ---------------------------------------------------------------------- how a node is changed


def _after(graph: onnx.GraphProto, node: onnx.NodeProto, *nodes: onnx.NodeProto) -> bool:
    """Give the node's value through `nodes`, whose first input and last output are left empty."""
    output = node.output[0]
    if not output:
        return False
    node.output[0] = nodes[0].input[0] = f"{output}_right"
    nodes[-1].output[0] = output
    position = next(i for i, n in enumerate(graph.node) if n is node or n == node) + 1
    for offset, extra in enumerate(nodes):
        graph.node.insert(position + offset, extra)
    return True


def _constant(graph: onnx.GraphProto, array: object, dtype: object = np.float32) -> str:
    name = f"fault_{len(graph.initializer)}"
    graph.initializer.append(numpy_helper.from_array(np.asarray(array, dtype), name))
    return name


def _array(graph: onnx.GraphProto, node: onnx.NodeProto, index: int) -> np.ndarray | None:
    """Return an input that is constant: a weight, or what a Constant gives."""
    name = node.input[index] if index < len(node.input) else ""
    for tensor in graph.initializer:
        if name and tensor.name == name:
            return numpy_helper.to_array(tensor)
    for maker in graph.node:
        if name and maker.op_type == "Constant" and maker.output[0] == name:
            value = next((a.t for a in maker.attribute if a.name == "value"), None)
            return None if value is None else numpy_helper.to_array(value)
    return None


def _private(
    graph: onnx.GraphProto, node: onnx.NodeProto, index: int, change: Callable[[np.ndarray], object]
) -> bool:
    """Give the node a changed copy of one of its constants."""
    array = _array(graph, node, index)
    if array is None or not array.size:
        return False
    node.input[index] = _constant(graph, change(array.copy()), array.dtype)
    return True


def _value(node: onnx.NodeProto, name: str) -> object:
    found = next((a for a in node.attribute if a.name == name), None)
    return None if found is None else helper.get_attribute_value(found)


def _attribute(node: onnx.NodeProto, name: str, value: object) -> bool:
    found = next((a for a in node.attribute if a.name == name), None)
    if found is not None:
        if helper.get_attribute_value(found) == value:
            return False
        node.attribute.remove(found)
    node.attribute.append(helper.make_attribute(name, value))
    return True


_FLOAT_OPS = {"MatMul", "Conv", "Gemm", "Add", "Mul", "Sub", "Div", "Tanh", "LSTM", "GRU", "RNN",
              "Softmax", "Resize", "LayerNormalization", "BatchNormalization", "ConvTranspose",
              "Sigmoid", "Relu", "HardSigmoid", "AveragePool", "ReduceMean"}  # fmt: skip


# ---------------------------------------------------------------------- faults


def scale(graph: onnx.GraphProto, node: onnx.NodeProto, rng: Rng) -> bool:
    if node.op_type not in _FLOAT_OPS:
        return False
    factor = _constant(graph, 1.01)
    return _after(graph, node, helper.make_node("Mul", ["", factor], [""], "fault"))


def half(graph: onnx.GraphProto, node: onnx.NodeProto, rng: Rng) -> bool:
    if node.op_type not in _FLOAT_OPS:
        return False
    down = helper.make_node("Cast", [""], ["fault_half"], "fault_down", to=TensorProto.FLOAT16)
    up = helper.make_node("Cast", ["fault_half"], [""], "fault_up", to=TensorProto.FLOAT)
    return _after(graph, node, down, up)


def truncated(graph: onnx.GraphProto, node: onnx.NodeProto, rng: Rng) -> bool:
    """A value that went through integers: what is behind the point is gone."""
    if node.op_type not in _FLOAT_OPS:
        return False
    down = helper.make_node("Cast", [""], ["fault_int"], "fault_down", to=TensorProto.INT32)
    up = helper.make_node("Cast", ["fault_int"], [""], "fault_up", to=TensorProto.FLOAT)
    return _after(graph, node, down, up)


def nan_source(graph: onnx.GraphProto, node: onnx.NodeProto, rng: Rng) -> bool:
    if node.op_type not in ("Relu", "Tanh", "Erf", "Sigmoid", "Exp", "Elu", "Softplus",
                            "HardSigmoid", "HardSwish"):  # fmt: skip
        return False
    node.op_type = "Log"
    del node.attribute[:]
    return True


def other_activation(graph: onnx.GraphProto, node: onnx.NodeProto, rng: Rng) -> bool:
    swap = {"Relu": "Elu", "Tanh": "Softsign", "Erf": "Tanh", "Sigmoid": "HardSigmoid",
            "Elu": "Selu", "LeakyRelu": "Relu", "HardSigmoid": "Sigmoid",
            "HardSwish": "Relu"}  # fmt: skip
    if node.op_type not in swap:
        return False
    node.op_type = swap[node.op_type]
    del node.attribute[:]
    return True


def shifted_index(graph: onnx.GraphProto, node: onnx.NodeProto, rng: Rng) -> bool:
    if node.op_type != "Gather":
        return False
    if _array(graph, node, 1) is not None:
        return _private(graph, node, 1, lambda a: a + 1)
    one = _constant(graph, 1, np.int64)
    position = next(i for i, n in enumerate(graph.node) if n == node)
    source = node.input[1]
    node.input[1] = "fault_ids"  # -1 is the last row
    graph.node.insert(position, helper.make_node("Cast", [source], ["fault_wide"], "fault_cast",
                                                 to=TensorProto.INT64))  # fmt: skip
    shift = helper.make_node("Sub", ["fault_wide", one], ["fault_ids"], "fault")
    graph.node.insert(position + 1, shift)
    return True


def slice_off_by_one(graph: onnx.GraphProto, node: onnx.NodeProto, rng: Rng) -> bool:
    if node.op_type != "Slice" or len(node.input) < 3:
        return False
    starts = _array(graph, node, 1)
    if starts is None:
        return False
    step = -1 if (starts > 0).all() else 1
    huge = np.iinfo(np.int32).max

    def shift(array: np.ndarray) -> np.ndarray:
        return np.where(np.abs(array) < huge, array + step, array)

    return _private(graph, node, 1, shift) and _private(graph, node, 2, shift)


def swapped_inputs(graph: onnx.GraphProto, node: onnx.NodeProto, rng: Rng) -> bool:
    pairs = {"Sub": (0, 1), "Div": (0, 1), "Where": (1, 2), "Less": (0, 1), "Concat": (0, 1),
             "Greater": (0, 1), "Pow": (0, 1), "LSTM": (1, 2), "MatMul": (0, 1)}  # fmt: skip
    if node.op_type not in pairs:
        return False
    i, j = pairs[node.op_type]
    if j >= len(node.input) or node.input[i] == node.input[j]:
        return False
    node.input[i], node.input[j] = node.input[j], node.input[i]
    return True


def dropped_bias(graph: onnx.GraphProto, node: onnx.NodeProto, rng: Rng) -> bool:
    if node.op_type in ("Conv", "Gemm", "ConvTranspose") and len(node.input) == 3:
        del node.input[2]
        return True
    if node.op_type in ("LSTM", "GRU", "RNN"):
        return _private(graph, node, 3, np.zeros_like)
    if node.op_type == "Add":
        for index in (1, 0):
            array = _array(graph, node, index)
            if array is not None and max(array.shape, default=0) == array.size > 1:
                return _private(graph, node, index, np.zeros_like)
    return False


def wrong_axis(graph: onnx.GraphProto, node: onnx.NodeProto, rng: Rng) -> bool:
    axis = _value(node, "axis")
    if node.op_type in ("Softmax", "LogSoftmax"):
        return axis in (-1, 2, 3) and _attribute(node, "axis", 1)
    if node.op_type in ("ReduceMean", "ReduceSum", "ReduceMax", "ReduceL2"):
        if _value(node, "axes") is not None:
            return _attribute(node, "axes", [0])
        return _private(graph, node, 1, np.zeros_like)
    if node.op_type == "Concat":
        return axis not in (None, 0) and _attribute(node, "axis", 0)
    if node.op_type == "CumSum":
        return _private(graph, node, 1, np.zeros_like)
    return False


def wrong_perm(graph: onnx.GraphProto, node: onnx.NodeProto, rng: Rng) -> bool:
    perm = _value(node, "perm")
    if node.op_type != "Transpose" or not isinstance(perm, list) or len(perm) < 2:
        return False
    i, j = sorted(rng.choice(len(perm), 2, replace=False))
    perm[i], perm[j] = perm[j], perm[i]
    return _attribute(node, "perm", perm)


def epsilon(graph: onnx.GraphProto, node: onnx.NodeProto, rng: Rng) -> bool:
    if node.op_type in ("LayerNormalization", "BatchNormalization", "InstanceNormalization"):
        return _attribute(node, "epsilon", 1e-3)
    if node.op_type == "Add":
        for index in (1, 0):
            array = _array(graph, node, index)
            if array is not None and array.size == 1 and 0 < float(array.reshape(-1)[0]) < 0.01:
                return _private(graph, node, index, lambda a: a * 100)
    return False


def one_weight(graph: onnx.GraphProto, node: onnx.NodeProto, rng: Rng) -> bool:
    def change(array: np.ndarray) -> np.ndarray:
        array.flat[rng.integers(array.size)] += max(0.5, 5 * float(np.abs(array).std()))
        return array

    if node.op_type not in ("MatMul", "Conv", "Gemm", "LSTM", "ConvTranspose"):
        return False
    return _private(graph, node, 1, change)


def flipped_kernel(graph: onnx.GraphProto, node: onnx.NodeProto, rng: Rng) -> bool:
    """A kernel read in the other order: correlation taken for convolution."""
    if node.op_type not in ("Conv", "ConvTranspose"):
        return False
    array = _array(graph, node, 1)
    if array is None or max(array.shape[2:], default=1) == 1:
        return False
    return _private(graph, node, 1, lambda a: np.flip(a, tuple(range(2, a.ndim))))


def transposed_weight(graph: onnx.GraphProto, node: onnx.NodeProto, rng: Rng) -> bool:
    array = _array(graph, node, 1) if node.op_type in ("MatMul", "Gemm") else None
    if array is None or array.ndim != 2 or array.shape[0] != array.shape[1]:
        return False
    return _private(graph, node, 1, lambda a: a.T.copy())


def wrong_padding(graph: onnx.GraphProto, node: onnx.NodeProto, rng: Rng) -> bool:
    """All padding at one end, as SAME_LOWER taken for SAME_UPPER."""
    pads = _value(node, "pads")
    if node.op_type not in ("Conv", "MaxPool", "AveragePool") or not isinstance(pads, list):
        return False
    ends = len(pads) // 2
    total = [pads[i] + pads[ends + i] for i in range(ends)]
    return _attribute(node, "pads", [0] * ends + total)


def wrong_attribute(graph: onnx.GraphProto, node: onnx.NodeProto, rng: Rng) -> bool:
    changes: dict[str, tuple[str, object]] = {
        "LeakyRelu": ("alpha", 0.02),
        "AveragePool": ("count_include_pad", 1),
        "Resize": ("coordinate_transformation_mode", "asymmetric"),
        "GRU": ("linear_before_reset", 0),
        "Pad": ("mode", "edge"),
        "Elu": ("alpha", 0.9),
        "Gemm": ("alpha", 0.99),
        "HardSigmoid": ("alpha", 0.25),
    }
    return node.op_type in changes and _attribute(node, *changes[node.op_type])


def wrong_constant(graph: onnx.GraphProto, node: onnx.NodeProto, rng: Rng) -> bool:
    for index in {"Pow": (1,), "Clip": (2,), "Div": (1,), "Mul": (1, 0), "Sub": (1, 0),
                  "Max": (1,), "Min": (1,)}.get(node.op_type, ()):  # fmt: skip
        array = _array(graph, node, index)
        if array is not None and array.dtype.kind == "f":
            return _private(graph, node, index, lambda a: a * 1.05)
    return False


FAULTS: dict[str, Fault] = {
    "scale": scale,
    "shifted index": shifted_index,
    "swapped inputs": swapped_inputs,
    "dropped bias": dropped_bias,
    "wrong axis": wrong_axis,
    "epsilon": epsilon,
    "NaN source": nan_source,
    "wrong perm": wrong_perm,
    "slice off by one": slice_off_by_one,
    "half precision": half,
    "truncated to integers": truncated,
    "other activation": other_activation,
    "one weight": one_weight,
    "flipped kernel": flipped_kernel,
    "transposed weight": transposed_weight,
    "wrong padding": wrong_padding,
    "wrong attribute": wrong_attribute,
    "wrong constant": wrong_constant,
}


def plant(proto: onnx.ModelProto, fault: Fault, rng: Rng) -> Iterator[tuple[onnx.ModelProto, str]]:
    """Yield (a copy with the fault at one node, what reports call the node), in random order.

    Reports call a node by its name, one without by its first output.
    """
    changed = None
    for index in map(int, rng.permutation(len(proto.graph.node))):
        node = proto.graph.node[index]
        if node.op_type in ("Constant", "Shape", "Identity") or not node.output[0]:
            continue
        if changed is None:
            changed = onnx.ModelProto()
            changed.CopyFrom(proto)
            del changed.graph.value_info[:]
        if fault(changed.graph, changed.graph.node[index], rng):
            yield changed, node.name or node.output[0]
            changed = None
        elif changed.graph.node[index] != node:
            changed = None

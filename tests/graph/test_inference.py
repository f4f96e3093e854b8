"""Shapes and dtypes without weights, bound inputs, and constant propagation."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper
import onnxruntime
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

import graphfix
from graphfix import UsageError
from graphfix.graph import Model, contradiction, infer, settle
from tests.builders import BOOL, FLOAT, INT64, external, model_of, text_model, write


def inferred(proto: onnx.ModelProto, **shapes: tuple[int, ...]) -> Model:
    model = Model(proto)
    infer(model, shapes)
    return model


def kind(model: Model, name: str) -> tuple[Any, Any]:
    value = model.graph.values[name]
    return value.dtype, value.shape


CONV = """
g (float[n, 3, h, w] x) => (float[a, b] y) {
    c = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1], strides = [2, 2]> (x, k)
    p = GlobalAveragePool (c)
    y = Flatten (p)
}
"""


def conv() -> onnx.ModelProto:
    proto = text_model(CONV)
    kernel = onnx.numpy_helper.from_array(np.zeros((8, 3, 3, 3), np.float32), "k")
    proto.graph.initializer.append(kernel)
    return proto


# ---------------------------------------------------------------------- shapes and dtypes


def test_shapes_and_dtypes_of_a_convolution() -> None:
    model = inferred(conv())
    assert kind(model, "p") == ("float32", ("n", 8, 1, 1))
    assert model.graph.values["c"].shape[:2] == ("n", 8)
    assert all(not isinstance(d, int) for d in model.graph.values["c"].shape[2:])


def test_bound_input() -> None:
    model = inferred(conv(), x=(2, 3, 32, 48))
    assert kind(model, "x") == ("float32", (2, 3, 32, 48))
    assert kind(model, "c") == ("float32", (2, 8, 16, 24))
    assert kind(model, "y") == ("float32", (2, 8))


def test_bound_input_overrides_traced_output_dims() -> None:
    proto = text_model("g (float[n, 3] x) => (float[1, 3] y) { y = Relu(x) }")
    assert kind(inferred(proto, x=(5, 3)), "y") == ("float32", (5, 3))


def test_inference_changes_no_byte_of_the_model() -> None:
    proto = conv()
    before = proto.SerializeToString()
    inferred(proto, x=(1, 3, 8, 8))
    assert proto.SerializeToString() == before


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        ({"x": (1, 3, 8)}, ["--shape x=1,3,8", "4 dims"]),
        ({"x": (1, 4, 8, 8)}, ["--shape x=1,4,8,8", "fixed"]),
        ({"X1": (1,)}, ["--shape X1", "no input", "x"]),
        ({"k": (8, 3, 3, 3)}, ["--shape k", "no input"]),
    ],
)
def test_shape_that_does_not_fit(shapes: dict[str, tuple[int, ...]], words: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        inferred(conv(), **shapes)
    assert all(word in str(caught.value) for word in words)


def test_scalar_binding() -> None:
    proto = text_model("g (float x) => (float y) { y = Relu(x) }")
    assert kind(inferred(proto, x=()), "y") == ("float32", ())
    with pytest.raises(UsageError, match="0 dims"):
        inferred(proto, x=(1,))


def test_input_without_declared_rank_takes_any_shape() -> None:
    proto = text_model("g (float[2] x) => (float[2] y) { y = Relu(x) }")
    proto.graph.input[0].type.tensor_type.ClearField("shape")
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    assert kind(inferred(proto, x=(4, 5)), "y") == ("float32", (4, 5))


def test_made_up_symbols_are_unknown_dims() -> None:
    proto = text_model("""
        g (float[n, m] x) => (int64[r, k] y) { y = NonZero(x) }""")
    shape = inferred(proto).graph.values["y"].shape
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    assert inferred(proto).graph.values["y"].shape[1] is None
    assert shape is not None and len(shape) == 2


def test_external_weights_are_not_needed(tmp_path: Path) -> None:
    external(tmp_path, "nowhere.bin", count=4)
    model = graphfix.load(tmp_path / "model.onnx")
    infer(model)
    assert kind(model, "w") == ("float32", (4,)) and kind(model, "y") == ("float32", (4,))


def test_large_weights_are_left_out_and_shapes_still_known() -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["m"]),
        helper.make_node("Reshape", ["m", "s"], ["y"]),
    ]
    weights = {"w": np.zeros((64, 1 << 15), np.float32), "s": np.int64([2, -1])}
    model = inferred(model_of(nodes, {"x": ["n", 64]}, {"y": None}, weights), x=(4, 64))
    assert kind(model, "m") == ("float32", (4, 1 << 15))
    assert kind(model, "y") == ("float32", (2, 2 << 15))


def test_unsorted_model() -> None:
    proto = conv()
    nodes = list(proto.graph.node)
    del proto.graph.node[:]
    proto.graph.node.extend(reversed(nodes))
    model = inferred(proto, x=(2, 3, 32, 48))
    assert kind(model, "c") == ("float32", (2, 8, 16, 24))
    assert kind(model, "y") == ("float32", (2, 8))


def test_unsorted_shape_arithmetic() -> None:
    proto = text_model("""
        g (float[2, 3, 4] x) => (float[a, b] y) {
            y = Reshape(x, target)
            target = Concat <axis = 0> (first, rest)
            first = Gather <axis = 0> (dims, zero)
            dims = Shape(x)
            zero = Constant <value = int64[1] {0}> ()
            rest = Constant <value = int64[1] {-1}> ()
        }""")
    assert kind(inferred(proto), "y") == ("float32", (2, 12))


def test_long_flat_tensor_costs_no_memory(tmp_path: Path) -> None:
    """C++ data propagation would make a message of every element of a 1-D tensor."""
    pytest.importorskip("resource")
    node = helper.make_node("Add", ["x", "x"], ["y"])
    path = write(model_of([node], {"x": [2**31]}, {"y": [2**31]}), tmp_path / "flat.onnx")
    code = (
        "import resource, sys, graphfix; from graphfix.graph import infer\n"
        "resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))\n"
        "model = graphfix.load(sys.argv[1]); infer(model)\n"
        "assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 1 << 20\n"
        "assert model.graph.values['y'].shape == (2**31,)"
    )
    folder = Path(graphfix.__file__).parent.parent
    subprocess.run([sys.executable, "-c", code, path], cwd=folder, check=True, timeout=60)


def test_cycle_leaves_types_unknown_and_ends() -> None:
    nodes = [
        helper.make_node("Add", ["x", "b"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Neg", ["x"], ["y"]),
    ]
    model = inferred(model_of(nodes, {"x": [2]}, {"y": [2]}))
    assert kind(model, "y") == ("float32", (2,))
    assert model.graph.values["a"].known is None


def test_contradicting_declaration_does_not_stop_the_rest() -> None:
    proto = text_model("""
        g (float[2, 3] x) => (float[2, 3] y) {
            a = Relu(x)
            y = Neg(a)
        }""")
    proto.graph.value_info.append(helper.make_tensor_value_info("a", INT64, [7]))
    assert inferred(proto).graph.values["y"].shape == (2, 3)


def test_types_inside_branches() -> None:
    proto = text_model("""
        g (bool c, float[2, 3] x) => (float[2, 3] y) {
            a = Transpose <perm = [1, 0]> (x)
            y = If (c) <
                then_branch = t () => (float[m, n] t) {
                    d = Cast <to = 10> (a)
                    t = Cast <to = 1> (d)
                },
                else_branch = e () => (float[m, n] e) { e = Relu(a) }
            >
        }""")
    model = inferred(proto)
    branch = model.graph.owners[0].subgraphs[0][1]
    assert branch.values["d"].dtype == "float16" and branch.values["d"].shape == (3, 2)


def test_unknown_operator_leaves_the_type_open() -> None:
    nodes = [
        helper.make_node("Mystery", ["x"], ["a"], domain="my.domain"),
        helper.make_node("Relu", ["a"], ["y"]),
    ]
    proto = model_of(nodes, {"x": [2]}, {"y": None}, imports={"my.domain": 1})
    model = inferred(proto)
    assert kind(model, "a") == (None, None)


# ---------------------------------------------------------------------- constant propagation


def assert_computed_as_onnx_does(
    nodes: Sequence[onnx.NodeProto],
    outputs: Sequence[str],
    constants: dict[str, Any] | None = None,
    opset: int = 17,
    reference: str = "onnxruntime",
) -> None:
    """Compare the `known` values with what a runtime computes; x is a float input of 2,3,4."""
    nodes = [*nodes, helper.make_node("Relu", ["x"], ["used"])]
    proto = model_of(
        nodes,
        {"x": [2, 3, 4]},
        {"used": [2, 3, 4]},
        {name: np.asarray(value) for name, value in (constants or {}).items()},
        opset=opset,
    )
    model = inferred(proto)
    runnable = onnx.ModelProto()
    runnable.CopyFrom(proto)
    runnable.graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs)
    data = {"x": np.zeros((2, 3, 4), np.float32)}
    if reference == "onnx":
        wanted = ReferenceEvaluator(proto).run(list(outputs), data)
    else:
        for info in runnable.graph.output:
            value = model.graph.values[info.name]
            if info.name != "used":
                number = helper.np_dtype_to_tensor_dtype(value.known.dtype)
                info.type.tensor_type.elem_type = number
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = 4
        session = onnxruntime.InferenceSession(runnable.SerializeToString(), options)
        wanted = session.run(list(outputs), data)
    for name, want in zip(outputs, wanted, strict=True):
        value = model.graph.values[name]
        assert value.known is not None, f"{name} was not computed"
        assert value.is_folded and value.shape == want.shape
        assert value.known.dtype == want.dtype, name
        np.testing.assert_array_equal(value.known, want, err_msg=name)


def test_shape_gather_concat_reshape() -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["dims"]),
        helper.make_node("Gather", ["dims", "last"], ["four"], axis=0),
        helper.make_node("Unsqueeze", ["four", "axis"], ["four_1"]),
        helper.make_node("Concat", ["minus", "four_1"], ["target"], axis=0),
    ]
    constants = {"last": np.int64(-1), "axis": np.int64([0]), "minus": np.int64([-1])}
    assert_computed_as_onnx_does(nodes, ["dims", "four", "target"], constants)
    reshape = helper.make_node("Reshape", ["x", "target"], ["y"])
    proto = model_of([*nodes, reshape], {"x": [2, 3, 4]}, {"y": None}, constants)
    assert kind(inferred(proto), "y") == ("float32", (6, 4))


def test_where_equal_constant_of_shape_expand() -> None:
    one = onnx.numpy_helper.from_array(np.int64([1]))
    nodes = [
        helper.make_node("ConstantOfShape", ["rank"], ["ones"], value=one),
        helper.make_node("Mul", ["ones", "minus"], ["minus_ones"]),
        helper.make_node("Equal", ["wanted", "minus_ones"], ["is_open"]),
        helper.make_node("Where", ["is_open", "ones", "wanted"], ["target"]),
    ]
    constants = {"rank": np.int64([3]), "minus": np.int64(-1), "wanted": np.int64([5, -1, -1])}
    assert_computed_as_onnx_does(nodes, ["ones", "is_open", "target"], constants)
    expand = helper.make_node("Expand", ["small", "target"], ["y"])
    constants["small"] = np.zeros((1, 3, 4), np.float32)
    proto = model_of([*nodes, expand], {"x": [2]}, {"y": None}, constants)
    assert kind(inferred(proto), "y") == ("float32", (5, 3, 4))


def test_constant_of_shape_without_value_is_float_zero() -> None:
    nodes = [helper.make_node("ConstantOfShape", ["dims"], ["zeros"])]
    assert_computed_as_onnx_does(nodes, ["zeros"], {"dims": np.int64([2, 2])})


@pytest.mark.parametrize(
    ("start", "limit", "delta"),
    [(0, 5, 1), (5, 0, -2), (3, 3, 1), (0, 5, -1), (-4, 9, 4)],
)
def test_integer_range(start: int, limit: int, delta: int) -> None:
    nodes = [helper.make_node("Range", ["start", "limit", "delta"], ["y"])]
    constants = {n: np.int64(v) for n, v in zip(_RANGE, (start, limit, delta), strict=True)}
    assert_computed_as_onnx_does(nodes, ["y"], constants)


_RANGE = ("start", "limit", "delta")


def test_float_range() -> None:
    nodes = [helper.make_node("Range", list(_RANGE), ["y"])]
    constants = {n: np.float32(v) for n, v in zip(_RANGE, (0.5, 4.5, 0.5), strict=True)}
    assert_computed_as_onnx_does(nodes, ["y"], constants)


def test_integer_division_truncates() -> None:
    nodes = [helper.make_node("Div", ["a", "b"], ["y"])]
    a, b = np.int64([7, -7, 7, -7, 0]), np.int64([2, 2, -2, -2, 5])
    assert_computed_as_onnx_does(nodes, ["y"], {"a": a, "b": b})
    assert_computed_as_onnx_does(nodes, ["y"], {"a": a.astype(np.int32), "b": b.astype(np.int32)})


def test_integer_division_of_large_numbers_truncates_too() -> None:
    nodes = [helper.make_node("Div", ["a", "b"], ["y"])]
    big = 2**62 + 1
    constants = {"a": np.int64([big, -big, -(2**63)]), "b": np.int64([2, 2, 3])}
    assert_computed_as_onnx_does(nodes, ["y"], constants)


def test_division_by_zero_stays_unknown() -> None:
    nodes = [
        helper.make_node("Div", ["a", "zero"], ["d"]),
        helper.make_node("Mod", ["a", "zero"], ["m"]),
    ]
    proto = model_of(
        nodes, {"x": [1]}, {"d": None, "m": None}, {"a": np.int64(1), "zero": np.int64(0)}
    )
    values = inferred(proto).graph.values
    assert values["d"].known is None and values["m"].known is None


def test_mod() -> None:
    nodes = [helper.make_node("Mod", ["a", "b"], ["y"])]
    constants = {"a": np.int64([7, -7, 7, -7]), "b": np.int64([3, 3, -3, -3])}
    assert_computed_as_onnx_does(nodes, ["y"], constants)
    fmod = [helper.make_node("Mod", ["a", "b"], ["y"], fmod=1)]
    assert_computed_as_onnx_does(fmod, ["y"], constants)


@pytest.mark.parametrize(
    ("start", "end", "step"),
    [
        (1, 3, 1),
        (-2, 2**63 - 1, 1),
        (0, -1, 2),
        (4, 0, -1),
        (-1, -(2**63), -1),
        (-1, -6, -2),
        (100, -100, -3),
        (3, 1, 1),
        (-100, 100, 1),
        (-100, -(2**63), -1),
    ],
)
def test_slice(start: int, end: int, step: int) -> None:
    nodes = [helper.make_node("Slice", ["data", "start", "end", "axis", "step"], ["y"])]
    constants = {
        "data": np.int64([10, 11, 12, 13, 14]),
        "start": np.int64([start]),
        "end": np.int64([end]),
        "axis": np.int64([0]),
        "step": np.int64([step]),
    }
    assert_computed_as_onnx_does(nodes, ["y"], constants)


def test_slice_of_several_axes_and_of_old_opsets() -> None:
    data = np.arange(12, dtype=np.int64).reshape(3, 4)
    nodes = [helper.make_node("Slice", ["data", "starts", "ends"], ["y"])]
    constants = {"data": data, "starts": np.int64([1, -3]), "ends": np.int64([3, -1])}
    assert_computed_as_onnx_does(nodes, ["y"], constants)
    old = [helper.make_node("Slice", ["data"], ["y"], starts=[1], ends=[3], axes=[-1])]
    assert_computed_as_onnx_does(old, ["y"], {"data": data}, opset=9)


def test_shape_with_start_and_end() -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["tail"], start=-2),
        helper.make_node("Shape", ["x"], ["middle"], start=1, end=-1),
        helper.make_node("Shape", ["x"], ["none"], start=5),
        helper.make_node("Size", ["x"], ["count"]),
    ]
    assert_computed_as_onnx_does(nodes, ["tail", "middle", "none", "count"])


def test_arithmetic_and_comparison() -> None:
    a, b = np.int64([[1, -2], [3, 4]]), np.int64([2, 3])
    binary = ("Add", "Sub", "Mul", "Equal", "Greater", "Less", "GreaterOrEqual", "LessOrEqual")
    nodes = [helper.make_node(op, ["a", "b"], [op]) for op in (*binary, "Min", "Max")]
    nodes += [helper.make_node(op, ["a"], [op]) for op in ("Neg", "Abs", "Identity", "Transpose")]
    nodes += [helper.make_node("Not", ["Greater"], ["Not"])]
    nodes += [helper.make_node(op, ["Less", "Not"], [op]) for op in ("And", "Or")]
    assert_computed_as_onnx_does(nodes, [n.output[0] for n in nodes], {"a": a, "b": b})


def test_float_arithmetic_and_casts() -> None:
    nodes = [
        helper.make_node("Div", ["a", "b"], ["d"]),
        helper.make_node("Floor", ["d"], ["f"]),
        helper.make_node("Ceil", ["d"], ["c"]),
        helper.make_node("Sqrt", ["b"], ["s"]),
        helper.make_node("Cast", ["d"], ["i"], to=INT64),
        helper.make_node("Cast", ["d"], ["t"], to=BOOL),
        helper.make_node("Cast", ["d"], ["h"], to=TensorProto.FLOAT16),
        helper.make_node("Cast", ["i"], ["back"], to=FLOAT),
    ]
    constants = {"a": np.float32([7.5, -7.5, 0, 1e-3]), "b": np.float32([2, 2, 3, 4])}
    assert_computed_as_onnx_does(nodes, [n.output[0] for n in nodes], constants)


def test_shape_operators() -> None:
    nodes = [
        helper.make_node("Reshape", ["m", "zero_minus"], ["reshaped"]),
        helper.make_node("Unsqueeze", ["m", "around"], ["unsqueezed"]),
        helper.make_node("Squeeze", ["unsqueezed"], ["squeezed"]),
        helper.make_node("Squeeze", ["unsqueezed", "minus"], ["squeezed_1"]),
        helper.make_node("Tile", ["m", "twice"], ["tiled"]),
        helper.make_node("Expand", ["v", "wide"], ["expanded"]),
        helper.make_node("Gather", ["m", "picks"], ["picked"], axis=1),
        helper.make_node("Concat", ["m", "m"], ["joined"], axis=-1),
        helper.make_node("Transpose", ["unsqueezed"], ["turned"], perm=[3, 0, 2, 1]),
    ]
    constants = {
        "m": np.arange(6, dtype=np.int64).reshape(2, 3),
        "v": np.int64([1, 2, 3]),
        "zero_minus": np.int64([0, -1, 1]),
        "around": np.int64([0, -1]),
        "minus": np.int64([-1]),
        "twice": np.int64([2, 1]),
        "wide": np.int64([2, 1, 3]),
        "picks": np.int64([[0, -1], [1, 1]]),
    }
    assert_computed_as_onnx_does(nodes, [n.output[0] for n in nodes], constants)


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.float32])
def test_reductions(dtype: type) -> None:
    nodes = [
        helper.make_node("ReduceSum", ["m", "axis"], ["sum"], keepdims=0),
        helper.make_node("ReduceSum", ["m"], ["sum_all"]),
        helper.make_node("ReduceSum", ["m"], ["same"], noop_with_empty_axes=1),
        helper.make_node("ReduceProd", ["m"], ["prod"], axes=[-1], keepdims=1),
        helper.make_node("ReduceMax", ["m"], ["max"], axes=[0], keepdims=0),
        helper.make_node("ReduceMin", ["m"], ["min"], keepdims=0),
    ]
    constants = {"m": np.arange(1, 7).reshape(2, 3).astype(dtype), "axis": np.int64([0])}
    assert_computed_as_onnx_does(nodes, [n.output[0] for n in nodes], constants)


def test_constant_spellings() -> None:
    nodes = [
        helper.make_node("Constant", [], ["i"], value_int=3),
        helper.make_node("Constant", [], ["is"], value_ints=[1, 2]),
        helper.make_node("Constant", [], ["f"], value_float=0.5),
        helper.make_node("Constant", [], ["fs"], value_floats=[0.5, 1.5]),
    ]
    assert_computed_as_onnx_does(nodes, ["i", "is", "f", "fs"], reference="onnx")


def test_what_depends_on_data_is_not_constant() -> None:
    proto = text_model("""
        g (float[2, 3] x, int64[1] i) => (int64[a] y, float[b] z) {
            dims = Shape(x)
            y = Gather(dims, i)
            z = RandomNormalLike(dims)
        }""")
    values = inferred(proto).graph.values
    assert values["dims"].is_constant and not values["y"].is_constant
    assert not values["z"].is_constant and values["y"].known is None


def test_shape_of_an_open_input_is_not_constant() -> None:
    proto = text_model("g (float[n, 3] x) => (int64[2] y) { y = Shape(x) }")
    assert not inferred(proto).graph.values["y"].is_constant
    assert inferred(proto, x=(4, 3)).graph.values["y"].known.tolist() == [4, 3]


def test_large_results_are_folded_but_not_computed() -> None:
    nodes = [
        helper.make_node("Expand", ["one", "dims"], ["e"]),
        helper.make_node("Add", ["x", "e"], ["y"]),
    ]
    constants = {"one": np.float32([1]), "dims": np.int64([100_000])}
    value = inferred(model_of(nodes, {"x": [1]}, {"y": None}, constants)).graph.values["e"]
    assert value.is_folded and value.known is None


@pytest.mark.parametrize(
    "node",
    [
        helper.make_node("Reshape", ["m", "bad"], ["y"]),
        helper.make_node("Gather", ["m", "far"], ["y"]),
        helper.make_node("Concat", ["m", "far"], ["y"], axis=0),
        helper.make_node("Expand", ["m", "bad"], ["y"]),
        helper.make_node("Transpose", ["m"], ["y"], perm=[5, 6]),
        helper.make_node("Squeeze", ["m", "far"], ["y"]),
        helper.make_node("Unsqueeze", ["m", "far"], ["y"]),
        helper.make_node("Add", ["m"], ["y"]),
        helper.make_node("Slice", ["m", "far"], ["y"]),
        helper.make_node("Range", ["far"], ["y"]),
        helper.make_node("Tile", ["m", "bad"], ["y"]),
        helper.make_node("ConstantOfShape", ["bad"], ["y"]),
        helper.make_node("Cast", ["m"], ["y"]),
    ],
    ids=lambda node: node.op_type,
)
def test_impossible_arithmetic_stays_unknown(node: onnx.NodeProto) -> None:
    constants = {"m": np.int64([[1, 2], [3, 4]]), "bad": np.int64([3, -7]), "far": np.int64([99])}
    proto = model_of([node], {"x": [1]}, {"y": None}, constants)
    assert inferred(proto).graph.values["y"].known is None


def test_edits_are_inferred_inside_branches_too() -> None:
    """A removed node no longer counts, and a computed shape in a branch tells its results."""
    model = Model(text_model("""g (bool c, float[2,6] x) => (float[A,B] y) {
        y = If (c) <
            then_branch = t () => (float[K,L] p) <int64[1] last = {1}, int64[1] rest = {-1}> {
                s = Shape(x)  n = Gather(s, last)  d = Concat<axis = 0>(n, rest)
                p = Reshape(x, d)
            },
            else_branch = e () => (float[M,N] q) { q = Transpose<perm = [1, 0]>(x) }
        >
    }"""))  # fmt: skip
    assert infer(model)
    branch = model.graph.owners[0].subgraphs[0][1]
    assert branch.values["p"].shape == (6, 2)
    node = branch.values["p"].producer
    assert node is not None
    branch.remove_node(node)
    branch.add_node(onnx.NodeProto(op_type="Relu", input=["x"], output=["p"]))
    settle(model)
    assert infer(model)
    assert branch.values["p"].shape == (2, 6)


def test_contradictions_in_branches_are_told() -> None:
    branch = """g (bool c, float[2,{0}] x) => (float[A,B] y) {{
        y = If (c) <
            then_branch = t () => (float[K,L] p) {{ p = MatMul(x, x) }},
            else_branch = e () => (float[M,N] q) {{ q = Relu(x) }}
        >
    }}"""
    assert contradiction(Model(text_model(branch.format(2)))) is None
    assert "dim" in (contradiction(Model(text_model(branch.format(3)))) or "").lower()

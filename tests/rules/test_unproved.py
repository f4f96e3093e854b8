"""Odd inputs on which a rule went wrong once: it has to be right, or silent, without a proof."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.numpy_helper
import onnxruntime
import pytest

from graphfix.rewrite import FixReport, fix
from graphfix.support import Target
from tests.builders import text_model

TARGET = Target.of(["Ascend310P3"])


def run(proto: onnx.ModelProto, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, inputs)


def unproved(model: onnx.ModelProto) -> FixReport:
    return fix(model, TARGET, verify="off")


def reasons(report: FixReport, rule: str) -> list[str]:
    return list(report.to_json()["rules"][rule]["missed"])


@pytest.mark.parametrize("scale, zero", [("float[1]", "uint8"), ("float", "uint8[1]")])
def test_scale_and_zero_point_of_different_rank(scale: str, zero: str) -> None:
    model = text_model(
        f"g (float[2,3] x) => (float[2,3] y) <{scale} s = {{0.5}}, {zero} z = {{7}}>"
        " { h = QuantizeLinear(x, s, z)  y = DequantizeLinear(h, s, z) }"
    )
    report = unproved(model)
    assert {"decompose/quantize_linear", "decompose/dequantize_linear"} <= set(report.fired())
    x = np.array([[-9, 0.25, 0.75], [1, 200, 3]], np.float32)
    fixed = run(report.model.to_proto(), {"x": x})
    np.testing.assert_array_equal(fixed[0], run(model, {"x": x})[0])


@pytest.mark.parametrize(
    "text, rule",
    [
        (
            "g (uint8[3,0] a, uint8[0,2] b) => (int32[3,2] y) { y = MatMulInteger(a, b) }",
            "decompose/mat_mul_integer",
        ),
        (
            "g (uint8[1,0,5,5] a, uint8[2,0,3,3] b) => (int32[1,2,3,3] y)"
            " { y = ConvInteger(a, b) }",
            "decompose/conv_integer",
        ),
    ],
)
def test_sums_of_no_products_are_left(text: str, rule: str) -> None:
    assert reasons(unproved(text_model(text)), rule) == ["the sum has no products"]


def test_the_number_of_the_step_can_be_an_output() -> None:
    model = text_model(
        """
        g (float[2] x) => (float[2] y, int64 z) <int64 n = {3}, bool t = {1}, int64 i0 = {9}> {
            y, z = Loop (n, t, x, i0) <body = b (int64 i, bool c, float[2] s, int64 q) =>
                (bool d, float[2] r, int64 i) { d = Identity(c)  r = Add(s, x) }>
        }
        """
    )
    graph = unproved(model).model.to_proto().graph
    assert "Loop" not in {node.op_type for node in graph.node}
    # an initializer under the name of an output is none that a node gives
    assert not {o.name for o in graph.output} & {i.name for i in graph.initializer}
    last = next(node for node in graph.node if node.output[0] == "z")
    given = {i.name: onnx.numpy_helper.to_array(i) for i in graph.initializer}
    assert last.op_type == "Identity" and given[last.input[0]] == 2


def test_a_body_that_draws_numbers_is_not_copied() -> None:
    model = text_model(
        """
        g (float[2] x) => (float[2] y) <int64 n = {3}, bool t = {1}> {
            y = Loop (n, t, x) <body = b (int64 i, bool c, float[2] s) => (bool d, float[2] r) {
                d = Identity(c)  u = RandomUniformLike<seed = 1.0>(s)  r = Add(s, u) }>
        }
        """
    )
    missed = reasons(unproved(model), "decompose/loop")
    assert missed == ["a node of the body is random, and draws anew in each step"]


def test_a_scan_that_leaves_an_output_out_is_left() -> None:
    model = text_model(
        """
        g (float[2] a, float[3,2] x) => (float[2] y) {
            y = Scan <num_scan_inputs = 1, body = b (float[2] s, float[2] v) =>
                (float[2] r, float[2] u) { r = Add(s, v)  u = Mul(s, v) }> (a, x)
        }
        """
    )
    missed = reasons(unproved(model), "decompose/scan")
    assert missed == ["the body takes or gives another number of values"]


def test_a_one_sided_spectrum_that_is_cut_is_left() -> None:
    model = text_model(
        "g (float[2,5,2] x) => (float[2,4,1] y) <int64 n = {4}>"
        " { y = DFT<axis = 1, inverse = 1, onesided = 1>(x, n) }"
    )
    assert "engines disagree" in reasons(unproved(model), "decompose/dft")[0]


def test_infinities_pass_through_a_sum_of_exponentials() -> None:
    model = text_model(
        "g (double[3,2] x) => (double[3,1] y) { y = ReduceLogSumExp<axes = [-1]>(x) }"
    )
    report = unproved(model)
    assert "decompose/reduce_log_sum_exp" in report.fired()
    x = np.array([[-np.inf, -np.inf], [1, -np.inf], [np.inf, 1]])
    (y,) = run(report.model.to_proto(), {"x": x})
    np.testing.assert_array_equal(y, [[-np.inf], [1], [np.inf]])


def test_no_axes_to_crop_or_pad_are_left() -> None:
    node = onnx.helper.make_node("CenterCropPad", ["x", "s"], ["y"])
    node.attribute.append(onnx.AttributeProto(name="axes", type=onnx.AttributeProto.INTS))
    model = text_model("g (float[2] x, int64[0] s) => (float[2] y) { y = Relu(x) }", 18)
    model.graph.node[0].CopyFrom(node)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(0, np.int64), "s"))
    del model.graph.input[1]
    missed = reasons(unproved(model), "decompose/center_crop_pad")
    assert missed == ["no axis is named, or one twice"]


def test_doubles_that_runtimes_round_twice_are_not_folded() -> None:
    model = text_model(
        "g (float16[2] x) => (float16[2] y)"
        " { c = Constant<value = double[2] {1.000488282181322574615478515625, 2.0}>()"
        "  h = Cast<to = 10>(c)  y = Add(x, h) }"
    )
    proto = unproved(model).model.to_proto()
    assert "Cast" in {node.op_type for node in proto.graph.node}
    x = {"x": np.zeros(2, np.float16)}
    np.testing.assert_array_equal(run(proto, x)[0], run(model, x)[0])


def test_names_that_look_made_up() -> None:
    model = text_model(
        "g (float[2] a) => (float[2] b) { c = Gelu(a)  d = Gelu(c)  b = Gelu(d) }", 20
    )
    names = {"a": "%1", "c": "%2", "d": "%3"}
    for node in model.graph.node:
        node.input[0] = names.get(node.input[0], node.input[0])
        node.output[0] = names.get(node.output[0], node.output[0])
    model.graph.input[0].name = "%1"
    report = unproved(model)
    assert report.fired()["decompose/gelu"] == 3
    x = {"%1": np.array([-1.5, 0.5], np.float32)}
    fixed = run(report.model.to_proto(), x)
    np.testing.assert_allclose(fixed[0], run(model, x)[0], rtol=1e-5)


@pytest.mark.parametrize(
    "given",
    [
        "h = Identity(a)",
        "z = Constant<value = float {0.0}>()  h = Add(a, z)",
        "k = Neg(a)  l = SequenceConstruct(a, k)  i = Constant<value_int = 0>()"
        "  h = SequenceAt(l, i)",
        "l = Transpose<perm = [1, 0]>(a)  h = Transpose<perm = [1, 0]>(l)",
    ],
)
@pytest.mark.parametrize("verify", ["off", "site"])
def test_a_value_whose_name_a_loop_gives_to_another_does_not_take_over(
    given: str, verify: str
) -> None:
    model = text_model(
        f"""
        g (float[2,2] x, int64 n) => (float[2,2] y) <bool t = {{1}}> {{
            a = Abs(x)
            {given}
            y = Loop (n, t, h) <body = b (int64 i, bool c, float[2,2] a) =>
                (bool d, float[2,2] r) {{ d = Identity(c)  r = Add(a, h) }}>
        }}
        """
    )
    x = {"x": np.array([[1, -2], [3, 4]], np.float32), "n": np.array(2, np.int64)}
    fixed = fix(model, TARGET, verify=verify).model.to_proto()
    np.testing.assert_array_equal(run(fixed, x)[0], run(model, x)[0])


def test_a_name_that_a_loop_hides_does_not_stand_for_two_values() -> None:
    model = text_model(
        """
        g (float[2] x, int64 n) => (float[2] y) <bool t = {1}, int64 two = {2}> {
            a, h = Loop (two, t, x, x) <body = b0 (int64 i, bool c, float[2] p, float[2] q) =>
                (bool d, float[2] r, float[2] r) { d = Identity(c)  r = Neg(p) }>
            k = Exp(a)
            m = Loop (n, t, k) <body = b (int64 i, bool c, float[2] a) =>
                (bool d, float[2] s) { d = Identity(c)  s = Add(a, h) }>
            y = Add(m, k)
        }
        """
    )
    x = {"x": np.array([1, -2], np.float32), "n": np.array(2, np.int64)}
    fixed = unproved(model).model.to_proto()
    np.testing.assert_array_equal(run(fixed, x)[0], run(model, x)[0])


def test_the_names_in_a_body_are_not_those_of_a_proof() -> None:
    model = text_model(
        """
        g (float[2] x) => (float[2] y) <int64 n = {2}, bool t = {1}> {
            h = Abs(x)
            k = Neg(x)
            y = Loop (n, t, x) <body = b (int64 i, bool c, float[2] v0) => (bool d, float[2] v1) {
                d = Identity(c)  v2 = Add(v0, h)  v3 = Mul(v2, k)  v1 = Sub(v3, x) }>
        }
        """
    )
    report = fix(model, TARGET)
    assert report.fired()["decompose/loop"] == 1
    x = {"x": np.array([1, -2], np.float32)}
    np.testing.assert_array_equal(run(report.model.to_proto(), x)[0], run(model, x)[0])

"""The opset planner: what it chooses, how nodes get there, and what it refuses."""

from __future__ import annotations

import copy

import numpy as np
import onnx
import onnx.reference
import pytest
from onnx import TensorProto, helper

from graphfix.comparison.runtimes.onnxruntime import new_session
from graphfix.graph import Model, infer
from graphfix.rewrite import FixReport, fix
from graphfix.rewrite.opset import plan
from tests.builders import INT64, model_of, text_model
from tests.rewrite.toys import TABLES, TARGET, assert_same

HALF, DOUBLE = TensorProto.FLOAT16, TensorProto.DOUBLE


def one(
    op_type: str, inputs: list[str], kinds: dict, out: object, opset: int,
    constants: dict | None = None, **attributes: object,
) -> onnx.ModelProto:  # fmt: skip
    """A model of one node `op`, whose output is y."""
    node = helper.make_node(op_type, inputs, ["y"], name="op", **attributes)
    return model_of([node], kinds, {"y": out}, constants, opset)


def imported(proto: onnx.ModelProto) -> int:
    return next(e.version for e in proto.opset_import if e.domain == "")


def moved(proto: onnx.ModelProto, opset: int | None) -> FixReport:
    """The report of a model that got to the opset asked for, computing the same."""
    report = fix(proto, TARGET, opset=opset)
    assert report.plan.losses == []
    if opset is not None:
        assert imported(report.model.proto) == opset
    assert report.after.opset == imported(report.model.proto)
    assert_same(proto, report.model.proto, 1e-5)
    return report


# ---------------------------------------------------------------------- the plan


def test_an_opset_that_needs_nothing_stays() -> None:
    for opset in (11, 13, 15, 17):
        proto = text_model("g (float[2] x) => (float[2] y) { y = Relu(x) }", opset)
        report = fix(proto, TARGET)
        assert imported(report.model.proto) == opset
        assert report.plan.sentence() == f"opset {opset} stays"


@pytest.mark.parametrize("opset", [8, 9, 10])
def test_an_old_opset_that_needs_nothing_stays(opset: int) -> None:
    """CANN registers the older forms as well: what it takes is left alone."""
    proto = text_model("g (float[2] x) => (float[2] y) { y = Relu(x) }", opset)
    report = fix(proto, TARGET)
    assert report.before.verdict == "taken"
    assert imported(report.model.proto) == opset
    assert report.model.proto.graph == proto.graph


def test_the_fewest_rewrites_win() -> None:
    """LayerNormalization exists at 17 and 18 only; three of them outweigh one ReduceMean."""
    body = """g (float[2,4] x, float[4] s) => (float[2,1] y) {
        a = LayerNormalization(x, s)
        b = LayerNormalization(a, s)
        c = LayerNormalization(b, s)
        y = ReduceMean(c, axes)
    }"""
    proto = text_model(body.replace("float[2,1] y)", "float[2,1] y) <int64[1] axes = {1}>"), 21)
    model = Model(copy.deepcopy(proto))
    infer(model)
    chosen = plan(model, TARGET, TABLES)
    assert chosen.source == 21
    assert set(chosen.costs) <= set(range(11, 19)) and 17 in chosen.costs
    assert chosen.costs[chosen.target] == min(chosen.costs.values())
    # below 17 each LayerNormalization needs a rewrite
    assert chosen.costs[16] >= 3 and chosen.costs[chosen.target] <= 1
    assert chosen.target in (17, 18)
    assert f"21 -> {chosen.target}" in chosen.sentence()


def test_forced_opset_is_the_only_candidate() -> None:
    proto = text_model("g (float[2] x) => (float[2] y) { y = Relu(x) }", 20)
    for opset in (11, 14, 18):
        report = fix(proto, TARGET, opset=opset)
        assert imported(report.model.proto) == opset
        assert list(report.plan.costs) == [opset]
        assert_same(proto, report.model.proto)


def test_other_domains_keep_their_opset() -> None:
    node = helper.make_node("Relu", ["x"], ["a"], name="relu")
    custom = helper.make_node("Mine", ["a"], ["y"], name="mine", domain="com.example")
    proto = model_of([node, custom], {"x": [2]}, {"y": [2]}, opset=20, imports={"com.example": 7})
    after = fix(proto, TARGET).model.proto
    assert {e.domain: e.version for e in after.opset_import}["com.example"] == 7
    assert imported(after) <= 18


# ---------------------------------------------------------------------- downwards

AXES = {"axes": np.array([1])}
SAMPLES = {
    "Relu": text_model("g (float[2,3] x) => (float[2,3] y) { y = Relu(x) }"),
    "Add": text_model("g (float[2,3] x, float[3] z) => (float[2,3] y) { y = Add(x, z) }"),
    "Transpose": text_model(
        "g (float[2,3] x) => (float[3,2] y) { y = Transpose<perm = [1, 0]>(x) }"
    ),
    "Reshape": text_model(
        "g (float[2,3] x) => (float[3,2] y) <int64[2] d = {3, 2}> { y = Reshape(x, d) }"
    ),
    "Cast": text_model("g (float[2,3] x) => (int64[2,3] y) { y = Cast<to = 7>(x) }"),
    "Gemm": text_model(
        "g (float[2,3] a, float[3,4] b) => (float[2,4] y) { y = Gemm(a, b) }"
    ),
    "Conv": text_model(
        "g (float[1,3,6,6] x, float[4,3,3,3] w) => (float[1,4,4,4] y) { y = Conv(x, w) }"
    ),
    "MaxPool": text_model(
        "g (float[1,3,6,6] x) => (float[1,3,3,3] y) "
        "{ y = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(x) }"
    ),
    "AveragePool": text_model(
        "g (float[1,3,6,6] x) => (float[1,3,3,3] y) "
        "{ y = AveragePool<kernel_shape = [2, 2], strides = [2, 2]>(x) }"
    ),
    "Equal": text_model("g (int64[3] x, int64[3] z) => (bool[3] y) { y = Equal(x, z) }"),
    "Softmax": text_model("g (float[2,3] x) => (float[2,3] y) { y = Softmax<axis = 1>(x) }"),
    "Flatten": text_model("g (float[2,3,4] x) => (float[2,12] y) { y = Flatten(x) }"),
}  # fmt: skip


@pytest.mark.parametrize("opset", [19, 20, 21, 23])
@pytest.mark.parametrize("target", [13, 15, 17, 18])
@pytest.mark.parametrize("op_type", SAMPLES)
def test_operators_that_did_not_change_get_a_new_label(
    op_type: str, opset: int, target: int
) -> None:
    proto = copy.deepcopy(SAMPLES[op_type])
    proto.opset_import[0].version = opset
    report = moved(proto, target)
    assert [n.op_type for n in report.model.proto.graph.node] == [op_type]


@pytest.mark.parametrize("opset", [18, 19, 21, 23])
@pytest.mark.parametrize("target", [11, 13, 17])
@pytest.mark.parametrize(
    "op_type", ["ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL2", "ReduceSum"]
)
def test_reduction_axes(op_type: str, opset: int, target: int) -> None:
    """Axes are an input since 18 (ReduceSum: 13) and an attribute before."""
    proto = one(op_type, ["x", "axes"], {"x": [2, 3, 4]}, [2, 1, 4], opset, AXES)
    after = moved(proto, target).model.proto
    if op_type != "ReduceSum" or target < 13:
        assert not any(
            n.op_type == op_type and len(n.input) > 1 and n.input[1] for n in after.graph.node
        )


@pytest.mark.parametrize("opset", [18, 20, 23])
def test_reduction_without_axes(opset: int) -> None:
    moved(one("ReduceMean", ["x"], {"x": [2, 3]}, [1, 1], opset), 17)
    moved(one("ReduceMean", ["x"], {"x": [2, 3]}, [], opset, keepdims=0), 17)


@pytest.mark.parametrize("opset", [18, 21])
def test_reduction_that_does_nothing(opset: int) -> None:
    """Empty axes with noop_with_empty_axes: the input comes out."""
    empty = {"axes": np.array([], np.int64)}
    proto = one("ReduceMean", ["x", "axes"], {"x": [2, 3]}, [2, 3], opset, empty,
                noop_with_empty_axes=1)  # fmt: skip
    moved(proto, 17)


@pytest.mark.parametrize("opset", [18, 19, 23])
@pytest.mark.parametrize("target", [13, 17])
@pytest.mark.parametrize(("size", "parts"), [(6, 2), (6, 3), (7, 3)])
def test_split_into_a_number_of_parts(opset: int, target: int, size: int, parts: int) -> None:
    """num_outputs of 18; the last part is smaller when the size does not divide."""
    names = [f"y{i}" for i in range(parts)]
    node = helper.make_node("Split", ["x"], names, name="op", axis=1, num_outputs=parts)
    chunk = -(-size // parts)
    sizes = [chunk] * (size // chunk) + ([size % chunk] if size % chunk else [])
    outputs = {n: [2, s] for n, s in zip(names, sizes, strict=True)}
    moved(model_of([node], {"x": [2, size]}, outputs, opset=opset), target)


@pytest.mark.parametrize("opset", [18, 19, 21])
def test_pad_with_axes(opset: int) -> None:
    constants = {"pads": np.array([1, 2]), "axes": np.array([1])}
    proto = one("Pad", ["x", "pads", "", "axes"], {"x": [2, 3]}, [2, 6], opset, constants)
    moved(proto, 17)


def moved_or_refused(proto: onnx.ModelProto, opset: int) -> None:
    """What no rule spells yet must be named as a loss, never be written wrongly."""
    source, report = imported(proto), fix(proto, TARGET, opset=opset)
    assert imported(report.model.proto) == (source if report.plan.losses else opset)
    if report.plan.losses:
        [(name, op_type, reason)] = report.plan.losses
        assert name == "op" and op_type == proto.graph.node[0].op_type and reason
    assert_same(proto, report.model.proto, 1e-5)


@pytest.mark.parametrize("opset", [19, 21])
def test_pad_that_wraps_is_spelled_or_refused(opset: int) -> None:
    constants = {"pads": np.array([0, 1, 0, 2])}
    proto = one("Pad", ["x", "pads"], {"x": [2, 3]}, [2, 6], opset, constants, mode="wrap")
    moved_or_refused(proto, 17)


@pytest.mark.parametrize("opset", [18, 19, 22])
@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_resize(opset: int, mode: str) -> None:
    scales = {"scales": np.float32([1, 1, 2, 2])}
    proto = one("Resize", ["x", "", "scales"], {"x": [1, 2, 3, 3]}, [1, 2, 6, 6], opset, scales,
                mode=mode)  # fmt: skip
    moved(proto, 17)


@pytest.mark.parametrize("opset", [18, 19])
def test_resize_with_axes(opset: int) -> None:
    scales = {"scales": np.float32([2, 2])}
    proto = one("Resize", ["x", "", "scales"], {"x": [1, 2, 3, 3]}, [1, 2, 6, 6], opset, scales,
                axes=[2, 3], mode="linear")  # fmt: skip
    moved(proto, 17)


@pytest.mark.parametrize("opset", [20, 22])
@pytest.mark.parametrize("mode", ["linear", "nearest", "cubic"])
def test_grid_sample_names(opset: int, mode: str) -> None:
    """linear and cubic were called bilinear and bicubic before 20."""
    kinds = {"x": [1, 2, 4, 4], "grid": [1, 3, 3, 2]}
    proto = one("GridSample", ["x", "grid"], kinds, [1, 2, 3, 3], opset, mode=mode)
    after = moved(proto, 16).model.proto
    for node in after.graph.node:
        if node.op_type == "GridSample":
            name = {a.name: a.s.decode() for a in node.attribute if a.type == 3}["mode"]
            assert name in ("bilinear", "nearest", "bicubic")


@pytest.mark.parametrize("opset", [19, 21, 23])
@pytest.mark.parametrize("dtype", [HALF, DOUBLE, TensorProto.INT32, TensorProto.BOOL])
def test_cast(opset: int, dtype: int) -> None:
    """`saturate` of 19 and `round_mode` of 23 speak of the 8-bit floats only."""
    moved(one("Cast", ["x"], {"x": [2, 3]}, (dtype, [2, 3]), opset, to=dtype), 13)


def test_cast_with_saturate_written_out() -> None:
    moved(one("Cast", ["x"], {"x": [2, 3]}, (HALF, [2, 3]), 19, to=HALF, saturate=1), 17)


@pytest.mark.parametrize("opset", [20, 23])
@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gelu_is_spelled(opset: int, approximate: str) -> None:
    proto = one("Gelu", ["x"], {"x": [2, 3]}, [2, 3], opset, approximate=approximate)
    assert "Gelu" not in {n.op_type for n in moved(proto, None).model.proto.graph.node}


@pytest.mark.parametrize("opset", [17, 20])
@pytest.mark.parametrize("target", [13, 16])
def test_layer_normalization_below_17(opset: int, target: int) -> None:
    kinds = {"x": [2, 4], "s": [4]}
    proto = one("LayerNormalization", ["x", "s"], kinds, [2, 4], opset)
    after = moved(proto, target).model.proto
    assert "LayerNormalization" not in {n.op_type for n in after.graph.node}


def test_branches_are_converted_too() -> None:
    """A node inside a branch that captures an outer value needs the rewrite as well."""
    body = """g (bool c, float[2,3] x) => (float[2,1] y) <int64[1] axes = {1}> {
        a = Relu(x)
        y = If (c) <
            then_branch = t () => (float[2,1] p) { p = ReduceMean(a, axes) },
            else_branch = e () => (float[2,1] q) { q = ReduceMax(x, axes) }
        >
    }"""
    proto = text_model(body, 20)
    for target in (13, 16, 17):
        moved(proto, target)


def test_loop_bodies_are_converted_too() -> None:
    """Loop itself got new versions; its body captures a value of the outer graph."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"], name="go"),
            helper.make_node("Add", ["state", "step"], ["sum"], name="add"),
            helper.make_node("ReduceMean", ["sum", "axes"], ["state_out"], name="mean"),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, [2, 1]),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state_out", TensorProto.FLOAT, [2, 1]),
        ],
    )
    nodes = [
        helper.make_node("Abs", ["x"], ["step"], name="abs"),
        helper.make_node("ReduceMax", ["x", "axes"], ["first"], name="max"),
        helper.make_node("Loop", ["count", "", "first"], ["y"], name="loop", body=body),
    ]
    constants = {"count": np.array(3), "axes": np.array([1])}
    for opset in (18, 21, 23):
        proto = model_of(nodes, {"x": [2, 3]}, {"y": [2, 1]}, constants, opset)
        moved(proto, 17)


# ---------------------------------------------------------------------- upwards

OLD = {
    "Relu": text_model("g (float[2,3] x) => (float[2,3] y) { y = Relu(x) }"),
    "Add": text_model("g (float[2,3] x, float[2,3] z) => (float[2,3] y) { y = Add(x, z) }"),
    "MaxPool": SAMPLES["MaxPool"],
    "Gemm": text_model(
        "g (float[2,3] a, float[3,4] b, float[4] c) => (float[2,4] y) { y = Gemm(a, b, c) }"
    ),
    "BatchNormalization": text_model(
        "g (float[1,2,3,3] x) => (float[1,2,3,3] y) <float[2] s = {1.5, 2}, float[2] b = {0, 1}, "
        "float[2] m = {0.1, 0.2}, float[2] v = {1, 2}> { y = BatchNormalization(x, s, b, m, v) }"
    ),
    "Flatten": SAMPLES["Flatten"],
    "Unsqueeze": text_model(
        "g (float[2,3] x) => (float[2,1,3] y) { y = Unsqueeze<axes = [1]>(x) }"
    ),
    "Squeeze": text_model(
        "g (float[2,1,3] x) => (float[2,3] y) { y = Squeeze<axes = [1]>(x) }"
    ),
    "ReduceSum": text_model(
        "g (float[2,3] x) => (float[2,1] y) { y = ReduceSum<axes = [1]>(x) }"
    ),
    "Pad": text_model(
        "g (float[2,3] x) => (float[3,5] y) { y = Pad<pads = [1, 1, 0, 1], value = 2.0>(x) }"
    ),
    "Softmax, last axis": text_model(
        "g (float[2,3] x) => (float[2,3] y) { y = Softmax<axis = 1>(x) }"
    ),
    "Softmax, default axis": text_model(
        "g (float[2,3,4] x) => (float[2,3,4] y) { y = Softmax(x) }"
    ),
    "Split": text_model(
        "g (float[2,6] x) => (float[2,2] y, float[2,4] z) "
        "{ y, z = Split<axis = 1, split = [2, 4]>(x) }"
    ),
    "Cast": SAMPLES["Cast"],
}  # fmt: skip


@pytest.mark.parametrize("opset", [7, 9, 10])
@pytest.mark.parametrize("target", [11, 13, 17])
@pytest.mark.parametrize("case", OLD)
def test_from_old_opsets_upwards(case: str, opset: int, target: int) -> None:
    proto = copy.deepcopy(OLD[case])
    proto.opset_import[0].version = opset
    moved(proto, target)


@pytest.mark.parametrize("opset", [7, 8, 9])
@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_upsample_becomes_resize_or_is_refused(opset: int, mode: str) -> None:
    if opset < 9:
        proto = one("Upsample", ["x"], {"x": [1, 2, 3, 3]}, [1, 2, 6, 6], opset, mode=mode,
                    scales=[1.0, 1.0, 2.0, 2.0])  # fmt: skip
    else:
        scales = {"scales": np.float32([1, 1, 2, 2])}
        proto = one("Upsample", ["x", "scales"], {"x": [1, 2, 3, 3]}, [1, 2, 6, 6], opset, scales,
                    mode=mode)  # fmt: skip
    moved_or_refused(proto, 11)


@pytest.mark.parametrize("ir_version", [3, 4])
def test_files_of_old_exporters(ir_version: int) -> None:
    """IR 3 lists initializers as inputs."""
    proto = model_of(
        [
            helper.make_node("Unsqueeze", ["w"], ["u"], name="unsqueeze", axes=[0]),
            helper.make_node("Add", ["x", "u"], ["y"], name="add"),
        ],
        {"x": [2, 3], "w": [3]}, {"y": [2, 3]}, {"w": np.float32([1, 2, 3])}, opset=9,
    )  # fmt: skip
    proto.ir_version = ir_version
    moved(proto, 11)


# ---------------------------------------------------------------------- losses


def test_a_loss_is_refused_with_node_and_reason() -> None:
    """StringSplit came with 20 and has no older spelling: the opset stays."""
    node = helper.make_node("StringSplit", ["x"], ["y", "n"], name="split_names")
    relu = helper.make_node("Relu", ["z"], ["w"], name="relu")
    strings = TensorProto.STRING
    proto = model_of(
        [node, relu], {"x": (strings, [2]), "z": [2]},
        {"y": (strings, [2, None]), "n": (INT64, [2]), "w": [2]}, opset=20,
    )  # fmt: skip
    report = fix(proto, TARGET)
    [(name, op_type, reason)] = report.plan.losses
    assert (name, op_type) == ("split_names", "StringSplit")
    assert "opset" in reason
    assert imported(report.model.proto) == 20
    assert report.after.opset == 20
    assert {f.op_type for f in report.after.findings if f.effect == "rejected"} >= {"StringSplit"}
    assert len(reason) < 400 and "Assertion" not in reason and ".h:" not in reason


def test_a_loss_leaves_the_rest_of_the_model_valid() -> None:
    """What was rewritten on the way has the form of an opset that the label does not name."""
    nodes = [
        helper.make_node("ReduceMean", ["x", "axes"], ["m"], name="mean"),
        helper.make_node("Gelu", ["m"], ["y"], name="gelu"),
        helper.make_node("StringSplit", ["s"], ["parts", "n"], name="split"),
    ]
    strings = TensorProto.STRING
    proto = model_of(
        nodes, {"x": [2, 3], "s": (strings, [2])},
        {"y": [2, 1], "parts": (strings, [2, None]), "n": (INT64, [2])}, AXES, opset=20,
    )  # fmt: skip
    report = fix(proto, TARGET, opset=13)
    assert report.plan.losses
    after = report.model.proto
    assert imported(after) == 20
    onnx.checker.check_model(after, full_check=True)
    wanted = onnx.reference.ReferenceEvaluator(proto)
    found = onnx.reference.ReferenceEvaluator(after)
    feed = {"x": np.float32([[1, -2, 3], [4, 5, -6]]), "s": np.array(["a b", "c"], object)}
    np.testing.assert_allclose(found.run(["y"], feed)[0], wanted.run(["y"], feed)[0], atol=1e-6)


def test_report_tells_costs_and_losses() -> None:
    proto = text_model("g (float[2,3] x) => (float[2,3] y) { y = Gelu(x) }", 20)
    opset = fix(proto, TARGET).to_json()["opset"]
    assert opset["before"] == 20 and 11 <= opset["after"] <= 18
    assert opset["losses"] == []
    assert opset["costs"][str(opset["after"])] == min(opset["costs"].values())


def test_a_wrong_reference_does_not_keep_a_model_at_its_opset() -> None:
    """ONNX Runtime lacks BatchNormalization-6; the reference gets BatchNormalization-9 wrong."""
    rng = np.random.default_rng(0)
    arrays = {name: rng.random(3).astype(np.float32) + 0.5 for name in ("s", "b", "m", "v")}
    node = helper.make_node(
        "BatchNormalization", ["x", *arrays], ["y"], name="bn", is_test=1, epsilon=1e-3
    )
    proto = model_of([node], {"x": [2, 3, 4, 4]}, {"y": [2, 3, 4, 4]}, arrays, opset=6)
    report = fix(proto, TARGET)
    assert report.after.accepted and report.plan.losses == []
    x = rng.standard_normal((2, 3, 4, 4)).astype(np.float32)
    s, b, m, v = (a.reshape(1, 3, 1, 1) for a in arrays.values())
    (found,) = new_session(report.model.proto).run(None, {"x": x})
    np.testing.assert_allclose(found, s * (x - m) / np.sqrt(v + 1e-3) + b, rtol=1e-5, atol=1e-5)


def test_training_mode_is_a_loss() -> None:
    """Without is_test the old operator normalizes by the batch, as no later inference does."""
    arrays = {name: np.float32([0.5, 1, 2]) for name in ("s", "b", "m", "v")}
    node = helper.make_node("BatchNormalization", ["x", *arrays], ["y"], name="bn")
    proto = model_of([node], {"x": [2, 3, 4, 4]}, {"y": [2, 3, 4, 4]}, arrays, opset=6)
    report = fix(proto, TARGET)
    assert [loss[0] for loss in report.plan.losses] == ["bn"]
    assert report.after.opset == 6

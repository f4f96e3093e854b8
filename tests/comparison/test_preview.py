"""The fp16 preview: what is rounded, what is named, and what is kept, on models made for it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import graphfix
from graphfix.comparison.half.forms import Planner
from graphfix.comparison.half.preview import preview_fp16
from graphfix.comparison.half.result import Preview
from graphfix.errors import UsageError
from graphfix.graph import Model, infer
from graphfix.report.preview import render, render_markdown
from graphfix.support import Target
from tests.builders import FLOAT, INT64, model_of, text_model


def named(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Name every node after its first output, also inside branches."""

    def name(graph: onnx.GraphProto) -> None:
        for node in graph.node:
            node.name = f"n_{node.output[0]}"
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    name(attribute.g)

    name(proto.graph)
    return proto


def text(body: str, opset: int = 17) -> onnx.ModelProto:
    return named(text_model(body, opset))


def look(
    proto: onnx.ModelProto, soc: str | None = "Ascend310P3", mode: str = "force_fp16",
    cann: str | None = None, **options: Any,
) -> Preview:  # fmt: skip
    report = preview_fp16(proto, Target.of([soc] if soc else [], cann, mode), **options)
    schema = Path(graphfix.__file__).parent / "schemas" / "preview-1.json"
    document = json.loads(json.dumps(report.to_json(), allow_nan=False))
    jsonschema.Draft202012Validator(json.loads(schema.read_text())).validate(document)
    assert all(len(line) <= 100 for line in render(report).splitlines())
    assert render_markdown(report).startswith("## ")
    return report


def kinds(report: Preview, output: int = 0) -> list[tuple[str, str]]:
    return [(c.kind, c.node) for c in report.outputs[output].culprits]


def lines(report: Preview) -> list[str]:
    assert report.keep is not None
    return report.keep.lines


def as_predicted(proto: onnx.ModelProto, report: Preview, **options: Any) -> Preview:
    """Apply the list and run again: the error is the predicted one, to the last bit."""
    assert report.keep is not None and report.keep.reaches
    again = look(proto, keep=report.keep.lines, **options)
    assert {o.name: o.error for o in again.outputs} == report.keep.errors
    assert again.passed and not report.passed
    return again


CHAIN = """
    a1 = Tanh(x)  a2 = Sigmoid(a1)  a3 = Neg(a2)  a4 = Relu(a1)  a5 = Add(a3, a4)
    a6 = Abs(a5)  a7 = Sqrt(a6)  a8 = Mul(a7, a1)  a9 = Tanh(a8)
    {culprit}
    b1 = Sigmoid(bad)  b2 = Add(b1, a9)  b3 = Tanh(b2)  b4 = Abs(b3)  b5 = Sqrt(b4)
    b6 = Mul(b5, a1)  b7 = Softmax(b6)  y = Add(b7, a2)
"""


@pytest.mark.parametrize(
    ("culprit", "kind"),
    [
        # a constant that half cannot hold, in a product that it can
        ("small = Constant<value = float {1e-6}>()  s = Mul(a9, small)"
         "  big = Constant<value = float {1e5}>()  bad = Mul(s, big)", "overflow"),
        # the constant vanishes and what divides by it is infinite
        ("small = Constant<value = float {1e-6}>()  s = Mul(a9, small)"
         "  tiny = Constant<value = float {1e-8}>()  bad = Div(s, tiny)", "underflow"),
    ],
)  # fmt: skip
def test_one_planted_node_is_named_and_alone_kept(culprit: str, kind: str) -> None:
    proto = text(f"g (float[8,64] x) => (float[8,64] y) {{ {CHAIN.format(culprit=culprit)} }}")
    report = look(proto)
    assert not report.passed and kinds(report)[0] == (kind, "n_bad")
    assert lines(report) == ["n_bad"]
    as_predicted(proto, report)


def test_overflow_in_the_middle_is_kept_with_who_reads_it() -> None:
    proto = text("""g (float[4,8] x) => (float[4,8] y) {
        k = Constant<value = float {60000.0}>()
        four = Constant<value = float {4.0}>()
        a = Abs(x)  b = Add(a, four)  c = Mul(b, k)  d = Div(c, k)  e = Relu(d)  y = Sqrt(e)
    }""")
    report = look(proto)
    assert kinds(report)[0] == ("overflow", "n_c")
    assert "result" in report.outputs[0].culprits[0].says
    assert lines(report) == ["n_c", "n_d"]
    as_predicted(proto, report)
    assert "n_c (Mul): result" in render(report) and "NOT USABLE" in render(report)


MASKED = """g (float[2,6,8] x, float[2,1,6] mask) => (float[2,6,6] y) {
    one = Constant<value = float {1.0}>()
    low = Constant<value = float {-3.4e38}>()
    keys = Transpose<perm=[0,2,1]>(x)
    scores = MatMul(x, keys)
    gone = Sub(one, mask)
    bias = Mul(gone, low)
    masked = Add(scores, bias)
    y = Softmax(masked)
}"""


def test_an_attention_mask_is_named() -> None:
    proto = text(MASKED)
    mask = np.ones((2, 1, 6), np.float32)
    mask[:, :, 4:] = 0
    x = np.random.default_rng(0).normal(size=(2, 6, 8)).astype(np.float32)
    report = look(proto, inputs={"mask": mask, "x": x})
    first = report.outputs[0].culprits[0]
    assert (first.kind, first.node, first.value) == ("overflow", "n_bias", "low")
    assert first.says == "constant -3.4e+38 -> -inf"
    # 0 x -inf is NaN where the mask lets through
    assert report.outputs[0].error == np.inf and report.outputs[0].metrics.nan[1]
    assert lines(report) == ["n_bias"]
    as_predicted(proto, report, inputs={"mask": mask, "x": x})
    # where weights are clipped, the mask still works
    later = look(proto, cann="2026.08", inputs={"mask": mask, "x": x})
    assert later.passed and later.outputs[0].culprits[0].says == "constant -3.4e+38 -> -65504"


NORM = """g (float[2,16] x) => (float[2,16] y) {{
    eps = Constant<value = float {{1e-12}}>()
    zero = Constant<value = float {{0.0}}>()
    mean = ReduceMean<axes = [-1]>(x)
    c = Sub(x, mean)
    flat = Mul(c, {factor})
    sq = Mul(flat, flat)
    var = ReduceMean<axes = [-1]>(sq)
    spread = Add(var, eps)
    sd = Sqrt(spread)
    y = Div(flat, sd)
}}"""


def test_an_epsilon_is_named_and_kept_up_to_where_it_is_used() -> None:
    proto = text(NORM.format(factor="zero"))
    report = look(proto)
    assert kinds(report)[0] == ("underflow", "n_spread")
    assert report.outputs[0].culprits[0].says == "constant 1e-12 -> 0"
    # 0 / 0: sqrt would round its input to 0 if it were not kept, too; its result survives in half
    assert not report.passed and lines(report) == ["n_spread", "n_sd"]
    as_predicted(proto, report)


def test_an_epsilon_attribute_is_named_but_not_called_an_error() -> None:
    nodes = [helper.make_node("LayerNormalization", ["x", "s", "b"], ["y"], "norm", epsilon=1e-12)]
    ones = np.ones(8, np.float32)
    proto = model_of(nodes, {"x": [2, 8]}, {"y": [2, 8]}, {"s": ones, "b": 0 * ones})
    report = look(proto)
    assert report.passed and ("epsilon", "norm") in kinds(report)
    assert "not known" in report.outputs[0].culprits[0].says


def test_many_small_terms() -> None:
    proto = text("""g (float[1,70000] x) => (float[1,1] total, float[1,1] mean) {
        a = Abs(x)
        one = Constant<value = float {1.0}>()
        b = Add(a, one)
        total = ReduceSum<keepdims = 1>(b)
        mean = ReduceMean<keepdims = 1>(b)
    }""")
    report = look(proto)
    assert kinds(report, 0)[0] == ("overflow", "n_total") and report.outputs[0].error == np.inf
    # terms are summed in float32, as the documents of the cube and of reductions have it
    assert report.outputs[1].passed and report.outputs[1].error < 1e-3
    assert "overflow" not in [k for k, _ in kinds(report, 1)]


def test_cancellation_names_who_rounded_not_who_subtracts() -> None:
    proto = text("""g (float[4,64] x) => (float[4,64] y) {
        big = Constant<value = float {2000.0}>()
        a = Tanh(x)  b = Add(a, big)  c = Sub(b, big)  d = Relu(c)  e = Neg(c)  y = Max(d, e)
    }""")
    report = look(proto)
    assert report.outputs[0].error > 0.1
    assert kinds(report)[0] == ("error", "n_b")
    assert lines(report) == ["n_b", "n_c"]
    as_predicted(proto, report)


def test_only_the_failing_output_blames_a_node() -> None:
    proto = text("""g (float[4,8] x) => (float[4,8] good, float[4,8] bad) {
        k = Constant<value = float {1e6}>()
        good = Tanh(x)  b = Mul(x, k)  bad = Div(b, k)
    }""")
    report = look(proto)
    good, bad = report.outputs
    assert good.passed and not bad.passed
    assert "n_b" not in [c.node for c in good.culprits] and "n_b" in [c.node for c in bad.culprits]
    assert report.keep is not None and bad.kept is not None and good.kept is None


# ---------------------------------------------------------------------- kernels and modes


def forms(proto: onnx.ModelProto, soc: str, mode: str = "force_fp16") -> dict[str, Any]:
    model = Model(proto)
    infer(model)
    planner = Planner(model, Target.of([soc], None, mode))
    plan = planner.plan()
    return {n.name: (planner.forms[id(n)], plan.of(n)) for n in planner.nodes}


def test_an_operator_without_a_half_kernel_stays_single() -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["r"], "relu"),
        helper.make_node("GridSample", ["r", "g"], ["y"], "sample", align_corners=0),
    ]
    proto = model_of(nodes, {"x": [1, 2, 4, 4], "g": [1, 3, 3, 2]}, {"y": [1, 2, 3, 3]}, opset=16)
    known, form = forms(proto, "Ascend310P3")["sample"]
    assert known.half is None and not form.is_half
    report = look(proto)
    assert report.counts["no_float16"] == 1 and report.counts["half"] == 1
    assert {node for _, node in kinds(report)} == {"relu"}
    # 310B has it on the AI CPU only, which takes the half that Relu gives
    known, form = forms(proto, "Ascend310B1")["sample"]
    assert known.follows and form.is_half


def test_matmul_cannot_be_kept_on_310p_but_on_910b() -> None:
    product = [helper.make_node("MatMul", ["x", "w"], ["y"], "product")]
    weights = np.full((64, 8), 3e4, np.float32)
    proto = model_of(product, {"x": [4, 64]}, {"y": [4, 8]}, {"w": weights})
    x = np.ones((4, 64), np.float32)
    old = look(proto, inputs={"x": x})
    assert kinds(old)[0] == ("overflow", "product") and old.keep is None
    assert not old.outputs[0].culprits[0].can_keep and old.counts["no_float32"] == 1
    assert "has no float32 kernel" in render(old)
    new = look(proto, soc="Ascend910B3", inputs={"x": x})
    assert lines(new) == ["product"]


MODES = """g (float[4,16] x, float[16,16] w) => (float[4,16] y) {
    m = MatMul(x, w)  r = Relu(m)  l = ReduceMean<axes = [-1]>(r)  p = Pow(r, r)  y = Add(p, l)
}"""


@pytest.mark.parametrize(
    ("soc", "mode", "half"),
    [
        ("Ascend310P3", "force_fp16", {"n_m", "n_r", "n_l", "n_p", "n_y"}),
        ("Ascend310P3", "must_keep_origin_dtype", set()),
        ("Ascend310P3", "allow_fp32_to_fp16", {"n_m"}),
        ("Ascend310P3", "force_fp32", {"n_m"}),
        # MatMul is white, the others grey there: they follow what comes before
        ("Ascend310P3", "allow_mix_precision", {"n_m", "n_r", "n_l", "n_p", "n_y"}),
        # Pow is black on 310B, and Add follows it
        ("Ascend310B1", "allow_mix_precision", {"n_m", "n_r", "n_l"}),
    ],
)
def test_modes(soc: str, mode: str, half: set[str]) -> None:
    found = forms(text(MODES), soc, mode)
    assert {name for name, (_, form) in found.items() if form.is_half} == half


def test_cube_operators_may_take_half_and_give_float32() -> None:
    _, form = forms(text(MODES), "Ascend910B3", "force_fp32")["n_m"]
    assert form.inputs == {0, 1} and not form.outputs
    # 310P's kernel gives half alone
    _, form = forms(text(MODES), "Ascend310P3", "force_fp32")["n_m"]
    assert form.inputs == {0, 1} and form.outputs == {0}


def test_mixlist_lowers_the_error_as_predicted() -> None:
    proto = text("""g (float[4,16] x, float[16,16] w) => (float[4,16] y) {
        k = Constant<value = float {1e6}>()
        m = MatMul(x, w)  b = Mul(m, k)  c = Div(b, k)  y = Relu(c)
    }""")
    report = look(proto, mode="allow_mix_precision")
    assert report.mixlist is not None and report.mixlist.reaches
    black = report.mixlist.document["black-list"]["to-add"]
    assert "Mul" in black and "BatchMatMulV2" not in black
    again = look(proto, mode="allow_mix_precision", black=black)
    assert {o.name: o.error for o in again.outputs} == report.mixlist.errors and again.passed
    assert look(proto).mixlist is None  # the option needs a mixed mode


def test_atlas_training_products_saturate() -> None:
    proto = text("""g (float[2,2] x) => (float[2,2] y) {
        k = Constant<value = float {1e6}>()  a = Abs(x)  y = Mul(a, k)
    }""")
    report = look(proto, soc="Ascend910A", inputs={"x": np.ones((2, 2), np.float32)})
    assert report.outputs[0].culprits[0].says == "constant 1e+06 -> 65504"
    assert report.outputs[0].metrics.inf == (0, 0) and not report.passed
    other = look(proto, soc="Ascend910B3", inputs={"x": np.ones((2, 2), np.float32)})
    assert other.outputs[0].metrics.inf == (0, 4)


def test_an_expanded_node_is_kept_by_its_operator() -> None:
    nodes = [
        helper.make_node("Mul", ["x", "k"], ["a"], "scale"),
        helper.make_node("LayerNormalization", ["a", "s", "b"], ["y"], "norm"),
    ]
    ones = np.ones(8, np.float32)
    constants = {"s": ones, "b": 0 * ones, "k": np.float32(1e6)}
    report = look(model_of(nodes, {"x": [2, 8]}, {"y": [2, 8]}, constants))
    assert lines(report) == ["scale", "OpType::LayerNorm"]
    assert report.keep is not None and report.keep.nodes == ["scale", "norm"]
    as_predicted(model_of(nodes, {"x": [2, 8]}, {"y": [2, 8]}, constants), report)


# ---------------------------------------------------------------------- what stays untouched


def test_must_keep_origin_dtype_changes_nothing() -> None:
    report = look(text(MASKED), mode="must_keep_origin_dtype")
    assert report.passed and all(o.error == 0 for o in report.outputs)
    assert "nothing is rounded" in str(report.note)


def test_integers_are_untouched() -> None:
    proto = text("""g (int64[4] i, float[4] x) => (int64[4] j, int64 where) {
        k = Constant<value = int64 {100003}>()
        j = Mul(i, k)
        where = ArgMax<axis = 0, keepdims = 0>(x)
    }""")
    x = np.array([1, 2, 2.00001, 0], np.float32)  # one number in half: the first wins
    report = look(proto, inputs={"i": np.arange(4) + 99991, "x": x})
    assert report.outputs[0].error == 0
    assert report.outputs[1].error == 1 and not report.outputs[1].passed


def test_a_model_without_floats_and_one_in_half() -> None:
    ints = look(text("g (int64[4] x) => (int64[4] y) { y = Add(x, x) }"))
    assert ints.passed and "holds no float32" in str(ints.note)
    half = look(text("g (float16[4] x) => (float16[4] y) { a = Exp(x)  y = Add(a, x) }"))
    assert half.passed and half.outputs[0].error == 0 and "float16 already" in str(half.note)


def test_nan_in_the_original_is_told_apart() -> None:
    proto = text("g (float[4] x) => (float[4] y) { a = Log(x)  y = Add(a, a) }")
    x = np.array([1, 2, -1, 3], np.float32)
    report = look(proto, inputs={"x": x})
    output = report.outputs[0]
    assert not report.passed and output.metrics.nan == (1, 1) and 0 < output.error < 1e-3
    assert "itself gives NaN in y" in str(report.note) and report.keep is None


def test_folded_constants_are_computed_in_float32() -> None:
    proto = text("""g (float[4] x) => (float[4] y) {
        k = Constant<value = float {1e6}>()  i = Reciprocal(k)  j = Mul(i, k)  y = Mul(x, j)
    }""")
    report = look(proto)
    assert report.passed and report.counts["other"] == 3 and not report.losses


# ---------------------------------------------------------------------- control flow, shapes


BRANCH = """g (bool c, float[4] x) => (float[4] y) {
    k = Constant<value = float {1e6}>()
    a = Tanh(x)
    y = If (c) <
        then_branch = yes () => (float[4] t) { b = Mul(a, k)  t = Div(b, k) },
        else_branch = no () => (float[4] e) { e = Neg(a) }
    >
}"""


def test_inside_a_branch() -> None:
    proto = text(BRANCH)
    yes = look(proto, inputs={"c": np.array(True)})
    assert ("overflow", "n_y_0_then_branch/n_b") in kinds(yes)
    assert lines(yes) == ["n_y_0_then_branch/n_b", "n_y_0_then_branch/n_t"]
    as_predicted(proto, yes, inputs={"c": np.array(True)})
    assert look(proto, inputs={"c": np.array(False)}).passed


def test_a_loop_is_rounded_in_every_step() -> None:
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["more"], "more"),
            helper.make_node("Mul", ["v", "r"], ["w"], "grow"),
            helper.make_node("Neg", ["w"], ["seen"], "seen"),
        ],
        "body",
        [helper.make_tensor_value_info(n, t, []) for n, t in
         (("i", INT64), ("go", TensorProto.BOOL), ("v", FLOAT))],
        [helper.make_tensor_value_info(n, t, []) for n, t in
         (("more", TensorProto.BOOL), ("w", FLOAT), ("seen", FLOAT))],
    )  # fmt: skip
    loop = helper.make_node("Loop", ["n", "", "x"], ["last", "all"], "loop", body=body)
    proto = model_of([loop], {"x": [], "r": []}, {"last": [], "all": ["n"]},
                     {"n": np.array(9, np.int64)})  # fmt: skip
    ratio = np.float32(1.1)
    report = look(proto, soc=None, inputs={"x": np.float32(1), "r": ratio})
    by_hand = np.float32(1)
    for _ in range(9):
        by_hand = np.float32(np.float16(by_hand * np.float32(np.float16(ratio))))
    exact = np.float64(ratio) ** 9
    assert report.outputs[0].error == pytest.approx(abs(by_hand - exact) / exact, rel=1e-3)
    assert [o.name for o in report.outputs] == ["last", "all"]
    assert report.outputs[1].metrics.shape == (9,)


def test_what_lies_inside_a_scan_is_said_to_stay_in_float32() -> None:
    body = helper.make_graph(
        [helper.make_node("Mul", ["v", "e"], ["w"], "m"), helper.make_node("Tanh", ["w"], ["o"])],
        "body",
        [helper.make_tensor_value_info(n, FLOAT, []) for n in ("v", "e")],
        [helper.make_tensor_value_info(n, FLOAT, []) for n in ("w", "o")],
    )
    scan = helper.make_node("Scan", ["v0", "x"], ["last", "all"], "s", body=body, num_scan_inputs=1)
    report = look(model_of([scan], {"v0": [], "x": [4]}, {"last": [], "all": [4]}))
    assert report.outputs[0].error == 0
    assert ("What lies inside Scan is computed in float32.", "low") in report.assumptions


def test_open_dims_functions_and_samples() -> None:
    proto = text("g (float[N,4] x) => (float[N,4] y) { a = Exp(x)  y = Log(a) }")
    report = look(proto, shapes={"x": (3, 4)}, samples=3)
    assert report.inputs == {"x": "float32[3,4]"} and report.samples == 3
    single = [look(proto, shapes={"x": (3, 4)}, inputs={"x": x}) for x in _fed(proto, 3)]
    assert report.outputs[0].error == max(r.outputs[0].error for r in single)
    function = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 17, "f" : 1]>
        g (float[4] x) => (float[4] y) { y = f.twice(x) }
        <domain: "f", opset_import: ["" : 17]> twice (x) => (y) { a = Exp(x)  y = Add(a, a) }
    """)
    assert look(function).counts["half"] == 2


def _fed(proto: onnx.ModelProto, count: int) -> Sequence[np.ndarray]:
    from graphfix.comparison.sides import open_side, samples_for

    side = open_side(proto)
    shapes = {"x": (3, 4)}
    return [s["x"] for s in samples_for(side, side, {"x": "x"}, count=count, shapes=shapes)]


# ---------------------------------------------------------------------- bounds


def test_without_room_for_values_the_result_is_the_same() -> None:
    from graphfix.comparison.half.experiment import Experiment
    from graphfix.comparison.half.interpreter import Interpreter
    from graphfix.comparison.half.rounding import Rounding

    proto = text(MASKED)
    model = Model(proto)
    infer(model)
    planner = Planner(model, Target.of(["Ascend310P3"]))
    rng = np.random.default_rng(0)
    feeds = [{"x": rng.normal(size=(2, 6, 8)).astype(np.float32),
              "mask": np.ones((2, 1, 6), np.float32)}]  # fmt: skip
    some = [n for n in planner.nodes if n.op_type in ("Mul", "Add")]
    found = []
    for memory in (1 << 30, 4000):
        experiment = Experiment(Interpreter(model, Rounding(), memory), feeds)
        assert experiment.keeps == (memory > 4000)
        base = experiment.run(planner.plan())
        found.append(experiment.errors(planner.plan(keep=some), base))
    assert found[0] == found[1]
    with pytest.raises(UsageError, match="take more"):
        Experiment(Interpreter(model, Rounding(), 100), feeds)


def test_the_number_of_runs_is_bounded() -> None:
    proto = text(f"g (float[8,64] x) => (float[8,64] y) {{ {CHAIN.format(culprit=PLANTED)} }}")
    none = look(proto, search_runs=0)
    assert none.runs == 1 and none.keep is None and kinds(none)[0] == ("overflow", "n_bad")
    few = look(proto, search_runs=12)
    assert few.runs <= 14 and few.keep is not None and few.keep.reaches
    assert "n_bad" in few.keep.nodes


PLANTED = """small = Constant<value = float {1e-6}>()  s = Mul(a9, small)
    big = Constant<value = float {1e5}>()  bad = Mul(s, big)"""


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mode": "allow_mix_precision", "soc": None}, "its lists are the chip's own"),
        ({"mode": "allow_fp32_to_bf16"}, "lowers to bfloat16"),
        ({"keep": ["nobody"]}, "'nobody' is no node"),
        ({"memory": 1 << 20}, "does not hold the weights"),
    ],
)
def test_what_makes_no_sense(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        look(text(MASKED), **options)


def test_one_chip_at_a_time() -> None:
    with pytest.raises(UsageError, match="one chip at a time"):
        preview_fp16(text(MASKED), Target.of(["Ascend310P3", "Ascend910B3"]))


def test_a_file_that_atc_refuses_is_told() -> None:
    proto = text("g (float[4] x) => (float[4] y) { y = Gelu(x) }", opset=20)
    report = look(proto)
    assert "graphfix fix" in str(report.refused) and report.counts["assumed"] == 1
    assert report.outputs[0].error > 0


# ---------------------------------------------------------------------- against a true half run


ENCODER = """g (float[2,8,32] x, float[32,32] q, float[32,32] k, float[32,32] v) =>
    (float[2,8,32] y) {
    half = Constant<value = float {0.5}>()
    one = Constant<value = float {1.0}>()
    root = Constant<value = float {1.41421356}>()
    eps = Constant<value = float {1e-5}>()
    a = MatMul(x, q)  b = MatMul(x, k)  c = MatMul(x, v)
    bt = Transpose<perm = [0,2,1]>(b)
    scores = MatMul(a, bt)
    weights = Softmax(scores)
    mixed = MatMul(weights, c)
    sum = Add(mixed, x)
    mean = ReduceMean<axes = [-1]>(sum)
    centred = Sub(sum, mean)
    square = Mul(centred, centred)
    var = ReduceMean<axes = [-1]>(square)
    spread = Add(var, eps)
    sd = Sqrt(spread)
    norm = Div(centred, sd)
    u = Div(norm, root)  e = Erf(u)  gate = Add(e, one)  h = Mul(norm, gate)  y = Mul(h, half)
}"""


@pytest.mark.parametrize("seed", range(3))
def test_a_true_half_run_is_of_the_same_size(seed: int) -> None:
    """onnxconverter-common writes the model in float16, ONNX Runtime computes it node by node.

    In one session it would stay in float32 from one node without a float16 kernel to the next.
    """
    from onnxconverter_common import float16

    from graphfix.comparison.half.experiment import output_error
    from graphfix.comparison.half.forms import Plan
    from graphfix.comparison.half.interpreter import Interpreter
    from graphfix.comparison.half.rounding import Rounding
    from graphfix.comparison.runtimes.onnxruntime import OnnxRuntime

    proto = text(ENCODER)
    rng = np.random.default_rng(seed)
    feeds = {"x": rng.normal(size=(2, 8, 32)).astype(np.float32)}
    feeds |= {n: rng.normal(0, 32**-0.5, (32, 32)).astype(np.float32) for n in "qkv"}
    predicted = look(proto, soc=None, inputs=feeds, search_runs=0).outputs[0].error
    wanted = OnnxRuntime(Model(proto)).run(feeds)["y"]
    half = float16.convert_float_to_float16(
        proto, min_positive_val=6e-8, max_finite_val=65504.0, keep_io_types=True, op_block_list=[]
    )
    run = Interpreter(Model(half), Rounding(), 1 << 30).run(feeds, Plan({}))
    true = output_error(wanted, run.outputs["y"])
    assert 2e-4 < true < 1e-2 and 0.3 < predicted / true < 3


def test_an_epsilon_in_every_block_is_kept_in_every_block() -> None:
    blocks = []
    for i in range(3):
        blocks.append(f"""
            m{i} = ReduceMean<axes = [-1]>(x{i})  c{i} = Sub(x{i}, m{i})
            s{i} = Mul(c{i}, c{i})  v{i} = ReduceMean<axes = [-1]>(s{i})
            p{i} = Add(v{i}, eps)  d{i} = Sqrt(p{i})  n{i} = Div(c{i}, d{i})
            w{i} = Mul(n{i}, small)  x{i + 1} = Tanh(w{i})""")
    proto = text(f"""g (float[4,16] x) => (float[4,16] y) {{
        eps = Constant<value = float {{1e-12}}>()  small = Constant<value = float {{0.0001}}>()
        x0 = Mul(x, small) {"".join(blocks)}
        y = Div(x3, small)
    }}""")
    report = look(proto)
    assert report.outputs[0].error > 1000  # c / 0 is infinite, and its Tanh 1
    named_nodes = {node for kind, node in kinds(report) if kind == "underflow"}
    assert {"n_p0", "n_p1", "n_p2"} <= named_nodes
    kept = set(lines(report))
    assert all(any(n.endswith(str(i)) for n in kept) for i in range(3))
    assert kept < {n.name for n in proto.graph.node} and len(kept) <= 18
    as_predicted(proto, report)


def test_peak_memory_stays_under_the_budget() -> None:
    if not Path("/proc/self/status").exists():
        pytest.skip("this system does not tell the peak of a process")
    script = r"""
import re, sys
from pathlib import Path
import numpy as np
from onnx import helper
from graphfix.comparison.half.preview import preview_fp16
from graphfix.support import Target
from tests.builders import model_of
ops = ["Tanh", "Abs", "Sqrt", "Mul"]
names = ["x", *(f"v{i}" for i in range(24))]
nodes = [helper.make_node(ops[i % 4], [names[i], *["k"] * (i % 4 == 3)], [names[i + 1]], names[i + 1])
         for i in range(24)]
dims = [8, 512, 512]
proto = model_of(nodes, {"x": dims}, {names[-1]: dims}, {"k": np.float32(1e6)})
report = preview_fp16(proto, Target.of(["Ascend310P3"]), memory=int(sys.argv[1]) << 20)
assert report.keep is not None
# not ru_maxrss, which a process has from its parent
print(int(re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[1]) // 1024)
"""  # noqa: E501
    done = subprocess.run(
        [sys.executable, "-c", script, "400"], capture_output=True, text=True, timeout=120
    )  # all values together would take 192 MiB three times
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 400

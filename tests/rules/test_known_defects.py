"""Mistakes that rewriting tools are known for: none of our rules makes them, and where a rule
did, the gate or the proof would refuse it and say so."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
import pytest

from graphfix.graph import Graph, Node
from graphfix.rewrite import Builder, Exactness, FixReport, No, Rule, Site, fix
from graphfix.support import Target
from tests.builders import text_model

TARGET = Target.of(["Ascend310P3"])

Inputs = dict[str, np.ndarray]


def run(proto: onnx.ModelProto, inputs: Inputs) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, inputs)


def fixed(model: onnx.ModelProto, *rules: Rule) -> FixReport:
    return fix(model, TARGET, rules=rules or None)


def types(proto: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in proto.graph.node]


def assert_refused(model: onnx.ModelProto, rule: Rule, reason: str) -> None:
    """The engine tries the rule, refuses what it proposes, says why, and changes nothing."""
    report = fixed(model, rule)
    statistics = report.to_json()["rules"][rule.name]
    assert any(reason in text for text in statistics["refused"]), statistics["refused"]
    assert report.fired()[rule.name] == statistics["fired"] == 0
    assert types(report.model.to_proto()) == types(model)


def wrong_rule(
    root: str, edit: Callable[[Node, Builder], Site], exactness: Exactness = Exactness.EXACT
) -> Rule:
    """A rule as careless as `edit`."""

    class Wrong(Rule):
        def match(self, node: Node, graph: Graph) -> Site | No:
            return edit(node, Builder(node, graph))

    rule = Wrong()
    rule.name, rule.roots, rule.exactness = "tests/wrong", (root,), exactness
    return rule


# ---------------------------------------------------------------------- models that trip such rules

REFLECT_PAD = """
g (float[1,2,6,6] x, float[3,2,3,3] w) => (float[1,3,6,6] y)
<int64[8] pads = {0, 0, 1, 1, 0, 0, 1, 1}> {
    p = Pad<mode = "reflect">(x, pads)
    y = Conv<kernel_shape = [3, 3], pads = [0, 0, 0, 0], strides = [1, 1], dilations = [1, 1]>(p, w)
}
"""
TRUNCATING_CASTS = """
g (float[4] x) => (float[4] y, float[4] z) {
    i = Cast<to = 6>(x)  f = Cast<to = 1>(i)  y = Mul(f, x)
    l = Cast<to = 7>(x)  z = Cast<to = 1>(l)
}
"""
ROUNDING_CASTS = """
g (double[4] x) => (double[4] y) { h = Cast<to = 1>(x)  d = Cast<to = 11>(h)  y = Sub(d, x) }
"""
PADDED_AVERAGE = """
g (float[1,2,40,40] x) => (float[1,2,Y,X] y) {
    y = AveragePool<kernel_shape = [20, 20], strides = [2, 2], pads = [3, 3, 3, 3],
                    count_include_pad = 1>(x)
}
"""
LARGE_INTEGERS = "g (int64[3] x) => (int64[3] y) { h = Abs(x)  y = Add(h, x) }"
TOP_K = """
g (float[2,8] x) => (float[2,3] v, int64[2,3] i) <int64[1] k = {3}> { v, i = TopK(x, k) }
"""
GELU_WITH_INNER_USE = """
g (float[2,3] x) => (float[2,3] y, float[2,3] e)
<float sqrt2 = {1.4142135}, float one = {1.0}, float half = {0.5}> {
    d = Div(x, sqrt2)  e = Erf(d)  a = Add(e, one)  m = Mul(x, a)  y = Mul(m, half)
}
"""


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 3, shape).astype(np.float32)


TRIPPING = [
    pytest.param(
        REFLECT_PAD, 17, {"x": normal(1, 2, 6, 6), "w": normal(3, 2, 3, 3)}, id="reflect-pad"
    ),
    pytest.param(TRUNCATING_CASTS, 17, {"x": normal(4)}, id="truncating-casts"),
    pytest.param(
        ROUNDING_CASTS, 17, {"x": np.array([0.1, 1 / 3, 1e-40, 7.0])}, id="rounding-casts"
    ),
    pytest.param(PADDED_AVERAGE, 17, {"x": normal(1, 2, 40, 40)}, id="padded-average"),
    pytest.param(
        LARGE_INTEGERS, 17, {"x": np.array([2**40 + 1, -(2**33), 5])}, id="large-integers"
    ),
    pytest.param(TOP_K, 17, {"x": normal(2, 8)}, id="top-k"),
    pytest.param(GELU_WITH_INNER_USE, 17, {"x": normal(2, 3)}, id="gelu-with-inner-use"),
]


@pytest.mark.parametrize(("text", "opset", "inputs"), TRIPPING)
def test_own_rules_keep_the_results(text: str, opset: int, inputs: Inputs) -> None:
    model = text_model(text, opset)
    result = fixed(model).model.to_proto()
    onnx.checker.check_model(result, full_check=True)
    for want, have in zip(run(model, inputs), run(result, inputs), strict=True):
        assert have.dtype == want.dtype
        if want.dtype.kind == "f":
            np.testing.assert_allclose(have, want, rtol=2e-6, atol=2e-6)
        else:
            np.testing.assert_array_equal(have, want)


@pytest.mark.parametrize(("text", "opset", "inputs"), TRIPPING)
def test_fixing_the_result_changes_nothing(text: str, opset: int, inputs: Inputs) -> None:
    once = fixed(text_model(text, opset)).model.to_proto()
    again = fixed(once)
    assert again.changes == []
    assert again.model.to_proto().graph == once.graph


@pytest.mark.parametrize("text", [TRUNCATING_CASTS, ROUNDING_CASTS])
def test_lossy_casts_all_stay(text: str) -> None:
    model = text_model(text)
    result = fixed(model).model.to_proto()
    assert types(result).count("Cast") == types(model).count("Cast")


# ---------------------------------------------------------------------- wrong rules are refused


def test_reconnecting_to_the_unpadded_tensor_changes_the_shape() -> None:
    def edit(conv: Node, b: Builder) -> Site:
        pad = conv.input(0).producer
        return b.site(b.copy(conv, [pad.inputs[0], conv.inputs[1]])[0], drop=(conv, pad))

    assert_refused(text_model(REFLECT_PAD), wrong_rule("Conv", edit), "shape")


def test_reflect_pad_turned_into_zero_padding_fails_the_proof() -> None:
    """The shapes agree; only the numbers at the border differ."""

    def edit(conv: Node, b: Builder) -> Site:
        pad = conv.input(0).producer
        inputs = [pad.inputs[0], conv.inputs[1]]
        return b.site(b.copy(conv, inputs, pads=[1, 1, 1, 1])[0], drop=(conv, pad))

    assert_refused(text_model(REFLECT_PAD), wrong_rule("Conv", edit), "the proof failed")


@pytest.mark.parametrize("text", [TRUNCATING_CASTS, ROUNDING_CASTS])
def test_merging_lossy_casts_fails_the_proof(text: str) -> None:
    def edit(cast: Node, b: Builder) -> Site:
        first = cast.input(0).producer
        if first is None or first.op_type != "Cast":
            return Site((cast,), (), (), {})
        return b.site(b.copy(cast, [first.inputs[0]])[0], drop=(cast, first))

    assert_refused(text_model(text), wrong_rule("Cast", edit), "the proof failed")


def test_copying_pads_into_both_halves_of_an_average_pool_is_refused() -> None:
    model = text_model(
        """
        g (float[1,1,8,8] x) => (float[1,1,8,8] y) {
            h = AveragePool<kernel_shape = [3, 3], pads = [1, 1, 1, 1], count_include_pad = 1>(x)
            y = AveragePool<kernel_shape = [1, 1], pads = [0, 0, 0, 0]>(h)
        }
        """
    )

    def edit(pool: Node, b: Builder) -> Site:
        first = pool.input(0).producer
        if first is None or first.op_type != "AveragePool":
            return Site((pool,), (), (), {})
        shape = {"kernel_shape": [2, 2], "pads": [1, 1, 1, 1], "strides": [1, 1]}
        h = b.op("AveragePool", first.inputs[0], count_include_pad=1, **shape)
        return b.site(h, drop=(pool, first))

    assert_refused(model, wrong_rule("AveragePool", edit), "shape")


def test_int64_computed_in_int32_without_a_proof_of_its_range_is_refused() -> None:
    """Small numbers come out alike; the proof has to try large ones."""
    model = text_model(
        "g (int64[3] x) => (int64[3] y) { a = Neg(x)  b = Neg(a)  c = Neg(b)  d = Neg(c) "
        "e = Neg(d)  y = Neg(e) }"
    )

    def edit(last: Node, b: Builder) -> Site:
        chain = [last]
        while (producer := chain[-1].input(0).producer) is not None:
            chain.append(producer)
        narrow = b.cast(chain[-1].inputs[0], "int32")
        return b.site(b.cast(narrow, "int64"), drop=tuple(chain))

    rule = wrong_rule("Neg", edit)
    assert_refused(model, rule, "the proof failed")


def test_top_k_written_as_invalid_onnx_is_refused() -> None:
    def edit(top_k: Node, b: Builder) -> Site:
        values, indices = b.multi("TopK", 2, top_k.inputs[0], k=3)  # the form before opset 10
        return b.site({top_k.outputs[0]: values, top_k.outputs[1]: indices})

    assert_refused(text_model(TOP_K), wrong_rule("TopK", edit), "")


def test_top_k_that_loses_an_output_is_refused() -> None:
    def edit(top_k: Node, b: Builder) -> Site:
        return b.site(b.op("TopK", *top_k.inputs))

    assert_refused(text_model(TOP_K), wrong_rule("TopK", edit), "used elsewhere")


@pytest.mark.parametrize("drops_the_inner_use", [True, False])
def test_fusing_a_gelu_whose_inner_value_is_used_is_refused(drops_the_inner_use: bool) -> None:
    def edit(last: Node, b: Builder) -> Site:
        product = last.input(0).producer
        total = product.input(1).producer
        erf = total.input(0).producer
        div = erf.input(0).producer
        fused = b.op("HardSwish", product.inputs[0])
        replaced = {last.outputs[0]: fused}
        if not drops_the_inner_use:
            replaced[erf.outputs[0]] = fused
        return b.site(replaced, drop=(last, product, total, erf, div))

    class FuseGelu(Rule):
        name, roots, exactness = "tests/fuse_gelu", ("Mul",), Exactness.ROUNDING

        def match(self, node: Node, graph: Graph) -> Site | No:
            if node.outputs != ["y"]:
                return No("not the last Mul")
            return edit(node, Builder(node, graph))

    reason = "used elsewhere" if drops_the_inner_use else "one value cannot stand for two outputs"
    assert_refused(text_model(GELU_WITH_INNER_USE), FuseGelu(), reason)


# ---------------------------------------------------------------------- rules that never stop


def test_a_rule_that_changes_nothing_is_refused_and_ends() -> None:
    rule = wrong_rule("Relu", lambda node, b: b.site(b.copy(node)[0]))
    model = text_model("g (float[2] x) => (float[2] y) { h = Relu(x)  y = Relu(h) }")
    assert_refused(model, rule, "it would not lower the potential")


def test_two_rules_that_undo_each_other_end() -> None:
    there = wrong_rule(
        "Relu", lambda n, b: b.site(b.op("Max", n.inputs[0], b.scalar(0, n.input(0))))
    )
    back = wrong_rule("Max", lambda n, b: b.site(b.op("Relu", n.inputs[0])))
    back.name = "tests/back"
    model = text_model("g (float[2] x) => (float[2] y) { h = Relu(x)  y = Relu(h) }")
    report = fixed(model, there, back)
    assert not {"tests/wrong", "tests/back"} & set(report.fired())
    assert types(report.model.to_proto()) == ["Relu", "Relu"]


def test_a_rule_that_adds_nodes_for_ever_is_refused() -> None:
    rule = wrong_rule("Relu", lambda node, b: b.site(b.op("Relu", b.op("Relu", node.inputs[0]))))
    model = text_model("g (float[2] x) => (float[2] y) { y = Relu(x) }")
    assert_refused(model, rule, "it would not lower the potential")


def test_an_if_with_a_constant_condition_goes() -> None:
    model = text_model(
        """
        g (float[2] x) => (float[2] y) <bool c = {1}> {
            y = If (c) <
                then_branch = t () => (float[2] a) { n = Neg(x)  a = Exp(n) },
                else_branch = e () => (float[2] b) { b = Abs(x) }
            >
        }
        """
    )
    assert types(fixed(model).model.to_proto()) == ["Neg", "Exp"]


def test_a_failed_proof_is_reported_with_rule_and_node() -> None:
    rule = wrong_rule("Sub", lambda node, b: b.site(node.inputs[0]))
    model = text_model("g (float[2] x, float[2] z) => (float[2] y) { h = Sub(x, z)  y = Relu(h) }")
    report = fixed(model, rule).to_json()
    assert [entry["rule"] for entry in report["failed_proofs"]] == ["tests/wrong"]
    assert "instead of" in report["failed_proofs"][0]["reason"]

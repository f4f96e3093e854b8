"""The gate and its promises, with small rules, right and wrong ones."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from graphfix.graph import Graph, Node
from graphfix.rewrite import Builder, Exactness, No, Rule, Site
from tests.builders import INT64, model_of, text_model
from tests.rewrite.toys import (
    assert_same,
    fired,
    operators,
    outputs,
    pair,
    refused,
    rewrite,
    single,
    toy,
)

# Neg after Neg is one Identity, which lowers the potential by one node
TWICE = text_model(
    "g (float[2,3] x) => (float[2,3] y) { a = Neg(x)  b = Neg(a)  y = Relu(b) }"
)  # fmt: skip


def right() -> Rule:
    return pair("toy/right", lambda b, x: b.op("Identity", x))


def wrong() -> Rule:
    return pair("toy/wrong", lambda b, x: b.op("Abs", x))


def one_step_too_many() -> Rule:
    """Clip without bounds, which CANN refuses, becomes three nodes: bad nodes count first."""
    return single(
        "toy/clip", "Clip", lambda b, x: b.op("Neg", b.op("Neg", b.op("Identity", x))),
        Exactness.ROUNDING,
    )  # fmt: skip


# ---------------------------------------------------------------------- proofs


def test_right_rule_is_committed_with_its_proof() -> None:
    after, engine = rewrite(TWICE, [right()])
    assert operators(after) == ["Identity", "Relu"]
    change = engine.changes[0].to_json()
    assert change["rule"] == "toy/right" and change["exactness"] == "exact"
    assert change["proof"]["proved"] is True
    assert change["proof"]["samples"] > 1 and change["proof"]["max_abs_error"] == 0
    assert_same(TWICE, after)


def test_rule_that_changes_results_is_rolled_back_and_reported() -> None:
    rule = wrong()
    after, engine = rewrite(TWICE, [rule])
    assert after.graph == rewrite(TWICE, [])[0].graph
    assert engine.changes == []
    [(name, node, proof)] = engine.gate.failed_proofs
    assert name == rule.name and node == engine.model.graph.nodes[1].name
    assert proof.ok is False and "instead of" in proof.reason
    assert refused(engine, rule) == f"the proof failed: {proof.reason}"
    assert engine.statistics[rule.name].fired == 0


def test_without_verification_nothing_catches_it() -> None:
    after, engine = rewrite(TWICE, [wrong()], verify="off")
    assert operators(after) == ["Abs", "Relu"]
    assert engine.changes[0].to_json()["proof"] is None


def test_the_next_rule_gets_its_turn_after_a_failed_proof() -> None:
    after, engine = rewrite(TWICE, [wrong(), right()])
    assert operators(after) == ["Identity", "Relu"]
    assert fired(engine) == {"toy/right": 1}


@pytest.mark.parametrize(
    ("value", "exactness", "fires"),
    [
        ("nan", Exactness.EXACT, False),
        ("nan", Exactness.ROUNDING, True),
        ("small", Exactness.EXACT, False),
        ("small", Exactness.ROUNDING, True),
    ],
)
def test_exactness_decides_what_counts_as_equal(
    value: str, exactness: Exactness, fires: bool
) -> None:
    """x * 0 is 0 but for NaN and infinities; x * (1 + 2^-23) is x but for rounding."""
    factor = np.float32(0 if value == "nan" else 1 + 2**-23)
    proto = model_of(
        [
            helper.make_node("Mul", ["x", "c"], ["a"], name="mul"),
            helper.make_node("Neg", ["a"], ["y"], name="neg"),
        ],
        {"x": [2, 3]}, {"y": [2, 3]}, {"c": factor},
    )  # fmt: skip

    def build(b: Builder, x: str) -> str:
        if value == "nan":
            return b.constant(np.zeros((2, 3), np.float32))
        return b.op("Neg", x)

    rule = pair("toy/near", build, first="Mul", exactness=exactness)
    # an output of the graph cannot be a bare constant: another node stands behind it
    proto.graph.node.append(helper.make_node("Relu", ["y"], ["z"], name="relu"))
    proto.graph.output[0].name = "z"
    _, engine = rewrite(proto, [rule])
    assert bool(fired(engine)) is fires, engine.statistics[rule.name]


def test_rule_that_builds_nonsense_is_refused() -> None:
    rule = pair("toy/nonsense", lambda b, x: b.op("Concat", x, x))  # no axis
    after, engine = rewrite(TWICE, [rule])
    assert operators(after) == ["Neg", "Neg", "Relu"]
    assert refused(engine, rule)
    unknown = pair("toy/unknown", lambda b, x: b.op("NoSuchOperator", x))
    after, engine = rewrite(TWICE, [unknown])
    assert operators(after) == ["Neg", "Neg", "Relu"]
    assert refused(engine, unknown)


# ---------------------------------------------------------------------- structure

USED_ELSEWHERE = {
    "by another node": "g (float[2] x) => (float[2] y, float[2] z) "
    "{ a = Neg(x)  y = Neg(a)  z = Relu(a) }",
    "as an output": "g (float[2] x) => (float[2] y, float[2] a) { a = Neg(x)  y = Neg(a) }",
    "by a branch": """g (bool c, float[2] x) => (float[2] y, float[2] z) {
        a = Neg(x)
        y = Neg(a)
        z = If (c) <
            then_branch = t () => (float[2] p) { p = Relu(a) },
            else_branch = e () => (float[2] q) { q = Abs(x) }
        >
    }""",
    "as a branch's output": """g (bool c, float[2] x) => (float[2] y, float[2] z) {
        a = Neg(x)
        y = Neg(a)
        z = If (c) <
            then_branch = t () => (a) {},
            else_branch = e () => (float[2] q) { q = Abs(x) }
        >
    }""",
}


@pytest.mark.parametrize("where", USED_ELSEWHERE)
def test_a_value_that_is_used_elsewhere_is_not_dropped(where: str) -> None:
    proto = text_model(USED_ELSEWHERE[where])
    rule = right()
    after, engine = rewrite(proto, [rule])
    assert refused(engine, rule) == "a value that it drops is used elsewhere"
    assert after.graph == proto.graph


def test_a_value_that_is_used_elsewhere_may_be_given_anew() -> None:
    """Shape and value of both nodes from one rule: the first is replaced too."""
    proto = text_model(USED_ELSEWHERE["by another node"])

    def match(node: Node, graph: Graph) -> Site | No:
        before = node.input(0).producer
        if before is None or before.op_type != "Neg":
            return No("no Neg comes first")
        b = Builder(node, graph)
        name = b.op("Neg", before.inputs[0])
        return b.site(
            {node.outputs[0]: b.op("Neg", name), before.outputs[0]: name}, drop=(node, before)
        )

    rule = toy("toy/both", "Neg", match)
    after, engine = rewrite(proto, [rule], verify="off")
    # as many nodes as before: only the potential speaks against it
    assert refused(engine, rule).startswith("it would not lower the potential")
    assert_same(proto, after)


def test_existing_value_does_not_take_over_an_output() -> None:
    rule = single("toy/identity", "Identity", lambda b, x: x)
    proto = text_model("g (float[2] x) => (float[2] y) { a = Relu(x)  y = Identity(a) }")
    after, engine = rewrite(proto, [rule])
    assert refused(engine, rule) == "an existing value cannot take over an output of the graph"
    assert after.graph == proto.graph


def test_existing_value_does_not_take_over_a_branch_output() -> None:
    rule = single("toy/identity", "Identity", lambda b, x: x)
    proto = text_model("""g (bool c, float[2] x) => (float[2] y) {
        a = Relu(x)
        y = If (c) <
            then_branch = t () => (float[2] p) { p = Identity(a) },
            else_branch = e () => (float[2] q) { q = Abs(a) }
        >
    }""")
    after, engine = rewrite(proto, [rule])
    assert refused(engine, rule) == "an existing value cannot take over an output of the graph"
    assert_same(proto, after)


def test_existing_value_takes_over_between_nodes_and_in_branches() -> None:
    rule = single("toy/identity", "Identity", lambda b, x: x)
    proto = text_model("""g (bool c, float[2] x) => (float[2] y) {
        a = Identity(x)
        y = If (c) <
            then_branch = t () => (float[2] p) { p = Neg(a) },
            else_branch = e () => (float[2] q) { q = Abs(a) }
        >
    }""")
    after, engine = rewrite(proto, [rule])
    assert fired(engine) == {"toy/identity": 1}
    assert operators(after) == ["If"]
    assert_same(proto, after)


def test_a_cycle_is_refused() -> None:
    """a -> Relu -> b; the new node for `a` would take `b`."""
    proto = text_model("g (int64[2] x) => (int64[2] y) { a = Neg(x)  b = Abs(a)  y = Add(a, b) }")

    def match(node: Node, graph: Graph) -> Site | No:
        first, later = node.input(0).producer, node.inputs[1]
        b = Builder(node, graph)
        zero = b.op("Sub", later, later)
        negative = b.op("Sub", zero, first.inputs[0])
        return b.site(
            {node.outputs[0]: b.op("Add", negative, later), first.outputs[0]: negative},
            drop=(node, first),
        )

    rule = toy("toy/cycle", "Add", match)
    after, engine = rewrite(proto, [rule], verify="off")
    assert refused(engine, rule) == "it would make a cycle"
    assert after.graph == proto.graph


def test_a_cycle_of_one_dropped_node_is_refused() -> None:
    """The same with a single node, which CANN refuses, so that the potential would fall."""
    proto = text_model(
        "g (int64[2] x) => (int64[2] y) { a = Clip(x)  b = Abs(a)  y = Add(a, b) }"
    )  # fmt: skip

    def match(node: Node, graph: Graph) -> Site | No:
        later = node.output(0).uses[0][0].outputs[0]
        b = Builder(node, graph)
        return b.site(b.op("Add", node.inputs[0], b.op("Sub", later, later)))

    rule = toy("toy/cycle", "Clip", match)
    after, engine = rewrite(proto, [rule])
    assert refused(engine, rule) == "it would make a cycle"
    assert_same(proto, after)


def test_a_cycle_through_a_branch_is_refused() -> None:
    """What the new node takes depends on the old one through a captured value."""
    proto = text_model("""g (bool c, int64[2] x) => (int64[2] y) {
        a = Neg(x)
        b = If (c) <
            then_branch = t () => (int64[2] p) { p = Abs(a) },
            else_branch = e () => (int64[2] q) { q = Sign(a) }
        >
        y = Add(a, b)
    }""")

    def match(node: Node, graph: Graph) -> Site | No:
        first, later = node.input(0).producer, node.inputs[1]
        b = Builder(node, graph)
        negative = b.op("Sub", b.op("Sub", later, later), first.inputs[0])
        return b.site(
            {node.outputs[0]: b.op("Add", negative, later), first.outputs[0]: negative},
            drop=(node, first),
        )

    rule = toy("toy/cycle", "Add", match)
    _, engine = rewrite(proto, [rule], verify="off")
    assert refused(engine, rule) == "it would make a cycle"


def test_a_site_across_graphs_is_refused() -> None:
    """A node in a branch and its producer outside are no site."""
    proto = text_model("""g (bool c, float[2] x) => (float[2] y) {
        a = Neg(x)
        y = If (c) <
            then_branch = t () => (float[2] p) { p = Neg(a) },
            else_branch = e () => (float[2] q) { q = Abs(x) }
        >
    }""")
    rule = right()
    after, engine = rewrite(proto, [rule])
    assert refused(engine, rule) == "a node of the site is gone"
    assert_same(proto, after)


# ---------------------------------------------------------------------- boundary

BOUNDARIES: dict[str, tuple[Callable[[Builder, str], str], str]] = {
    "dtype": (lambda b, x: b.cast(x, "double"), "the output would be double instead of float32"),
    "rank": (lambda b, x: b.unsqueeze(x, [0]), "the output would have rank 3 instead of 2"),
    "shape": (
        lambda b, x: b.op("Transpose", x, perm=[1, 0]),
        "the output would have shape (3, 2) instead of (2, 3)",
    ),
}


@pytest.mark.parametrize("what", BOUNDARIES)
@pytest.mark.parametrize("verify", ["site", "off"])
def test_boundary_keeps_its_types(what: str, verify: str) -> None:
    build, reason = BOUNDARIES[what]
    rule = pair("toy/boundary", build)
    after, engine = rewrite(TWICE, [rule], verify)
    assert refused(engine, rule) == reason
    assert operators(after) == ["Neg", "Neg", "Relu"]


# ---------------------------------------------------------------------- potential, termination


def test_rule_that_lowers_nothing_is_refused() -> None:
    rule = single("toy/same", "Neg", lambda b, x: b.op("Sub", b.scalar(0, "float32"), x))
    after, engine = rewrite(TWICE, [rule])
    assert refused(engine, rule) == "it would not lower the potential"
    assert operators(after) == ["Neg", "Neg", "Relu"]


def test_rule_that_writes_what_cann_refuses_is_refused_by_name() -> None:
    rule = pair("toy/clip", lambda b, x: b.op("Neg", b.op("Clip", x)))
    _, engine = rewrite(TWICE, [rule], verify="off")
    reason = refused(engine, rule)
    assert reason.startswith("it would not lower the potential: ") and "Clip" in reason


def test_fewer_refusals_outweigh_more_nodes() -> None:
    proto = text_model("g (float[2] x) => (float[2] y) { y = Clip(x) }")
    after, _ = rewrite(proto, [one_step_too_many()])
    assert operators(after) == ["Identity", "Neg", "Neg"]


@pytest.mark.parametrize("first", ["there", "back"])
def test_rules_that_undo_each_other_end(first: str) -> None:
    there = pair("toy/there", lambda b, x: b.op("Identity", x))
    back = single("toy/back", "Identity", lambda b, x: b.op("Neg", b.op("Neg", x)))
    rules = [there, back] if first == "there" else [back, there]
    after, engine = rewrite(TWICE, rules)
    assert operators(after) == ["Identity", "Relu"]
    assert fired(engine) == {"toy/there": 1}
    assert refused(engine, back) == "it would not lower the potential"


def test_rules_of_equal_potential_that_undo_each_other_never_start() -> None:
    there = single("toy/there", "Neg", lambda b, x: b.op("Abs", x))
    back = single("toy/back", "Abs", lambda b, x: b.op("Neg", x))
    after, engine = rewrite(TWICE, [there, back], verify="off")
    assert operators(after) == ["Neg", "Neg", "Relu"] and fired(engine) == {}


def test_what_one_rule_leaves_another_takes_up() -> None:
    """Four Neg: the pairs inside the result of a commit are found too."""
    proto = text_model(
        "g (float[2] x) => (float[2] y) "
        "{ a = Neg(x)  b = Neg(a)  c = Neg(b)  d = Neg(c)  y = Relu(d) }"
    )
    gone = single("toy/gone", "Identity", lambda b, x: x)
    after, engine = rewrite(proto, [right(), gone])
    assert operators(after) == ["Relu"], fired(engine)
    assert_same(proto, after)


def test_neighbours_of_a_removed_node_are_tried_again() -> None:
    """Neg, Identity, Neg: the pair exists only once the Identity is gone."""
    proto = text_model(
        "g (float[2] x) => (float[2] y) { a = Neg(x)  b = Identity(a)  c = Neg(b)  y = Relu(c) }"
    )
    gone = single("toy/gone", "Identity", lambda b, x: x)
    for rules in ([right(), gone], [gone, right()]):
        after, _ = rewrite(proto, rules)
        assert operators(after) == ["Relu"]


# ---------------------------------------------------------------------- approximate


def test_approximate_rules_fire_only_when_allowed() -> None:
    rule = pair("toy/about", lambda b, x: b.op("Identity", x), exactness=Exactness.APPROXIMATE)
    after, engine = rewrite(TWICE, [rule])
    assert operators(after) == ["Neg", "Neg", "Relu"]
    assert refused(engine, rule) == "it is approximate and was not asked for"
    after, engine = rewrite(TWICE, [rule], approximate=True)
    assert operators(after) == ["Identity", "Relu"]
    assert engine.changes[0].exactness == "approximate"


# ---------------------------------------------------------------------- determinism


def many_sites(seed: int | None) -> onnx.ModelProto:
    """Twelve pairs of Neg, some in a row, on shuffled lines."""
    nodes = []
    for i in range(12):
        source = "x" if i % 3 == 0 else f"out_{i - 1}"
        nodes.append(helper.make_node("Neg", [source], [f"mid_{i}"], name=f"first_{i}"))
        nodes.append(helper.make_node("Neg", [f"mid_{i}"], [f"out_{i}"], name=f"second_{i}"))
    tails = [f"out_{i}" for i in range(2, 12, 3)]
    nodes.append(helper.make_node("Sum", tails, ["y"], name="sum"))
    if seed is not None:
        random.Random(seed).shuffle(nodes)
    return model_of(nodes, {"x": [2, 3]}, {"y": [2, 3]})


def test_changes_do_not_depend_on_the_order_of_the_file() -> None:
    def changes(seed: int | None) -> set[tuple]:
        after, engine = rewrite(many_sites(seed), [right()])
        assert_same(many_sites(None), after)
        return {(c.rule, tuple(c.before), tuple(c.after)) for c in engine.changes}

    wanted = changes(None)
    assert len(wanted) == 12
    for seed in range(8):
        assert changes(seed) == wanted, seed


def test_two_runs_give_the_same_bytes() -> None:
    first, second = (rewrite(many_sites(3), [right()])[0] for _ in range(2))
    assert first.SerializeToString(deterministic=True) == second.SerializeToString(
        deterministic=True
    )


# ---------------------------------------------------------------------- subgraphs


def test_rules_work_inside_branches() -> None:
    proto = text_model("""g (bool c, float[2] x) => (float[2] y) {
        a = Relu(x)
        y = If (c) <
            then_branch = t () => (float[2] p) { n = Neg(a)  m = Neg(n)  p = Abs(m) },
            else_branch = e () => (float[2] r) {
                r = If (c) <
                    then_branch = u () => (float[2] s) { s = Sign(a) },
                    else_branch = v () => (float[2] w) { k = Neg(x)  w = Neg(k) }
                >
            }
        >
    }""")
    after, engine = rewrite(proto, [right()])
    assert fired(engine) == {"toy/right": 2}
    assert " = Neg" not in onnx.printer.to_text(after)
    assert onnx.printer.to_text(after).count(" = Identity") == 2
    for flag in (True, False):
        feed = {"c": np.array(flag), "x": np.float32([-1.5, 2])}
        np.testing.assert_array_equal(outputs(after, feed)[0], outputs(proto, feed)[0])


def test_rules_work_inside_loop_bodies() -> None:
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"], name="go"),
            helper.make_node("Neg", ["state"], ["n"], name="n"),
            helper.make_node("Neg", ["n"], ["m"], name="m"),
            helper.make_node("Add", ["m", "step"], ["state_out"], name="add"),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, [2]),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state_out", TensorProto.FLOAT, [2]),
        ],
    )
    nodes = [
        helper.make_node("Abs", ["x"], ["step"], name="abs"),
        helper.make_node("Loop", ["count", "", "x"], ["y"], name="loop", body=body),
    ]
    proto = model_of(nodes, {"x": [2]}, {"y": [2]}, {"count": np.array(3)})
    after, engine = rewrite(proto, [right()])
    assert fired(engine) == {"toy/right": 1}
    inner = after.graph.node[1].attribute[0].g
    assert [n.op_type for n in inner.node] == ["Identity", "Identity", "Add"]
    assert_same(proto, after)


# ---------------------------------------------------------------------- names, metadata


def all_names(graph: onnx.GraphProto) -> tuple[list[str], list[str]]:
    """(node names, names of values that something gives), of all graphs."""
    nodes, values = [], [i.name for i in graph.input] + [t.name for t in graph.initializer]
    for node in graph.node:
        nodes.append(node.name)
        values += [o for o in node.output if o]
        for attribute in node.attribute:
            if attribute.HasField("g"):
                inner = all_names(attribute.g)
                nodes += inner[0]
                values += inner[1]
    return nodes, values


def test_new_names_are_fresh() -> None:
    """Every name that the engine would make up first is taken, one of them within a branch."""
    rule = single(
        "toy/spell", "Clip", lambda b, x: b.op("Add", b.op("Identity", x), b.scalar(0, "float32")),
        Exactness.ROUNDING,
    )  # fmt: skip
    plain = text_model("g (float[2] x) => (float[2] y) { y = Clip(x) }")
    plain.graph.node[0].name = "clip"
    first, _ = rewrite(plain, [rule])
    nodes, values = all_names(first.graph)
    made_up = sorted({*nodes, *values} - {"clip", "x", "y"})
    assert made_up
    proto = text_model("""g (bool c, float[2] x) => (float[2] y, float[2] z) {
        y = Clip(x)
        z = If (c) <
            then_branch = t () => (float[2] p) { p = Neg(x) },
            else_branch = e () => (float[2] q) { q = Abs(x) }
        >
    }""")
    proto.graph.node[0].name = "clip"
    branch = proto.graph.node[1].attribute[0].g
    for name in made_up:
        last = branch.node[-1].input[0]
        branch.node.insert(
            len(branch.node) - 1, helper.make_node("Neg", [last], [name], name=name)
        )  # fmt: skip
        branch.node[-1].input[0] = name
    after, engine = rewrite(proto, [rule])
    assert fired(engine) == {"toy/spell": 1}
    for names in all_names(after.graph):
        known = [n for n in names if n]
        assert len(known) == len(set(known)), known
    assert_same(proto, after)


def metadata(node: onnx.NodeProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in node.metadata_props}


def test_new_nodes_say_where_they_come_from() -> None:
    after, engine = rewrite(many_sites(None), [right()])
    for node in after.graph.node:
        if node.op_type == "Identity":
            known = metadata(node)
            assert known["graphfix.rule"] == "toy/right"
            assert known["graphfix.origin"] in {f"second_{i}" for i in range(12)}
        else:
            assert metadata(node) == {}
    assert {c.after[0] for c in engine.changes} == {
        n.name for n in after.graph.node if n.op_type == "Identity"
    }


def test_origin_survives_a_second_rewrite() -> None:
    """What a rule adds and another rule takes up still names the node of the user's file."""
    proto = text_model("g (float[2] x) => (float[2] y) { a = Clip(x)  y = Relu(a) }")
    proto.graph.node[0].name, proto.graph.node[1].name = "/block/clip", "/block/relu"
    rules = [one_step_too_many(), right(), single("toy/gone", "Identity", lambda b, x: b.op(
        "Neg", x))]  # fmt: skip
    after, engine = rewrite(proto, rules, verify="off")
    assert fired(engine)["toy/clip"] == 1 and fired(engine)["toy/right"] == 1
    for node in after.graph.node:
        if node.op_type != "Relu":
            assert metadata(node)["graphfix.origin"] == "/block/clip", node
    assert metadata(after.graph.node[0])["graphfix.rule"] in ("toy/right", "toy/clip")


def test_all_original_nodes_of_a_site_are_named() -> None:
    """Through two rewrites, and in a file that was saved, checked, loaded and fixed again."""
    proto = text_model("g (float[2] x) => (float[2] y) { a = Neg(x)  b = Neg(a)  y = Clip(b) }")
    for node, name in zip(proto.graph.node, ("/first", "/second", "/clip"), strict=True):
        node.name = name
    joined = pair("toy/joined", lambda b, x: b.op("Abs", x))
    both = pair("toy/both", lambda b, x: b.op("Relu", x), root="Clip", first="Abs")
    after, _ = rewrite(proto, [joined, both], verify="off")
    onnx.checker.check_model(after)
    again = onnx.load_from_string(after.SerializeToString())
    (made,) = (metadata(n) for n in again.graph.node)
    assert made["graphfix.rule"] == "toy/both"
    assert made["graphfix.origin"] == "/clip"
    assert made["graphfix.origins"].split("\n") == ["/clip", "/second", "/first"]


def test_untouched_nodes_keep_name_and_place() -> None:
    proto = many_sites(None)
    after, _ = rewrite(proto, [right()])
    assert after.graph.node[-1] == proto.graph.node[-1]
    assert after.graph.input == proto.graph.input
    assert after.graph.output == proto.graph.output


# ---------------------------------------------------------------------- statistics and cost


def test_statistics_count_what_happened_and_why() -> None:
    proto = text_model(
        "g (float[2] x) => (float[2] y, float[2] z) "
        "{ a = Neg(x)  b = Neg(a)  y = Relu(b)  c = Neg(y)  z = Neg(c) }"
    )
    good, bad = right(), pair("toy/wrong", lambda b, x: b.op("Abs", x))
    _, engine = rewrite(proto, [bad, good])
    seen = engine.statistics
    # each of the four Neg once: the first ones of a pair miss
    assert seen["toy/wrong"].tried == 4
    assert dict(seen["toy/wrong"].missed) == {"no Neg comes first": 2}
    assert sum(seen["toy/wrong"].refused.values()) == 2 and seen["toy/wrong"].fired == 0
    assert (seen["toy/right"].tried, seen["toy/right"].fired) == (4, 2)
    assert dict(seen["toy/right"].missed) == {"no Neg comes first": 2}
    assert not seen["toy/right"].refused


@pytest.mark.parametrize("rule", [right, wrong])
def test_equal_sites_are_proved_once(
    rule: Callable[[], Rule], monkeypatch: pytest.MonkeyPatch
) -> None:
    from graphfix.rewrite import gate as module

    count = 794
    nodes = [helper.make_node("Relu", ["x"], ["relu_-1"], name="start")]
    for i in range(count):
        source = f"relu_{i - 1}"
        nodes.append(helper.make_node("Neg", [source], [f"a_{i}"], name=f"a_{i}"))
        nodes.append(helper.make_node("Neg", [f"a_{i}"], [f"b_{i}"], name=f"b_{i}"))
        nodes.append(helper.make_node("Relu", [f"b_{i}"], [f"relu_{i}"], name=f"relu_{i}"))
    proto = model_of(nodes, {"x": [2, 3]}, {f"relu_{count - 1}": [2, 3]})
    calls = []
    prove = module.prove
    monkeypatch.setattr(module, "prove", lambda *a: calls.append(1) or prove(*a))
    toy_rule = rule()
    _, engine = rewrite(proto, [toy_rule])
    assert len(calls) == 1
    statistics = engine.statistics[toy_rule.name]
    assert statistics.fired + sum(statistics.refused.values()) == count


def test_sites_of_other_shapes_or_constants_are_proved_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from graphfix.rewrite import gate as module

    proto = model_of(
        [
            node
            for i, name in enumerate("uvw")
            for node in (
                helper.make_node("Mul", [name, f"c{i}"], [f"a{i}"], name=f"mul{i}"),
                helper.make_node("Neg", [f"a{i}"], [f"y{i}"], name=f"neg{i}"),
            )
        ],
        {"u": [2], "v": [2], "w": [3]},
        {"y0": [2], "y1": [2], "y2": [3]},
        {"c0": np.float32(1), "c1": np.float32(2), "c2": np.float32(1)},
    )
    calls = []
    prove = module.prove
    monkeypatch.setattr(module, "prove", lambda *a: calls.append(1) or prove(*a))
    rule = pair("toy/one", lambda b, x: b.op("Neg", x), first="Mul")
    after, engine = rewrite(proto, [rule])
    assert len(calls) == 3
    # times one is nothing, times two is not
    assert fired(engine) == {"toy/one": 2} and operators(after).count("Mul") == 1
    assert_same(proto, after)


class Counted(Rule):
    """A rule that never matches and counts how often it is asked."""

    def __init__(self, root: str) -> None:
        self.roots = (root,)
        self.name = f"toy/{root}"
        self.calls = 0

    def match(self, node: Node, graph: Graph) -> Site | No:
        self.calls += 1
        return No("never")


def test_rules_without_a_root_in_the_model_are_never_asked() -> None:
    idle = [Counted(f"Operator{i}") for i in range(100)]
    with_idle, engine = rewrite(many_sites(None), [*idle, right()])
    alone, other = rewrite(many_sites(None), [right()])
    assert sum(rule.calls for rule in idle) == 0
    assert engine.statistics["toy/right"].tried == other.statistics["toy/right"].tried
    assert with_idle == alone


def test_rules_that_never_match_are_asked_once_a_node() -> None:
    proto = many_sites(None)
    idle = [Counted("Neg") for _ in range(100)]
    for i, rule in enumerate(idle):
        rule.name = f"toy/{i}"
    rewrite(proto, idle)
    assert {rule.calls for rule in idle} == {24}


def test_a_commit_wakes_its_neighbours_only() -> None:
    """Each commit may ask again what is around it, not the whole graph."""
    counts = []
    for length in (20, 40):
        nodes = [
            node
            for i in range(length)
            for node in (
                helper.make_node("Neg", [f"r{i}"], [f"a{i}"], name=f"a{i}"),
                helper.make_node("Neg", [f"a{i}"], [f"b{i}"], name=f"b{i}"),
                helper.make_node("Relu", [f"b{i}"], [f"r{i + 1}"], name=f"r{i}"),
            )
        ]
        idle = Counted("Relu")
        proto = model_of(nodes, {"r0": [2]}, {f"r{length}": [2]})
        _, engine = rewrite(proto, [idle, right()])
        assert fired(engine) == {"toy/right": length}
        counts.append(idle.calls)
    assert counts[1] <= 2.2 * counts[0]


# ---------------------------------------------------------------------- all orders of rules


def test_order_of_rules_does_not_change_the_result_of_independent_sites() -> None:
    proto = text_model(
        "g (float[2] x) => (float[2] y) "
        "{ a = Neg(x)  b = Neg(a)  c = Clip(b)  d = Identity(c)  y = Relu(d) }"
    )
    rules = [
        right(),
        single("toy/clip", "Clip", lambda b, x: b.op("Identity", x), Exactness.ROUNDING),
        single("toy/gone", "Identity", lambda b, x: x),
    ]
    for order in itertools.permutations(rules):
        after, _ = rewrite(proto, order)
        assert operators(after) == ["Relu"], [r.name for r in order]


def test_invalid_nodes_are_refused_without_a_proof_too() -> None:
    """An attribute that the opset does not know: the runtime would not load the result."""
    proto = text_model("g (float[2] x) => (float[2] y) { y = Clip(x) }")
    rule = single("toy/invalid", "Clip", lambda b, x: b.op("Abs", x, surprise=1))
    after, engine = rewrite(proto, [rule], verify="off")
    assert fired(engine) == {} and operators(after) == ["Clip"]
    (reason,) = engine.statistics["toy/invalid"].refused
    assert "invalid node" in reason and "surprise" in reason

"""The index: producers, uses, captures, and edits that keep it right."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import onnx
import onnx.checker
import onnx.numpy_helper
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from graphfix.graph import Graph, Model, Node
from tests.builders import BOOL, NESTED_IF, model_of, text_model

CHAIN = """
g (float[2] x) => (float[2] y) {
    a = Relu(x)
    b = Add(a, a)
    y = Mul(b, a)
}
"""


def graph_of(text: str) -> Graph:
    return Model(text_model(text)).graph


def find(graph: Graph, op_type: str) -> Node:
    return next(node for node in graph.walk() if node.op_type == op_type)


def uses(graph: Graph, name: str) -> list[tuple[str, int]]:
    return [(node.op_type, index) for node, index in graph.values[name].uses]


# ---------------------------------------------------------------------- reading


def test_producers_and_uses() -> None:
    graph = graph_of(CHAIN)
    assert graph.values["a"].producer is graph.nodes[0]
    assert uses(graph, "a") == [("Add", 0), ("Add", 1), ("Mul", 1)]
    assert graph.values["x"].producer is None and graph.values["x"].is_input
    assert graph.values["y"].is_output and graph.values["y"].uses == []


def test_initializer_and_constant_node_are_constants() -> None:
    constant = helper.make_node("Constant", [], ["k"], value_floats=[1.0, 2.0])
    stored = helper.make_node(
        "Constant", [], ["s"], value=onnx.numpy_helper.from_array(np.float32([3, 4]))
    )
    add = helper.make_node("Sum", ["x", "w", "k", "s"], ["y"])
    graph = Model(
        model_of([constant, stored, add], {"x": [2]}, {"y": [2]}, {"w": np.float32([5, 6])})
    ).graph
    assert graph.values["w"].is_constant and graph.values["w"].known.tolist() == [5, 6]
    assert graph.values["s"].is_constant and graph.values["s"].known.tolist() == [3, 4]
    assert graph.values["w"].shape == (2,) and graph.values["w"].dtype == "float32"
    assert graph.values["k"].producer is graph.nodes[0]


def test_branch_node_uses_the_outer_value() -> None:
    graph = graph_of(NESTED_IF)
    assert ("Neg", 0) in uses(graph, "a")
    assert ("Abs", 0) in uses(graph, "x")
    assert find(graph, "Neg").graph.lookup("a") is graph.values["a"]


def test_branch_that_returns_an_outer_value_uses_it() -> None:
    graph = graph_of(NESTED_IF)
    (user, index) = graph.values["b"].uses[0]
    assert (user.op_type, index) == ("If", -1)
    assert user.graph.parent is graph  # the inner If, which owns the branch


def test_captured_names_include_nested_ones() -> None:
    graph = graph_of(NESTED_IF)
    then_branch, else_branch = (g for _, g in find(graph, "If").subgraphs)
    assert then_branch.captured() == ["a"]
    assert else_branch.captured() == ["b", "c", "x"]
    assert find(graph, "If") in {n for n in graph.nodes if n.subgraphs}
    assert graph.predecessors(find(graph, "If")) == {find(graph, "Relu"), find(graph, "Sigmoid")}


def test_branch_value_shadows_the_outer_one() -> None:
    graph = graph_of("""
        g (bool c, float[2] x) => (float[2] y) {
            a = Relu(x)
            y = If (c) <
                then_branch = t () => (float[2] t) { a = Neg(x) t = Abs(a) },
                else_branch = e () => (float[2] e) { e = Exp(a) }
            >
        }""")
    assert uses(graph, "a") == [("Exp", 0)]


def test_walk_and_graphs_reach_every_level() -> None:
    graph = graph_of(NESTED_IF)
    assert [n.op_type for n in graph.walk()] == ["Relu", "Sigmoid", "If", "Neg", "If", "Abs"]
    names = [g.proto.name for g in graph.graphs()]
    assert names == ["g", "outer_then", "outer_else", "inner_then", "inner_else"]


def test_two_producers_of_one_name_are_contested() -> None:
    nodes = [helper.make_node(op, ["x"], ["a"]) for op in ("Relu", "Neg", "Abs")]
    nodes.append(helper.make_node("Exp", ["a"], ["y"]))
    graph = Model(model_of(nodes, {"x": [2]}, {"y": [2]})).graph
    assert graph.values["a"].producer is graph.nodes[0]
    assert graph.contested == {"a": graph.nodes[1:3]}
    graph.remove_node(graph.nodes[0])
    assert graph.values["a"].producer is graph.nodes[0]
    assert graph.contested == {"a": [graph.nodes[1]]}
    graph.remove_node(graph.nodes[1])
    assert graph.contested == {}


def test_missing_names_are_told() -> None:
    nodes = [helper.make_node("Add", ["x", "ghost"], ["y"])]
    graph = Model(model_of(nodes, {"x": [2]}, {"y": [2]})).graph
    assert graph.missing() == {"ghost"}
    assert graph.lookup("ghost").exists is False


def test_empty_optional_input_is_no_value() -> None:
    nodes = [helper.make_node("Clip", ["x", "", "high"], ["y"])]
    graph = Model(model_of(nodes, {"x": [2]}, {"y": [2]}, {"high": np.float32(1)})).graph
    assert graph.has_empty_inputs
    assert graph.nodes[0].input(1) is None and graph.nodes[0].input(7) is None
    assert graph.nodes[0].input(2) is graph.values["high"]
    assert "" not in graph.values


def test_repeated_attribute_the_first_counts() -> None:
    node = helper.make_node("Softmax", ["x"], ["y"], axis=1)
    node.attribute.add(name="axis", type=onnx.AttributeProto.INT, i=7)
    graph = Model(model_of([node], {"x": [2, 2]}, {"y": [2, 2]})).graph
    assert graph.nodes[0].attributes["axis"].i == 1


# ---------------------------------------------------------------------- order


def test_unsorted_file_is_sorted() -> None:
    nodes = [
        helper.make_node("Mul", ["b", "a"], ["y"]),
        helper.make_node("Add", ["a", "a"], ["b"]),
        helper.make_node("Relu", ["x"], ["a"]),
    ]
    graph = Model(model_of(nodes, {"x": [2]}, {"y": [2]})).graph
    assert not graph.is_sorted()
    ordered, cyclic = graph.sorted_nodes()
    assert [n.op_type for n in ordered] == ["Relu", "Add", "Mul"] and cyclic == []


def test_sorting_keeps_the_order_of_the_file_where_it_can() -> None:
    nodes = [helper.make_node("Relu", ["x"], [f"v{i}"], name=f"n{i}") for i in range(20)]
    random.Random(1).shuffle(nodes)
    graph = Model(model_of(nodes, {"x": [2]}, {"v0": [2]})).graph
    assert graph.is_sorted()
    assert [n.name for n in graph.sorted_nodes()[0]] == [n.name for n in nodes]


def test_cycle_and_what_hangs_on_it() -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("Add", ["a", "c"], ["b"]),
        helper.make_node("Neg", ["b"], ["c"]),
        helper.make_node("Exp", ["c"], ["y"]),
    ]
    graph = Model(model_of(nodes, {"x": [2]}, {"y": [2]})).graph
    ordered, cyclic = graph.sorted_nodes()
    assert [n.op_type for n in ordered] == ["Relu"]
    assert [n.op_type for n in cyclic] == ["Add", "Neg", "Exp"]


def test_node_that_feeds_itself_is_a_cycle() -> None:
    nodes = [helper.make_node("Add", ["x", "y"], ["y"])]
    graph = Model(model_of(nodes, {"x": [2]}, {"y": [2]})).graph
    assert not graph.is_sorted()
    assert [n.op_type for n in graph.sorted_nodes()[1]] == ["Add"]


def test_captures_order_nodes() -> None:
    model = text_model("""
        g (bool c, float[2] x) => (float[2] y) {
            y = If (c) <
                then_branch = t () => (float[2] t) { t = Neg(a) },
                else_branch = e () => (float[2] e) { e = Abs(x) }
            >
            a = Relu(x)
        }""")
    graph = Model(model).graph
    assert not graph.is_sorted()
    assert [n.op_type for n in graph.sorted_nodes()[0]] == ["Relu", "If"]
    onnx.checker.check_model(Model(model).to_proto())


# ---------------------------------------------------------------------- editing


def test_replace_uses_reaches_into_branches() -> None:
    model = Model(text_model(NESTED_IF))
    graph = model.graph
    graph.replace_uses("a", "x")
    assert graph.values["a"].uses == []
    assert find(graph, "Neg").inputs == ["x"] and find(graph, "Neg").proto.input[0] == "x"
    assert ("Neg", 0) in uses(graph, "x")


def test_replace_uses_keeps_the_interface() -> None:
    graph = graph_of(CHAIN)
    with pytest.raises(ValueError, match="output"):
        graph.replace_uses("y", "a")
    graph = graph_of(NESTED_IF)
    with pytest.raises(ValueError, match="output"):
        graph.replace_uses("b", "a")  # a branch returns it


def test_new_node_in_front_of_a_branch_is_written_in_front() -> None:
    model = Model(text_model(NESTED_IF))
    graph = model.graph
    graph.add_node(helper.make_node("Tanh", ["x"], ["n"]))
    graph.set_input(find(graph, "Neg"), 0, "n")
    order = [n.op_type for n in model.to_proto().graph.node]
    assert order.index("Tanh") < order.index("If")


def test_removing_an_if_releases_everything_it_captured() -> None:
    graph = graph_of(NESTED_IF)
    graph.remove_node(find(graph, "If"))
    assert {n: uses(graph, n) for n in ("a", "b", "c")} == {"a": [], "b": [], "c": []}
    assert uses(graph, "x") == [("Relu", 0), ("Sigmoid", 0)]
    assert graph.owners == []


def test_rival_constant_takes_over() -> None:
    tensor = onnx.numpy_helper.from_array(np.float32([1, 2]))
    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("Constant", [], ["a"], value=tensor),
        helper.make_node("Neg", ["a"], ["y"]),
    ]
    graph = Model(model_of(nodes, {"x": [2]}, {"y": [2]})).graph
    graph.remove_node(graph.nodes[0])
    assert graph.values["a"].is_constant and graph.values["a"].known.tolist() == [1, 2]


def test_initializers_come_and_go() -> None:
    graph = graph_of(CHAIN)
    tensor = onnx.numpy_helper.from_array(np.float32([1, 2]), "w")
    value = graph.add_initializer(tensor)
    assert value.dtype == "float32" and value.shape == (2,) and value.known.tolist() == [1, 2]
    with pytest.raises(ValueError, match="exists"):
        graph.add_initializer(tensor)
    graph.set_input(graph.nodes[1], 1, "w")
    with pytest.raises(ValueError, match="used"):
        graph.remove_initializer("w")
    graph.set_input(graph.nodes[1], 1, "a")
    graph.remove_initializer("w")
    assert "w" not in graph.values and "w" not in graph.initializers


def test_changed_input_forgets_what_was_inferred() -> None:
    graph = graph_of(CHAIN)
    graph.add_initializer(onnx.numpy_helper.from_array(np.float32([1, 2]), "w"))
    graph.remove_node(graph.nodes[0])
    assert graph.values["a"].producer is None and graph.values["a"].shape is None
    assert graph.missing() == {"a"}


def test_fresh_name_avoids_names_of_branches() -> None:
    graph = graph_of(NESTED_IF)
    assert graph.fresh_name("new") == "new"
    assert graph.fresh_name("q") == "q_1"  # lives in the innermost branch
    assert graph.fresh_name("a") == "a_1"


# ---------------------------------------------------------------------- edits at random


def facts(graph: Graph) -> dict[str, Any]:
    """What a graph knows, without what depends on the order of nodes in the file."""
    described: dict[str, Any] = {}
    dangling: set[tuple[str, str, int]] = set()
    for inner in graph.graphs():
        where = inner.proto.name
        for name, value in inner.values.items():
            users = sorted((n.name, i) for n, i in value.uses)
            if not value.exists:
                dangling.update((name, *user) for user in users if user[1] >= 0)
                continue
            described[f"{where}:{name}"] = (
                value.producer.name if value.producer else None,
                users,
                value.is_input,
                value.is_output,
                value.constant.SerializeToString() if value.constant is not None else None,
                value.dtype if value.is_constant else None,
                sorted(n.name for n in inner.contested.get(name, ())),
            )
        described[f"{where}:"] = (
            sorted(n.name for n in inner.nodes),
            sorted(n.name for n in inner.owners),
            sorted(inner.initializers),
            [n for n in inner.captured() if graph.lookup(n).exists],
        )
    described["dangling"] = sorted(dangling)
    return described


def rebuilt(model: Model) -> Graph:
    return Model(model.to_proto()).graph


def start_model() -> Model:
    then_branch = helper.make_graph(
        [helper.make_node("Neg", ["a"], ["t"], name="then_neg")], "then", [], [_out("t")]
    )
    inner_then = helper.make_graph(
        [helper.make_node("Abs", ["x"], ["q"], name="inner_abs")], "inner_then", [], [_out("q")]
    )
    inner_else = helper.make_graph(
        [helper.make_node("Add", ["a", "w"], ["r"], name="inner_add")],
        "inner_else",
        [],
        [_out("b")],
    )
    inner_if = helper.make_node(
        "If", ["c"], ["e"], name="inner_if", then_branch=inner_then, else_branch=inner_else
    )
    else_branch = helper.make_graph([inner_if], "else", [], [_out("e")])
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], name="n0"),
        helper.make_node("Sigmoid", ["a"], ["b"], name="n1"),
        helper.make_node(
            "If", ["c"], ["i"], name="n2", then_branch=then_branch, else_branch=else_branch
        ),
        helper.make_node("Sum", ["i", "b", "w"], ["y"], name="n3"),
    ]
    inputs = {"c": (BOOL, []), "x": [2]}
    return Model(model_of(nodes, inputs, {"y": [2]}, {"w": np.float32([1, 2])}))


def _out(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [2])


def edit(graph: Graph, dice: random.Random, number: int) -> None:
    """One random legal edit, of the main graph or of a node inside a branch."""
    givers = sorted(n for n, v in graph.values.items() if v.exists)
    kind = dice.choice(["add", "add", "remove", "set", "set", "replace", "constant", "drop"])
    if kind == "add":
        sources = [dice.choice(givers) for _ in range(dice.randint(1, 3))]
        graph.add_node(helper.make_node("Sum", sources, [f"v{number}"], name=f"new{number}"))
    elif kind == "remove" and len(graph.nodes) > 1:
        graph.remove_node(dice.choice(graph.nodes))
    elif kind == "set":
        node = dice.choice([n for n in graph.walk() if n.inputs])
        graph.set_input(node, dice.randrange(len(node.inputs)), dice.choice(givers))
    elif kind == "replace":
        old = dice.choice(sorted(graph.values))
        value = graph.values[old]
        if not value.is_output and all(index >= 0 for _, index in value.uses):
            graph.replace_uses(old, dice.choice(givers))
    elif kind == "constant":
        graph.add_initializer(onnx.numpy_helper.from_array(np.float32([number]), f"k{number}"))
    elif kind == "drop":
        unused = [n for n in graph.initializers if not graph.values[n].uses]
        if unused:
            graph.remove_initializer(dice.choice(sorted(unused)))


@settings(max_examples=150, derandomize=True, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 25))
def test_edits_keep_the_index_equal_to_a_fresh_one(seed: int, count: int) -> None:
    model, dice = start_model(), random.Random(seed)
    for number in range(count):
        edit(model.graph, dice, number)
    assert facts(model.graph) == facts(rebuilt(model))


@settings(max_examples=100, derandomize=True, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 25))
def test_edited_graph_is_written_in_topological_order(seed: int, count: int) -> None:
    model, dice = start_model(), random.Random(seed)
    for number in range(count):
        edit(model.graph, dice, number)
    _, cyclic = model.graph.sorted_nodes()
    if cyclic:
        return
    written = rebuilt(model)
    place = {id(node): i for i, node in enumerate(written.nodes)}
    for node in written.nodes:
        assert all(place[id(p)] < place[id(node)] for p in written.predecessors(node))

"""Samples are seeded, valid for what the model does with them, and bound to one size per symbol."""

from __future__ import annotations

import numpy as np
from onnx import helper

from graphfix.comparison.inputs import bind, is_open, meanings, sample
from graphfix.comparison.runtimes import Port, ports_of
from graphfix.graph import Model
from tests.builders import INT64, model_of


def embedding() -> Model:
    """ids -> Cast -> Reshape -> Gather in a table of 7 rows; mask and image beside."""
    nodes = [
        helper.make_node("Cast", ["ids"], ["cast"], to=INT64),
        helper.make_node("Unsqueeze", ["cast", "axes"], ["more"]),
        helper.make_node("Gather", ["table", "more"], ["y"], axis=0),
        helper.make_node("Identity", ["attention_mask"], ["m"]),
        helper.make_node("Identity", ["pixel_values"], ["p"]),
    ]
    inputs = {
        "ids": (INT64, ["batch", "seq"]),
        "attention_mask": (INT64, ["batch", "seq"]),
        "pixel_values": ["batch", 3, 8, 8],
        "other": ["seq"],
    }
    weights = {"table": np.zeros((7, 4), np.float32), "axes": np.array([0])}
    return Model(model_of(nodes, inputs, {"y": None, "m": None, "p": None}, weights))


def test_meanings_follow_uses_names_and_shapes() -> None:
    found = meanings(embedding())
    assert {n: m.kind for n, m in found.items()} == {
        "ids": "indices",
        "attention_mask": "mask",
        "pixel_values": "image",
        "other": "numbers",
    }
    assert found["ids"].below == 7


def test_samples_keep_to_the_meaning() -> None:
    model = embedding()
    ports = ports_of(model)
    shapes = bind(ports, {"ids": (2, 40)}, 5)
    data = sample(ports, shapes, 3, meanings(model))
    assert data["ids"].min() >= 0 and data["ids"].max() == 6
    assert set(np.unique(data["attention_mask"])) <= {0, 1}
    assert data["attention_mask"][:, 0].all()
    assert data["pixel_values"].min() >= 0 and data["pixel_values"].max() <= 1
    assert data["other"].min() < 0
    again = sample(ports, shapes, 3, meanings(model))
    assert all(np.array_equal(data[n], again[n]) for n in data)
    other = sample(ports, shapes, 4, meanings(model))
    assert not np.array_equal(data["other"], other["other"])


def test_a_symbol_has_one_size() -> None:
    ports = ports_of(embedding())
    assert is_open(ports)
    shapes = bind(ports, {"ids": (2, 40)}, 5)
    assert shapes == {
        "ids": (2, 40),
        "attention_mask": (2, 40),
        "pixel_values": (2, 3, 8, 8),
        "other": (40,),
    }
    assert bind(ports, {}, 64)["ids"] == (4, 4)  # seq leads `other`: it may be a batch


def test_unknown_dims_and_ranks() -> None:
    ports = [Port("a", "float32", (None, None, 2)), Port("b", "int64", None)]
    assert bind(ports, {}, 8) == {"a": (4, 8, 2), "b": ()}

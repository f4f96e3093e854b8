#!/usr/bin/env python3
"""compare on planted faults and clean pairs, its speed, and its peak memory.

    bench_compare.py [--faults 40] [--nodes 10000] [--models DIR] [--exports DIR] [--seed 0]
                     [--only planted,clean,speed,memory]

Planted: one wrong node in public models (DIR as tests/oracle/fetch_models.py fills it), exported
ones, and small generated ones, in turns over all kinds of faults; of each third model what `fix`
makes is given the fault, and held against the original. `--layers` must name the node first;
`--bisect` is counted beside it. A fault that changes no bit of any output for the sampled input, or
that keeps the model from running, is none, and another node is taken. Clean: the original against
what fix makes of it, against the next opset's form, against onnxsim's result where that is
installed, and against ONNX Runtime with its optimizations on; nothing may be reported. Speed is CPU
time, paired: both plain runs (load, session, run) and `--layers` in the same process, in turns.
Memory is the peak of a process of its own.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper, version_converter
from planted_faults import FAULTS, plant
from planted_models import models
from tabulate import tabulate

import graphfix
from graphfix.comparison.compare import compare
from graphfix.comparison.inputs import bind, meanings, sample
from graphfix.comparison.matching import ORIGIN
from graphfix.comparison.runtimes import RuntimeFailed
from graphfix.comparison.runtimes.onnxruntime import OnnxRuntime
from graphfix.errors import GraphfixError
from graphfix.rewrite.fix import fix

# public models whose weights are trained, and that run on made-up inputs alone
REAL = (
    "basic-pitch*/**/nmp.onnx", "magika*/**/model.onnx", "rapidocr-onnxruntime*/**/*cls*.onnx",
    "rapidocr==*/**/PP-OCRv6_det_small.onnx", "silero-vad*/**/silero_vad_16k_op15.onnx",
    "silero-vad*/**/silero_vad_openvino_16k.onnx", "onnx==1.23.2/**/light_densenet121.onnx",
    "onnx==1.23.2/**/light_shufflenet.onnx", "onnx==1.23.2/**/light_inception_v2.onnx",
)  # fmt: skip


def real(folder: Path | None) -> dict[str, onnx.ModelProto]:
    """Return the public models of a folder; weights of the light ones are made random."""
    found = {}
    for pattern in REAL if folder is not None else ():
        assert folder is not None
        for path in sorted(folder.glob(pattern))[:1]:
            proto = onnx.load(path)
            found[path.stem if path.stem != "model" else path.parts[-4].split("=")[0]] = proto
            if path.stem.startswith("light_"):
                _randomize(proto)
    return found


def _randomize(proto: onnx.ModelProto) -> None:
    """Give weights that the light models make of one number, or of none, random values."""
    rng = np.random.default_rng(0)
    graph = proto.graph
    shapes = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    for node in [n for n in graph.node if n.op_type == "ConstantOfShape"]:
        dims = [int(d) for d in shapes[node.input[0]]]
        fan = int(np.prod(dims[1:])) if len(dims) > 1 else 1
        array = (
            rng.normal(0, (2 / fan) ** 0.5, dims) if len(dims) > 1 else rng.uniform(0.5, 1, dims)
        )
        graph.initializer.append(numpy_helper.from_array(array.astype(np.float32), node.output[0]))
        graph.node.remove(node)


def exports(folder: Path | None) -> dict[str, onnx.ModelProto]:
    return {p.stem: onnx.load(p) for p in sorted(folder.glob("*.onnx"))} if folder else {}


def pool_of(options: argparse.Namespace) -> dict[str, onnx.ModelProto]:
    """Return all models, those of the three sources in turns."""
    sources = [real(options.models), exports(options.exports), models()]
    turns = itertools.zip_longest(*(s.items() for s in sources))
    return dict(item for turn in turns for item in turn if item is not None)


# ---------------------------------------------------------------------- planted faults


def one_fault(
    original: onnx.ModelProto, base: onnx.ModelProto, kind: str, seed: int
) -> tuple[onnx.ModelProto, str] | None:
    """Return `base` with a fault that reaches an output, and the original's name of the node."""
    rng = np.random.default_rng(seed)
    names = {n.name or n.output[0] for n in original.graph.node}
    origins = {
        n.name: e.value for n in base.graph.node for e in n.metadata_props if e.key == ORIGIN
    }
    for wrong, at in itertools.islice(plant(base, FAULTS[kind], rng), 30):
        name = origins.get(at, at)
        if name not in names:
            continue  # of no node of the original
        try:
            report = compare(original, wrong, seed=seed)
        except GraphfixError:  # the wrong model does not run: everybody would notice
            continue
        if not all(o.metrics.equal for o in report.outputs) and not _nan_before(report):
            return wrong, name
    return None


def _nan_before(report: graphfix.comparison.compare.Comparison) -> bool:
    return any(o.metrics.nan[0] for o in report.outputs)


def cases(pool: dict[str, onnx.ModelProto], seed: int) -> Iterator[tuple[str, str, str, tuple]]:
    """Yield title, kind, how, and (original, wrong model, node), each kind in turn."""
    fixed: dict[str, onnx.ModelProto] = {}
    titles, kinds = itertools.cycle(pool), itertools.cycle(FAULTS)
    for number in range(20 * len(pool)):
        title, kind = next(titles), next(kinds)
        if number and number % len(pool) == 0:
            kind = next(kinds)  # so that a model meets another kind in the next round
        base, how = pool[title], "itself"
        if number % 3 == 2:
            how = "fixed"
            if title not in fixed:
                fixed[title] = fix(pool[title]).model.proto
            base = fixed[title]
        made = one_fault(pool[title], base, kind, seed + number)
        if made is not None:
            yield title, kind, how, (pool[title], *made, seed + number)


def planted(pool: dict[str, onnx.ModelProto], count: int, seed: int) -> None:
    rows, named, halved = [], 0, 0
    for title, kind, how, case in itertools.islice(cases(pool, seed), count):
        original, wrong, name, own_seed = case
        layers = compare(original, wrong, seed=own_seed, layers=True).layers
        first = layers.first if layers is not None else None
        bisected = compare(original, wrong, seed=own_seed, bisect=True).layers
        half = bisected.first if bisected is not None else None
        said = first.node if first is not None else "nothing"
        named += said == name
        halved += half is not None and half.node == name
        rows.append([title[:28], how, kind, name[-30:],
                     "named" if said == name else f"NOT: {said[-30:]}",
                     "named" if half is not None and half.node == name else "not",
                     f"{first.error:.1e}" if first is not None else ""])  # fmt: skip
    head = ["model", "against", "fault", "planted at", "--layers", "--bisect", "error there"]
    print(tabulate(rows, head, tablefmt="github", disable_numparse=True))
    print(f"\nplanted faults: --layers names {named} of {len(rows)} first, --bisect {halved}\n")


# ---------------------------------------------------------------------- clean pairs


def partners_of(proto: onnx.ModelProto) -> dict[str, onnx.ModelProto]:
    """Return models that compute the same, by how they came about."""
    opset = next((o.version for o in proto.opset_import if o.domain == ""), 0)
    makers = {
        "fixed": lambda: fix(proto).model.proto,
        "optimized run": lambda: proto,
        f"opset {opset + 1}": lambda: version_converter.convert_version(proto, opset + 1),
    }
    if find_spec("onnxsim") is not None:
        import onnxsim

        makers["simplified"] = lambda: onnxsim.simplify(proto)[0]
    partners = {}
    for how, maker in makers.items():
        try:
            partners[how] = maker()
        except Exception as error:  # tools of others have errors of their own, of many kinds
            print(f"left out: {how}: {str(error).splitlines()[0][:80]}")
    return partners


def clean(pool: dict[str, onnx.ModelProto], count: int) -> None:
    rows, alarms, pairs = [], 0, 0
    for title, proto in pool.items():
        for how, other in partners_of(proto).items():
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
            said = f"ALARM {first.node}" if first is not None else "ALARM"
            rows.append([title[:40], how, values, healed, f"{worst:.1e}",
                         said if alarm else "quiet"])  # fmt: skip
        if pairs >= count:
            break
    print(
        tabulate(rows, ["model", "against", "values", "healed", "max abs", ""], tablefmt="github")
    )
    print(f"\nclean pairs: {alarms} alarms in {pairs}\n")


# ---------------------------------------------------------------------- speed and memory


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
            "import sys, re\nfrom graphfix.comparison.compare import compare\n"
            "r = compare(sys.argv[1], sys.argv[1], layers=True, memory=int(sys.argv[2]))\n"
            # ru_maxrss would be that of the process that started this one, if it had more
            "peak = re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]\n"
            "print(len(r.layers.layers), r.layers.chunks, peak)"
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
    parser.add_argument("--clean", type=int, default=40)
    parser.add_argument("--nodes", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--models", type=Path, help="public models, as fetch_models.py lays them")
    parser.add_argument("--exports", type=Path, help="a folder of exported .onnx files")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="planted,clean,speed,memory", metavar="PARTS")
    options = parser.parse_args()
    parts = options.only.split(",")
    pool = pool_of(options)
    if "planted" in parts:
        planted(pool, options.faults, options.seed)
    if "clean" in parts:
        clean(pool, options.clean)
    if "speed" in parts:
        speed(options.nodes, options.rounds)
    if "memory" in parts:
        for budget, side, length in ((200, 64, 120), (500, 128, 120), (1024, 256, 120),
                                     (1024, 512, 30)):  # fmt: skip
            memory(budget << 20, side, length)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""The fp16 preview against a true half run in ONNX Runtime, its keep lists, and its cost.

    bench_preview.py CACHE [--exports DIR] [--only TEXT] [--nodes 1000] [--runs 200]

CACHE is what tests/oracle/fetch_models.py filled. Each model is previewed with every operator in
half (no --soc) and converted to float16 by onnxconverter-common, which ONNX Runtime then runs in
two ways. `true`: node by node, so that every tensor really is half between two nodes, in ONNX
Runtime's float16 kernels where it has them. `session`: the whole model at once, optimizations off;
where the CPU has no float16 kernel ONNX Runtime stays in float32 from one node to the next, so that
an overflow on the way may not show. All errors are against the float32 run. `ratio` is predicted to
true, of the output that is farthest off; `worst` says whether both call the same output the worst
(within a tenth: errors that are nearly equal have no order).
The converter leaves some models invalid; what mends them is in `mend`, and a model that still does
not load is listed with the reason. The last column is the error with the keep list for Ascend310P3,
computed anew, and whether that was predicted. The light models of onnx's backend tests get random
weights: theirs are all the same number.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from generate_transformer import generate
from onnx import helper, numpy_helper
from onnxconverter_common import float16
from tabulate import tabulate

from graphfix.comparison.half.experiment import errors_of
from graphfix.comparison.half.forms import Plan
from graphfix.comparison.half.interpreter import Interpreter
from graphfix.comparison.half.preview import preview_fp16
from graphfix.comparison.half.result import Preview
from graphfix.comparison.half.rounding import Rounding
from graphfix.comparison.runtimes.onnxruntime import OnnxRuntime, new_session
from graphfix.comparison.sides import open_side, samples_for
from graphfix.errors import GraphfixError
from graphfix.graph import Model
from graphfix.support import Target

# a VGG's weights would take most of the time
MAX_WEIGHTS, MEMORY = 300 << 20, 8 << 30
SINGLE, HALF = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16
# what the random inputs cannot guess: a sampling rate, enough samples for a window
INPUTS: dict[str, dict[str, Any]] = {
    "silero_vad.onnx": {"shapes": {"input": (1, 576), "state": (2, 1, 128)},
                        "inputs": {"sr": np.array(16000, np.int64)}},
    "silero_vad_16k_op15.onnx": {"shapes": {"input": (1, 576), "state": (2, 1, 128)},
                                 "inputs": {"sr": np.array(16000, np.int64)}},
    "silero_vad_openvino_16k.onnx": {"shapes": {"input": (1, 576), "state": (2, 1, 128)}},
    "swift_f0/model.onnx": {"shapes": {"audio": (1, 16000)},
                            "inputs": {"fmin": np.array(46, np.float32),
                                       "fmax": np.array(2093, np.float32)}},
    "PP-OCRv6_det_small.onnx": {"shapes": {"x": (1, 3, 160, 160)}},
}  # fmt: skip


def true_half(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model in float16, its inputs and outputs as they were."""
    source = onnx.ModelProto()
    source.CopyFrom(proto)
    source.ir_version = max(source.ir_version, 8)  # older ones want weights among the inputs
    del source.graph.value_info[:]  # stale types would be converted, too
    nodes = [n for g in graphs(source.graph) for n in g.node]
    own = {id_of(n) for n in nodes}
    for number, node in enumerate(nodes):
        node.name = f"node_{number}"  # the converter tells nodes apart by name alone
    for block in ([], None):  # with nothing left in float32, else with the converter's list
        copy = onnx.ModelProto()
        copy.CopyFrom(source)
        half = float16.convert_float_to_float16(
            copy, min_positive_val=6e-8, max_finite_val=65504.0, keep_io_types=True,
            op_block_list=block,
        )  # fmt: skip
        mend(half, own)
        try:
            new_session(half)
        except Exception as error:
            reason = error
            continue
        return half
    raise reason


def graphs(graph: onnx.GraphProto) -> list[onnx.GraphProto]:
    found = [graph]
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                found += graphs(attribute.g)
    return found


def id_of(node: onnx.NodeProto) -> tuple[str, ...]:
    return (node.op_type, *node.output)


def mend(half: onnx.ModelProto, own: set[tuple[str, ...]]) -> None:
    """Mend what the converter forgets.

    The model's own casts to float32, the value of ConstantOfShape, outputs that are used inside,
    double names.
    """
    names: dict[str, int] = {}
    for graph in graphs(half.graph):
        given: set[str] = set()
        once = []
        for node in graph.node:
            if node.output[0] not in given:  # it casts an input anew for every use
                once.append(node)
                given.update(node.output)
        if len(once) < len(graph.node):
            kept = [onnx.NodeProto.FromString(n.SerializeToString()) for n in once]
            del graph.node[:]
            graph.node.extend(kept)
        for node in graph.node:
            names[node.name] = names.get(node.name, 0) + 1
            if names[node.name] > 1:
                node.name += f"_again{names[node.name]}"
            if node.op_type == "Cast" and id_of(node) in own:
                for attribute in node.attribute:
                    if attribute.name == "to" and attribute.i == SINGLE:
                        attribute.i = HALF
            if node.op_type == "ConstantOfShape":
                tensors = [a.t for a in node.attribute if a.name == "value"]
                value = numpy_helper.to_array(tensors[0]) if tensors else np.zeros(1, np.float32)
                if value.dtype == np.float32:
                    del node.attribute[:]
                    tensor = numpy_helper.from_array(value.astype(np.float16))
                    node.attribute.append(helper.make_attribute("value", tensor))
        outputs = {o.name for o in graph.output}
        inside = {
            n.output[0]: n.input[0] for n in graph.node
            if n.op_type == "Cast" and n.output[0] in outputs and id_of(n) not in own
        }  # fmt: skip
        for node in graph.node:
            for index, name in enumerate(node.input):
                node.input[index] = inside.get(name, name)
        # types that it wrote before the casts were mended
        del graph.value_info[:]


def true_errors(
    proto: onnx.ModelProto, feeds: dict[str, np.ndarray]
) -> tuple[dict[str, float], dict[str, float]]:
    """Return the errors of a true half run, node by node and in one session."""
    wanted = OnnxRuntime(Model(proto)).run(feeds)
    half = true_half(proto)
    names = list(wanted)
    session = new_session(half)
    fed = {i.name: feeds[i.name] for i in session.get_inputs()}
    whole = dict(zip(names, session.run(names, fed), strict=True))
    single = Interpreter(Model(half), Rounding(), 1 << 34).run(fed, Plan({})).outputs
    return errors_of(wanted, single), errors_of(wanted, whole)


def same_worst(predicted: dict[str, float], true: dict[str, float]) -> bool:
    """Whether the output that is predicted to be the worst is it, or within a tenth of it."""
    worst = max(predicted, key=lambda n: predicted[n])
    top = max(true.values())
    return true[worst] >= 0.9 * top or top == 0


def ratio_of(predicted: dict[str, float], true: dict[str, float]) -> float:
    """Return the ratio that is farthest from 1 over the outputs; 1 where both are infinite."""
    ratios = []
    for name, error in true.items():
        mine = predicted[name]
        if math.isinf(error) and math.isinf(mine):
            ratios.append(1.0)
        elif error == 0 or mine == 0 or math.isinf(error) or math.isinf(mine):
            ratios.append(1.0 if error == mine else math.inf)
        else:
            ratios.append(mine / error)
    return max(ratios, key=lambda r: abs(math.log(r)) if 0 < r < math.inf else math.inf)


def feeds_of(path: Path, proto: onnx.ModelProto) -> dict[str, np.ndarray]:
    options = next((o for name, o in INPUTS.items() if str(path).endswith(name)), {})
    side = open_side(proto)
    given = [options["inputs"]] if "inputs" in options else []
    shapes = {
        name: dims for name, dims in options.get("shapes", {}).items()
        if name in {p.name for p in side.inputs}
    }  # fmt: skip
    names = {p.name: p.name for p in side.inputs}
    given = [{n: a for n, a in g.items() if n in names} for g in given]
    return samples_for(side, side, names, given=given, shapes=shapes)[0]


def weighted(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with weights that a network could have, where they are all the same.

    The light models of onnx's backend tests make every weight a constant.
    """
    rng = np.random.default_rng(0)
    shapes = {i.name: numpy_helper.to_array(i) for i in proto.graph.initializer}
    nodes = []
    for node in proto.graph.node:
        if node.op_type == "ConstantOfShape" and node.input[0] in shapes:
            dims = [int(d) for d in shapes[node.input[0]]]
            fan = math.prod(dims[1:]) if len(dims) > 1 else 0
            data = rng.normal(0, fan**-0.5, dims) if fan else rng.uniform(0.5, 1.5, dims)
            tensor = numpy_helper.from_array(data.astype(np.float32), node.output[0])
            proto.graph.initializer.append(tensor)
        else:
            nodes.append(node)
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    kept = [t for t in proto.graph.initializer if t.name in used]
    del proto.graph.initializer[:]
    proto.graph.initializer.extend(kept)
    inputs = [i for i in proto.graph.input if i.name not in {t.name for t in kept}]
    del proto.graph.input[:]
    proto.graph.input.extend(i for i in inputs if i.name in used)
    proto.ir_version = max(proto.ir_version, 4)
    return proto


def models_in(cache: Path, exports: Path | None) -> list[Path]:
    found = []
    seen: set[bytes] = set()
    for path in sorted(cache.rglob("*.onnx")):
        is_real = path.relative_to(cache).parts[0].split("==")[0] not in (
            "onnx", "onnxruntime", "edge", "surfaces-onnx-files",
        )  # fmt: skip
        is_light = "light" in path.parts and "onnx==1.23.2" in path.parts
        if (is_real or is_light) and path.read_bytes() not in seen:
            seen.add(path.read_bytes())
            found.append(path)
    # those that people run come first
    found.sort(key=lambda p: ("light" in p.parts, str(p)))
    return found + (sorted(exports.glob("*.onnx")) if exports is not None else [])


def compare(paths: list[Path], runs: int) -> None:
    rows, ratios, worsts, lists, of_session = [], [], [], [], []
    for path in paths:
        proto = onnx.load(path)
        if "light" in path.parts:
            proto = weighted(proto)
        if proto.ByteSize() > MAX_WEIGHTS:
            size = f"{proto.ByteSize() >> 20} MB"
            rows.append([title(path), *[""] * 6, f"left out: {size} of weights"])
            continue
        try:
            feeds = feeds_of(path, proto)
            start = time.process_time()
            OnnxRuntime(Model(proto)).run(feeds)
            plain = time.process_time() - start
            predicted = errors(preview_fp16(proto, inputs=feeds, search_runs=0, memory=MEMORY))
            true, session = true_errors(proto, feeds)
        except Exception as error:
            reason = " ".join(str(error).split(" : ")[-1].split())
            rows.append([title(path), *[""] * 6, f"not run: {reason[:60]}"])
            continue
        ratio, is_same = ratio_of(predicted, true), same_worst(predicted, true)
        ratios.append(ratio)
        worsts.append(is_same)
        of_session.append(ratio_of(predicted, session))
        top = max(predicted, key=lambda n: predicted[n])
        start = time.process_time()
        report = preview_fp16(
            proto, Target.of(["Ascend310P3"]), inputs=feeds, search_runs=runs, memory=MEMORY
        )
        took = (time.process_time() - start) / plain
        kept = ""
        if report.keep is not None:
            again = errors(
                preview_fp16(proto, Target.of(["Ascend310P3"]), inputs=feeds, search_runs=0,
                             memory=MEMORY, keep=report.keep.lines)
            )  # fmt: skip
            lists.append(again == report.keep.errors)
            before, after = (max(e.values()) for e in (errors(report), again))
            kept = (
                f"{before:.1e} -> {after:.1e} by {len(report.keep.nodes)} nodes, "
                f"{'as' if lists[-1] else 'NOT as'} predicted"
            )
        numbers = [f"{found[top]:.1e}" for found in (predicted, true, session)]
        rows.append([title(path), *numbers, f"{ratio:.2f}",
                     f"{'same' if is_same else 'OTHER'} of {len(true)}", f"{took:.0f}",
                     kept])  # fmt: skip
        print(f"  {title(path)}: done", flush=True)
    head = ["model", "predicted", "true", "session", "ratio", "worst", "x a run",
            "kept for Ascend310P3"]  # fmt: skip
    print(tabulate(rows, head, disable_numparse=True))
    within = sum(0.1 <= r <= 10 for r in ratios)
    if not ratios:
        return
    near = sum(0.1 <= r <= 10 for r in of_session)
    print(f"\n{len(ratios)} models ran in true half: ratio within 10x in {within} (against the "
          f"session in {near}), "
          f"same worst output in {sum(worsts)}; median ratio {statistics.median(ratios):.2f}; "
          f"{sum(lists)} of {len(lists)} keep lists bring the predicted error")  # fmt: skip


def errors(report: Preview) -> dict[str, float]:
    return {o.name: o.error for o in report.outputs}


def title(path: Path) -> str:
    return path.name if path.name != "model.onnx" else f"{path.parts[-3]}/{path.name}"


def cost(nodes: int, runs: int) -> None:
    """Say what the preview of a transformer costs, healthy and with a planted overflow."""
    proto, _ = generate(nodes)
    rng = np.random.default_rng(0)
    for tensor in proto.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.ndim == 2:
            new = rng.normal(0, array.shape[0] ** -0.5, array.shape).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(new, tensor.name))
    planted = onnx.ModelProto()
    planted.CopyFrom(proto)
    site = next(n for n in planted.graph.node[nodes // 2 :] if n.op_type == "Softmax")
    planted.graph.initializer.append(numpy_helper.from_array(np.float32(-3.4e38), "low"))
    planted.graph.initializer.append(numpy_helper.from_array(np.float32(0), "none"))
    extra = [
        helper.make_node("Mul", ["none_in", "low"], ["bias"], "/mask/Mul"),
        helper.make_node("Add", [site.input[0], "bias"], ["masked"], "/mask/Add"),
    ]
    planted.graph.input.append(helper.make_tensor_value_info("none_in", SINGLE, [1]))
    site.input[0] = "masked"
    place = list(planted.graph.node).index(site)
    listed = list(planted.graph.node)
    del planted.graph.node[:]
    planted.graph.node.extend([*listed[:place], *extra, *listed[place:]])
    for name, model in (("healthy", proto), ("an attention mask of -3.4e38", planted)):
        feeds = {
            i.name: (np.zeros(1, np.float32) if i.name == "none_in" else
                     rng.normal(size=[d.dim_value for d in i.type.tensor_type.shape.dim])
                     .astype(np.float32))
            for i in model.graph.input
        }  # fmt: skip
        start = time.process_time()
        OnnxRuntime(Model(model)).run(feeds)
        plain = time.process_time() - start
        for asked in (0, runs):
            start = time.process_time()
            report = preview_fp16(
                model, Target.of(["Ascend310P3"]), inputs=feeds, search_runs=asked
            )
            took = time.process_time() - start
            found = report.keep.lines if report.keep is not None else "none"
            error = max(errors(report).values())
            print(f"{len(model.graph.node):,} nodes, {name}: error {error:.1e}, "
                  f"{report.runs} runs, {took:.1f} s CPU, {took / plain:.0f} x loading and "
                  f"running it once ({plain:.2f} s); keep: {found}")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cache", type=Path)
    parser.add_argument("--exports", type=Path, help="a folder of exported models, too")
    parser.add_argument("--only", default="", help="models whose path holds this text")
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=200)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    paths = [p for p in models_in(options.cache, options.exports) if options.only in str(p)]
    if paths:
        compare(paths, options.runs)
    else:
        print(f"no model under {options.cache}: fetch them with tests/oracle/fetch_models.py")
    print()
    try:
        cost(options.nodes, options.runs)
    except GraphfixError as error:
        print(error)


if __name__ == "__main__":
    main()

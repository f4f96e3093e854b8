#!/usr/bin/env python3
"""Measure `graphfix fix` on public models: what it repairs, how exact, how long, how much memory.

    bench_fix.py FOLDER                the real models, one process each: a Markdown table
    bench_fix.py FOLDER --node-tests   the node models of onnx: which refused ones become acceptable

FOLDER is what tests/oracle/fetch_models.py filled. `--node-tests` adds the node tests that the
installed onnx makes itself, with their own inputs. Results are compared here, apart from the
proofs of fix: both models run in ONNX Runtime (optimizations off) or, where the original does not
run there, in onnx's reference evaluator. Exit 1 when fix changed a result, crashed, or made a
model that no longer runs. POSIX only.

This process stays small and leaves onnx to others: Linux counts the size of the process that
starts a child into the child's peak memory.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import queue
import resource
import select
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RELEASE, SOC = "8.1.RC1", "Ascend310P3"
OPSETS = range(7, 24)
WORKERS = 2
EFFECTS = ("rejected", "miscompiled")
CHANGED = ("crash", "changed", "no longer runs")  # what must never happen
# greatest error, relative to max(1, |value|, a tenth of the largest one), that counts as equal
LIMITS = {"float64": 1e-9, "float32": 1e-4, "float16": 1e-2, "bfloat16": 5e-2}
MOST_SAMPLES = 8
MOST_MEMORY = 12 << 30  # address space of a worker, in bytes
GENERATED = "onnx:"  # the prefix of node tests that the installed onnx makes


# ---------------------------------------------------------------------- in the worker


def work(soc: str) -> None:
    """Answer each line of stdin with a line of JSON.

    A line is a path or the name of a generated test; `--bound` behind it binds the open dims.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever libraries print must not mix with the answers
    sys.path.insert(0, str(ROOT))
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    for line in sys.stdin:
        name = line.strip()
        try:
            answer = measure(name, soc)
        except Exception as error:
            answer = {"state": "crash", "detail": f"{type(error).__name__}: {error}"[:300]}
        print(json.dumps({"model": name, **answer}), file=answers, flush=True)


def measure(name: str, soc: str = SOC) -> dict[str, Any]:
    """Fix one model and compare its outputs before and after."""
    import onnx

    from graphfix.graph import load
    from graphfix.rewrite import fix
    from graphfix.support import Target

    feeds: list[dict[str, Any]] = []
    name, bound, _ = name.partition(" --bound")
    if name.startswith(GENERATED):
        source, feeds = generated()[name.removeprefix(GENERATED)]
    else:
        source = load(name)
    shapes = open_dims(source.proto) if bound else None
    target = Target.of([soc], RELEASE)
    start = time.perf_counter()
    report = fix(source, target, shapes=shapes)
    answer: dict[str, Any] = {
        "seconds": time.perf_counter() - start,
        # before anything is run here; the kernel counts kilobytes, macOS bytes
        "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        / (1e6 if sys.platform == "darwin" else 1e3),
        "nodes": report.before.nodes,
        "opset": [report.plan.source, report.after.opset],
        "before": [report.before.count("rejected"), report.before.count("miscompiled")],
        "after": [report.after.count("rejected"), report.after.count("miscompiled")],
        "verdict": [report.before.verdict, report.after.verdict],
        "troubles": [{"op": f.op_type or "(file)", "effect": f.effect}
                     for f in report.before.findings if f.effect in ("rejected", "miscompiled")],
        "rules": dict(report.fired()),
        "failed_proofs": [f"{r} at {n}: {p.reason}" for r, n, p in report.failed_proofs],
        "left": troubles(report),
        "shape_nodes": [shape_nodes(p) for p in (proto_of(source), report.model.proto)],
    }  # fmt: skip
    before = proto_of(source)
    folder = None if isinstance(source, onnx.ModelProto) else source.folder
    answer.update(compare(before, report.model.proto, feeds, folder))
    return answer


def proto_of(source: Any) -> Any:
    return getattr(source, "proto", source)


def open_dims(proto: Any) -> dict[str, tuple[int, ...]]:
    """Return static dims for the inputs: 2 for the batch, 8 for every other open dim."""
    return {
        i.name: tuple(
            d.dim_value if _is_static(d) else (8 if axis else 2)
            for axis, d in enumerate(i.type.tensor_type.shape.dim)
        )
        for i in proto.graph.input
        if i.name in names_of(proto)
    }


def shape_nodes(proto: Any) -> int:
    """Return how many nodes compute with shapes: Shape, Size, and what takes their results."""
    from graphfix.graph import Model

    computed: set[int] = set()
    for graph in Model(proto).graph.graphs():
        for node in graph.ordered():
            feeds = [v.producer for v in node.values if v is not None and v.producer is not None]
            whole = bool(node.values) and all(
                v is None or v.constant is not None or id(v.producer) in computed
                for v in node.values
            )
            if node.op_type in ("Shape", "Size") or (
                whole and any(id(f) in computed for f in feeds)
            ):
                computed.add(id(node))
    return len(computed)


def generated() -> dict[str, tuple[Any, list[dict[str, Any]]]]:
    """Return the node tests that the installed onnx makes: (model, inputs by name) by name."""
    if not _GENERATED:
        import warnings

        import numpy as np
        from onnx.backend.test.case.node import collect_testcases

        warnings.simplefilter("ignore")
        for case in collect_testcases(None):
            names = [i.name for i in case.model.graph.input]
            feeds = []
            for inputs, _ in case.data_sets:
                arrays = [x if isinstance(x, list) else np.asarray(x) for x in inputs]
                feeds.append(dict(zip(names, arrays, strict=False)))
            _GENERATED[case.name] = (case.model, feeds)
    return _GENERATED


_GENERATED: dict[str, tuple[Any, list[dict[str, Any]]]] = {}


def troubles(report: Any) -> list[dict[str, str]]:
    """Return what is refused or computed differently after fix, by operator, and why it remains."""
    if report.plan.losses:  # what keeps the model at its opset; the other nodes wait for it
        return [{"op": op, "effect": "rejected", "why": why, "node": node}
                for node, op, why in report.plan.losses]  # fmt: skip
    return [
        {
            "op": r.finding.op_type or "(file)",
            "effect": r.finding.effect,
            "why": r.reason,
            "node": r.finding.node or r.finding.scope,
        }
        for r in report.remaining
    ]


def compare(before: Any, after: Any, feeds: list[dict[str, Any]], folder: Any) -> dict[str, Any]:
    """Return whether both give the same: `state`, `detail`, greatest differences."""
    import numpy as np

    for engine in ("onnxruntime", "reference"):
        try:
            first = runner(engine, before, folder)
        except Exception:
            continue
        rewritten = Rewritten(after, engine, folder)
        samples, absolute, relative = 0, 0.0, 0.0
        for feed in feeds or made_up(before, after):
            wanted = {name: feed[name] for name in names_of(before) if name in feed}
            try:
                with np.errstate(all="ignore"):
                    want = first(wanted)
            except Exception:  # inputs that the original refuses say nothing
                continue
            samples += 1
            if samples > MOST_SAMPLES:
                break
            again = runner(engine, before, folder)(wanted) if samples == 1 else want
            if any(distance(a, b)[2] for a, b in zip(want, again, strict=True)):
                return {"state": "not compared", "detail": "the original gives random numbers"}
            found = rewritten.compare(feed, want, [o.name for o in before.graph.output])
            absolute, relative = max(absolute, found["abs"]), max(relative, found["rel"])
            if found["state"] != "same":
                return found | {"abs": absolute, "rel": relative}
        if samples:
            return {"state": "same", "detail": engine, "abs": absolute, "rel": relative}
    return {"state": "not compared", "detail": "no engine runs the original"}


def names_of(proto: Any) -> list[str]:
    constants = {t.name for t in proto.graph.initializer}
    return [i.name for i in proto.graph.input if i.name not in constants]


class Rewritten:
    """A rewritten model in the engine that ran the original; where that differs, in the runtime.

    The reference evaluator gets some versions of operators wrong (BatchNormalization-9), and the
    runtime lacks types: the original in the one and the rewritten model in the other agree by no
    accident.
    """

    def __init__(self, proto: Any, engine: str, folder: Any) -> None:
        self._proto, self._folder = proto, folder
        self._engines = [engine, *(["onnxruntime"] if engine == "reference" else [])]
        self._runners: dict[str, Any] = {}

    def compare(self, feed: dict[str, Any], want: list[Any], outputs: list[str]) -> dict[str, Any]:
        """Return the state of one sample: that of the first engine unless another agrees."""
        states = []
        for engine in self._engines:
            states.append(self._in(engine, feed, want, outputs))
            if states[-1]["state"] == "same":
                return states[-1]
        return states[0]

    def _in(
        self, engine: str, feed: dict[str, Any], want: list[Any], outputs: list[str]
    ) -> dict[str, Any]:
        import numpy as np

        try:
            if engine not in self._runners:
                self._runners[engine] = runner(engine, self._proto, self._folder)
            names = [name for name in names_of(self._proto) if name in feed]
            with np.errstate(all="ignore"):
                have = self._runners[engine]({name: feed[name] for name in names})
        except Exception as error:
            detail = f"{engine}: {(str(error).splitlines() or ['?'])[0][:300]}"
            return {"state": "no longer runs", "detail": detail, "abs": 0.0, "rel": 0.0}
        absolute = relative = 0.0
        for name, a, b in zip(outputs, want, have, strict=True):
            problem, far, near = distance(a, b)
            absolute, relative = max(absolute, far), max(relative, near)
            if problem is not None:
                return {"state": "changed", "detail": f"{engine}: {name}: {problem}",
                        "abs": absolute, "rel": relative}  # fmt: skip
        return {"state": "same", "detail": engine, "abs": absolute, "rel": relative}


def runner(engine: str, proto: Any, folder: Any) -> Any:
    """Return a function from inputs to outputs; raises what the engine raises."""
    if engine == "reference":
        from onnx.reference import ReferenceEvaluator

        evaluator = ReferenceEvaluator(proto)
        return lambda feed: evaluator.run(None, feed)
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    if folder is not None:
        key = "session.model_external_initializers_file_folder_path"
        options.add_session_config_entry(key, str(folder))
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return lambda feed: session.run(None, feed)


def made_up(before: Any, after: Any) -> Iterator[dict[str, Any]]:
    """Yield inputs of several kinds and sizes; some fit whatever the model asks of its inputs."""
    import numpy as np
    import onnx.helper

    rng = np.random.default_rng(0)
    # the rewritten model may have static dims where the original has open ones
    inputs = [i for i in after.graph.input if i.name in names_of(before)]
    yield from meant(inputs, before)
    for size in (2, 3, 1, 16, 64, 224, 640, 16000):
        for kind in ("normal", "wide", "zeros", "ones", "dims"):
            feed = {}
            for info in inputs:
                tensor = info.type.tensor_type
                shape = [d.dim_value if _is_static(d) else size for d in tensor.shape.dim]
                if np.prod(shape, dtype=np.int64) > 1 << 24 or not tensor.elem_type:
                    return
                dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
                if dtype.kind in "OUS":
                    feed[info.name] = rng.choice(np.array(["a", "b", ""], object), shape)
                elif kind in ("zeros", "ones"):
                    feed[info.name] = np.full(shape, int(kind == "ones")).astype(dtype)
                elif dtype.kind in "iub":
                    high = {"normal": 2, "wide": 100, "dims": 5}.get(kind, 3)
                    low = 1 if kind == "dims" else (-3 if dtype.kind == "i" else 0)
                    feed[info.name] = rng.integers(0 if kind == "normal" else low, high, shape
                                                   ).astype(dtype)  # fmt: skip
                else:
                    data = rng.normal(0, 20 if kind == "wide" else 1, shape)
                    feed[info.name] = data.astype(dtype)
            yield feed
        dims = [d for i in inputs for d in i.type.tensor_type.shape.dim]
        if all(map(_is_static, dims)):
            return


def meant(inputs: list[Any], before: Any) -> Iterator[dict[str, Any]]:
    """Yield inputs that mean something: indices within their tables, masks, images."""
    from graphfix.comparison.inputs import bind, meanings, sample
    from graphfix.comparison.runtimes import Port
    from graphfix.graph import Model, dtypes, infer
    from graphfix.graph.value import declared_shape

    ports = [
        Port(i.name, dtypes.NAMES.get(i.type.tensor_type.elem_type), declared_shape(i.type))
        for i in inputs
    ]
    model = Model(before)
    infer(model)
    means = meanings(model)
    for seed, size in enumerate((5, 8)):
        yield sample(ports, bind(ports, {}, size), seed, means)


def _is_static(dim: Any) -> bool:
    return dim.HasField("dim_value") and dim.dim_value >= 0


def distance(want: Any, have: Any) -> tuple[str | None, float, float]:
    """Return (what differs or None, greatest absolute difference, greatest relative one)."""
    import numpy as np

    if isinstance(want, list) or isinstance(have, list) or want is None or have is None:
        if want is None and have is None:
            return None, 0.0, 0.0
        if type(want) is not type(have) or len(want) != len(have):
            return "another sequence", np.inf, np.inf
        parts = [distance(a, b) for a, b in zip(want, have, strict=True)]
        problem = next((p[0] for p in parts if p[0] is not None), None)
        return problem, *(max((p[i] for p in parts), default=0.0) for i in (1, 2))
    if isinstance(want, dict):
        if not isinstance(have, dict) or list(want) != list(have):
            return "another map", np.inf, np.inf
        return distance(list(map(np.float32, want.values())), list(map(np.float32, have.values())))
    want, have = np.asarray(want), np.asarray(have)
    if (want.dtype, want.shape) != (have.dtype, have.shape):
        found = f"{have.dtype}{list(have.shape)} instead of {want.dtype}{list(want.shape)}"
        return found, np.inf, np.inf
    limit = LIMITS.get(str(want.dtype))
    if limit is None:
        equal = bool((want == have).all())
        return (None, 0.0, 0.0) if equal else (_first(want, have, want != have), np.inf, np.inf)
    a, b = want.astype(np.float64), have.astype(np.float64)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    with np.errstate(all="ignore"):
        absolute = np.where(same, 0.0, np.nan_to_num(np.abs(a - b), nan=np.inf, posinf=np.inf))
        sizes = np.nan_to_num(np.abs(a), posinf=0.0)
        # where large values cancel, their own rounding is left over
        least = max(1.0, float(sizes.max(initial=0.0)) / 10)
        relative = np.where(same, 0.0, absolute / np.maximum(least, sizes))
    if not relative.size:
        return None, 0.0, 0.0
    worst = float(relative.max())
    problem = _first(want, have, relative == worst) if not worst <= limit else None
    return problem, float(absolute.max()), worst


def _first(want: Any, have: Any, where: Any) -> str:
    import numpy as np

    index = tuple(int(i) for i in np.argwhere(where)[0])
    return f"{have[index]!r} instead of {want[index]!r} at {list(index)}"


# ---------------------------------------------------------------------- in the parent


class Worker:
    """A process that measures one model after the other, replaced when it dies or hangs."""

    def __init__(self, timeout: float, soc: str = SOC) -> None:
        self._timeout = timeout
        self._soc = soc
        self._process: subprocess.Popen[str] | None = None

    def ask(self, name: str) -> dict[str, Any]:
        """Return the measurement of one model."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, __file__, "--worker", self._soc],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            )  # fmt: skip
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(name + "\n")
        process.stdin.flush()
        ready, _, _ = select.select([process.stdout], [], [], self._timeout)
        line = process.stdout.readline() if ready else ""
        if line:
            return dict(json.loads(line))
        if not ready:
            self.stop()
            return {"model": name, "state": "timeout", "detail": f"over {self._timeout:g} s"}
        code = process.wait()
        self._process = None
        return {"model": name, "state": "crash", "detail": f"the process ended with {code}"}

    def stop(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def ask_all(names: list[str], timeout: float) -> list[dict[str, Any]]:
    """Return the measurements of many models, in the order given."""
    waiting: queue.Queue[tuple[int, str]] = queue.Queue()
    for pair in enumerate(names):
        waiting.put(pair)
    answers: dict[int, dict[str, Any]] = {}

    def serve() -> None:
        worker = Worker(timeout)
        while True:
            try:
                index, name = waiting.get_nowait()
            except queue.Empty:
                worker.stop()
                return
            answers[index] = worker.ask(name)

    threads = [threading.Thread(target=serve) for _ in range(WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [answers[i] for i in range(len(names))]


def real_models(folder: Path) -> list[Path]:
    """Return the models of models.csv."""
    with (ROOT / "tests" / "oracle" / "models.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    paths = [folder / f"{r['package']}=={r['version']}" / r["path"] for r in rows]
    missing = [path for path in paths if not path.is_file()]
    if missing:
        print(f"{len(missing)} of {len(paths)} models are missing, the first is {missing[0]}")
    return [path for path in paths if path.is_file()]


def node_models(folder: Path) -> list[str]:
    """Return the node tests: the files of the wheels, then those that the installed onnx makes."""
    names = sorted(str(p) for p in folder.glob("onnx==*/onnx/backend/test/data/node/*/model.onnx"))
    list_them = (
        "import sys, warnings; warnings.simplefilter('ignore'); sys.path.insert(0, sys.argv[1]); "
        "import bench_fix as b; print(*sorted(b.generated()), sep='\\n')"
    )
    done = subprocess.run([sys.executable, "-c", list_them, str(ROOT / "scripts")],
                          capture_output=True, text=True, check=True)  # fmt: skip
    return names + [GENERATED + line for line in done.stdout.split()]


def label(name: str) -> str:
    """Return a short name: the source and the file, or for node tests the folder."""
    if name.startswith(GENERATED):
        return name
    path = Path(name)
    source = next((p for p in path.parts if "==" in p), "")
    return f"{source} {path.parent.name if path.name == 'model.onnx' else path.name}"


def table(rows: list[list[Any]], head: list[str]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *[[str(cell) for cell in row] for row in rows]]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def show_real(answers: list[dict[str, Any]]) -> str:
    """Return the table of the real models."""
    rows = []
    for a in answers:
        if "before" not in a:
            rows.append([label(a["model"]), *["-"] * 8, f"{a['state']}: {a['detail']}"])
            continue
        source, opset = a["opset"]
        rows.append([
            label(a["model"]), a["nodes"], source if source == opset else f"{source} -> {opset}",
            *(f"{x} -> {y}" for x, y in zip(a["before"], a["after"], strict=True)),
            f"{a['abs']:.1e}" if "abs" in a else "-", f"{a['rel']:.1e}" if "rel" in a else "-",
            f"{a['seconds']:.1f}", f"{a['mb']:.0f}",
            a["state"] if a["state"] == "same" else f"{a['state']}: {a['detail']}",
        ])  # fmt: skip
    head = ["model", "nodes", "opset", "rejected", "miscompiled", "max abs", "max rel", "s", "MB",
            "results"]  # fmt: skip
    known = [a for a in answers if "before" in a]
    states = Counter(a["state"] for a in answers)
    sums = [sum(a[when][i] for a in known) for i in (0, 1) for when in ("before", "after")]
    return "\n\n".join([
        table(rows, head),
        f"{len(answers)} models: {sums[0]} findings rejected before, {sums[1]} after; {sums[2]} "
        f"miscompiled before, {sums[3]} after. Results: "
        + ", ".join(f"{n} {s}" for s, n in states.most_common()) + ".",
        table(what_remains(known), ["model", "operator", "nodes", "first", "why it remains"]),
    ])  # fmt: skip


def what_remains(answers: list[dict[str, Any]]) -> list[list[Any]]:
    """Return a row for each model and reason: what is left, where, and why no rule helps."""
    rows = []
    for a in answers:
        groups: dict[tuple[str, str], list[str]] = {}
        for t in a["left"]:
            groups.setdefault((t["op"], t["why"]), []).append(t["node"])
        rows += [[label(a["model"]), op, len(nodes), nodes[0], why.replace("|", "/")]
                 for (op, why), nodes in groups.items()]  # fmt: skip
    return rows


def show_nodes(answers: list[dict[str, Any]]) -> str:
    """Return what became of the node models that are refused or miscompiled, by operator."""
    refused = ("refused", "not compiled")
    known = [a for a in answers if "verdict" in a and a["opset"][0] in OPSETS]
    bad = [a for a in known if a["verdict"][0] in refused]
    good = [a for a in bad if a["verdict"][1] not in refused]
    wrong = [a for a in known if a["verdict"][0] == "miscompiled"]
    right = [a for a in wrong if a["verdict"][1] not in (*refused, "miscompiled")]
    states = Counter(a["state"] for a in answers)
    return "\n\n".join([
        f"{len(known)} node models at opsets {OPSETS[0]} to {OPSETS[-1]}; {len(bad)} refused "
        f"before, {len(good)} of them acceptable after ({len(good) / max(1, len(bad)):.0%}); "
        f"{len(wrong)} miscompiled before, {len(right)} of them right after.",
        "Results over all models: " + ", ".join(f"{n} {s}" for s, n in states.most_common()) + ".",
        by_operator(known),
    ])  # fmt: skip


def by_operator(answers: list[dict[str, Any]]) -> str:
    """Return the table by operator: in how many models it is refused or miscompiled, and after."""
    before = {effect: Counter[str]() for effect in EFFECTS}
    after = {effect: Counter[str]() for effect in EFFECTS}
    reasons: dict[str, Counter[str]] = {}
    for a in answers:
        for count, found in ((before, a["troubles"]), (after, a["left"])):
            for effect in EFFECTS:
                count[effect].update({t["op"] for t in found if t["effect"] == effect})
        for op, why in {(t["op"], t["why"]) for t in a["left"]}:
            reasons.setdefault(op, Counter())[why] += 1
    operators = {op for count in (*before.values(), *after.values()) for op in count}
    rows = [
        [op, *(f"{before[e][op]} -> {after[e][op]}" if before[e][op] or after[e][op] else ""
               for e in EFFECTS),
         "<br>".join(f"{n}: {why}".replace("|", "/")
                     for why, n in reasons.get(op, Counter()).most_common())]
        for op in sorted(operators, key=lambda op: (-sum(after[e][op] for e in EFFECTS), op))
    ]  # fmt: skip
    return table(rows, ["operator", "refused", "miscompiled", "models that remain, and why"])


def main() -> int:
    """Measure, print the tables, return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--node-tests", action="store_true")
    parser.add_argument("--timeout", type=float, default=120, help="seconds for one model")
    parser.add_argument("--json", type=Path, help="write every measurement there, one a line")
    parser.add_argument("--worker", metavar="SOC", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options.worker)
        return 0
    if options.folder is None or not options.folder.is_dir():
        parser.error("give the folder that tests/oracle/fetch_models.py filled")
    if options.node_tests:
        answers = ask_all(node_models(options.folder), options.timeout)
        text = show_nodes(answers)
    else:
        answers = []
        for path in real_models(options.folder):
            worker = Worker(10 * options.timeout)  # a new process for each: its own peak memory
            answers.append(worker.ask(str(path)))
            worker.stop()
        text = show_real(answers)
    if not answers:
        parser.error(f"{options.folder}: holds none of the models")
    if options.json is not None:
        options.json.write_text("".join(json.dumps(a) + "\n" for a in answers), encoding="utf-8")
    print(text)
    broken = [a for a in answers if a["state"] in CHANGED]
    for a in broken:
        print(f"\nDEFECT: {label(a['model'])}: {a['state']}: {a['detail']} {a.get('rules', '')}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())

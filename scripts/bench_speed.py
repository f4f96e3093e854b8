#!/usr/bin/env python3
"""Measure `graphfix fix`, all rules and site proofs, against other optimizers of ONNX graphs.

    bench_speed.py [--pairs 3] [--sizes 1000,10000,50000] [--soc Ascend310P3]

Whole processes run in turn (A B A B ...), so that a busy machine slows both alike; each figure is
the median of user + system CPU time. A tool that is not installed is said to be missing, one that
takes more than 60 s is stopped. Then come what 100 more rules cost that never match, and the peak
memory with 2.5 GB of external weights, which stay where they are. Exit 1 when a goal is missed.
POSIX only.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench_check import CHECK_CODES, EXTERNAL_BYTES, EXTERNAL_NODES, GENERATOR, Row, run, show

# module -> what reads argv[1] and writes argv[2] with it, as its documentation shows
TOOLS = {
    "onnxsim": "m, ok = onnxsim.simplify(onnx.load(i)); onnx.save(m, o)",
    "onnxslim": "onnx.save(onnxslim.slim(onnx.load(i)), o)",
    "onnxoptimizer": "onnx.save(onnxoptimizer.optimize(onnx.load(i)), o)",
    "onnxscript": "import onnxscript.optimizer; "
    "onnx.save(onnxscript.optimizer.optimize(onnx.load(i)), o)",
}
# (tool, nodes) -> how many times its CPU time a fix may take; the opset stays
GOALS = {("onnxsim", 10_000): 0.5, ("onnxsim", 50_000): 0.2}
# the sizes beyond which one pair must do, and seconds of CPU after which a tool is stopped
ONE_PAIR_FROM, MOST_SECONDS = 10_000, 60
MORE_RULES, RULES_GOAL = 100, 1.05
MEMORY_GOAL_MB = 300
# operators that the measured graph is full of, and feeders that it does not have
_ROOTS = ("Add", "Mul", "Div", "Sub", "MatMul")
_FEEDERS = ("Sin", "Cos", "Tan", "Sinh", "Cosh")


def fix_command(model: Path, out: Path, soc: str, *options: str) -> list[str]:
    """Return the command line of a fix."""
    return [sys.executable, "-m", "graphfix", "fix", str(model), "-o", str(out), "--soc", soc,
            *options]  # fmt: skip


def in_turn(one: list[str], other: list[str], pairs: int) -> list[tuple[float, float]]:
    """Return CPU seconds of (one, other), run in turn; a short run is warmed up first."""
    if pairs > 1:
        run(one, CHECK_CODES)
        run(other, CHECK_CODES)
    return [(run(one, CHECK_CODES)[0], run(other, CHECK_CODES)[0]) for _ in range(pairs)]


def row(what: str, times: Sequence[tuple[float, float]], goal: float | None) -> Row:
    """Return a line: the medians, and the median of the ratios pair by pair."""
    one, other = (statistics.median(t[i] for t in times) for i in (0, 1))
    ratio = statistics.median(a / b for a, b in times)
    return Row(what, f"{one:.2f} s", f"{other:.2f} s", ratio, "x", goal)


def write(folder: Path, nodes: int, opset: int, external_bytes: int = 0) -> Path:
    """Write a transformer graph; external weights are a sparse file."""
    path = folder / f"transformer_{nodes}_{opset}_{external_bytes}.onnx"
    size = ["--external-bytes", str(external_bytes)] if external_bytes else []
    run([sys.executable, str(GENERATOR), str(nodes), str(path), "--opset", str(opset), *size])
    return path


def write_rules(folder: Path) -> Path:
    """Write rules that start at operators that are there and never match."""
    folder.mkdir()
    for number in range(MORE_RULES):
        root = _ROOTS[number % len(_ROOTS)]
        feeder = _FEEDERS[number // len(_ROOTS) % len(_FEEDERS)]
        before = f"h = {feeder}(x)  y = {root}(h, z)"
        model = f"g (float[2,2] x, float[2,2] z) => (float[2,2] y) {{ {before} }}"
        (folder / f"never_{number}.toml").write_text(
            f'page = """\nA rule that never matches here, number {number}.\n\n'
            "Why       To measure what it costs.\nRewrites  Nothing.\nLeaves    All.\n"
            'Exact     exact.\nSource    none.\n"""\n\n'
            f'[[form]]\nbefore = "{before}"\nafter = "y = Identity(x)"\n\n'
            f'[[example]]\nbefore = """{model}"""\nafter = ["Identity"]\n\n'
            f'[[near_miss]]\nbefore = """{model}"""\nreason = "none"\n',
            encoding="utf-8",
        )
    return folder


def against_tools(folder: Path, sizes: Sequence[int], soc: str, pairs: int) -> list[Row]:
    """Return the lines against each tool: at opset 17, which stays, and at 23, which goes."""
    rows = []
    for nodes in sizes:
        for opset in (17, 23):
            model = write(folder, nodes, opset)
            fix = fix_command(model, folder / "fixed.onnx", soc)
            for tool, code in TOOLS.items():
                what = f"{nodes:,} nodes, opset {opset} / {tool}"
                if opset == 23 and tool != "onnxsim":
                    continue
                if importlib.util.find_spec(tool) is None:
                    print(f"{what}: not installed", file=sys.stderr)
                    continue
                limit = f"resource.setrlimit(resource.RLIMIT_CPU, ({MOST_SECONDS},) * 2)"
                program = f"import resource, sys; {limit}; i, o = sys.argv[1:]; import onnx, {tool}"
                program += f"; {code}"
                other = [sys.executable, "-c", program, str(model), str(folder / "other.onnx")]
                few = nodes >= ONE_PAIR_FROM and tool != "onnxsim"
                try:
                    times = in_turn(fix, other, 1 if few else pairs)
                except RuntimeError as error:
                    print(f"{what}: fails: {str(error)[-200:]}", file=sys.stderr)
                    if "exit -" not in str(error):
                        continue
                    what += ", stopped"  # the ratio is at most this
                    times = [(run(fix, CHECK_CODES)[0], float(MOST_SECONDS))]
                rows.append(row(what, times, GOALS.get((tool, nodes)) if opset == 17 else None))
                print(" ".join(rows[-1].cells()), file=sys.stderr, flush=True)
    return rows


def more_rules(folder: Path, sizes: Sequence[int], soc: str, pairs: int) -> list[Row]:
    """Return what 100 more rules cost, the loading of their files apart.

    A folder with as many rules for an operator that is nowhere pays for the loading.
    """
    never = write_rules(folder / "never")
    nowhere = folder / "nowhere"
    nowhere.mkdir()
    for path in never.glob("*.toml"):
        text = path.read_text(encoding="utf-8")
        for root in _ROOTS:
            text = text.replace(f"{root}(h, z)", "Pow(h, z)")
        (nowhere / path.name).write_text(text, encoding="utf-8")
    rows = []
    for nodes in sizes:
        model = write(folder, nodes, 23)  # no Pow there: LayerNormalization is an operator
        one, other = (
            fix_command(model, folder / "fixed.onnx", soc, "--rules", str(rules))
            for rules in (never, nowhere)
        )
        rows.append(row(f"{nodes:,} nodes, {MORE_RULES} more rules / none that start there",
                        in_turn(one, other, pairs), RULES_GOAL))  # fmt: skip
        print(" ".join(rows[-1].cells()), file=sys.stderr, flush=True)
    return rows


def memory(folder: Path, soc: str) -> Row:
    """Return the peak memory with external weights, and check that they were not copied."""
    model = write(folder, EXTERNAL_NODES, 17, EXTERNAL_BYTES)
    before = sorted(p.name for p in folder.iterdir())
    out = folder / "with_weights.onnx"
    peak = max(run(fix_command(model, out, soc), CHECK_CODES)[1] for _ in range(2))
    new = sorted({p.name for p in folder.iterdir()} - {*before})
    assert new == [out.name], f"more than the model was written: {new}"
    floor = run([sys.executable, "-c", "import onnx"])[1]
    what = f"peak memory, {EXTERNAL_BYTES / 1e9:g} GB external / import onnx"
    return Row(what, f"{peak:.0f} MB", f"{floor:.0f} MB", peak, " MB", MEMORY_GOAL_MB)


def main() -> int:
    """Measure, print the table, return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=3, help="timed pairs (default 3)")
    parser.add_argument("--sizes", default="1000,10000,50000")
    parser.add_argument("--soc", default="Ascend310P3")
    options = parser.parse_args()
    if options.pairs < 1:
        parser.error("--pairs needs at least 1")
    sizes = [int(n) for n in options.sizes.split(",")]
    with tempfile.TemporaryDirectory(prefix="bench_speed_") as name:
        folder = Path(name)
        rows = against_tools(folder, sizes, options.soc, options.pairs)
        rows += more_rules(folder, sizes[1:] or sizes, options.soc, max(options.pairs, 5))
        rows.append(memory(folder, options.soc))
    print(show(rows).replace("  check  ", "  fix    ", 1))
    return 0 if all(r.is_met for r in rows) else 1


if __name__ == "__main__":
    sys.exit(main())

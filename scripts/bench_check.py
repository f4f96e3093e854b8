#!/usr/bin/env python3
"""Measure `graphfix check` against reading and inferring the same file with onnx alone.

    bench_check.py [--pairs 5] [--soc Ascend310P3]

Whole processes run in turn (A B A B ...), so that a busy machine slows both alike; each figure is
the median of user + system CPU time. Exit 1 when a goal is missed. POSIX only.

This process stays small and leaves onnx to others: Linux counts the size of the process that
starts a child into the child's peak memory.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# graph size -> how many times the CPU time of the bare reading a check may take
RATIO_GOALS: dict[int, float | None] = {1_000: None, 10_000: 2.5, 50_000: 2.0}
STARTUP_GOAL = 2.0
MEMORY_GOAL_MB = 200
EXTERNAL_BYTES = 2_500_000_000
EXTERNAL_NODES = 1_000
# the check may report findings (1) but must not fail
CHECK_CODES = (0, 1)

ROOT = Path(__file__).resolve().parents[1]
GENERATOR = ROOT / "scripts" / "generate_transformer.py"
INFER = "import onnx, sys; import onnx.shape_inference as s; s.infer_shapes(onnx.load(sys.argv[1]))"
IMPORT = "import onnx"
SINGLE = """
import sys
from onnx import TensorProto, helper
node = helper.make_node("Relu", ["x"], ["y"], "relu")
x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 8]) for n in "xy")
graph = helper.make_graph([node], "single", [x], [y])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
open(sys.argv[1], "wb").write(model.SerializeToString())
"""


@dataclass(frozen=True)
class Row:
    """One line of the table. `figure` has the unit of `goal`: a ratio or megabytes."""

    what: str
    check: str
    base: str
    figure: float
    unit: str
    goal: float | None

    @property
    def is_met(self) -> bool:
        """Whether the goal is reached; a row without a goal always is."""
        return self.goal is None or self.figure <= self.goal

    def cells(self) -> tuple[str, ...]:
        """Return the row as texts."""
        goal = "" if self.goal is None else f"{self.goal:g}{self.unit}"
        verdict = "" if self.goal is None else ("met" if self.is_met else "MISSED")
        return (self.what, self.check, self.base, f"{self.figure:.3g}{self.unit}", goal, verdict)


def run(command: Sequence[str], codes: Sequence[int] = (0,)) -> tuple[float, float]:
    """Run a process to its end; return (CPU seconds, peak memory in MB).

    Raises RuntimeError with the end of its messages when it ends with another code.
    """
    with tempfile.TemporaryFile() as messages:
        # from the repository, so that the code beside this script is measured
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=messages, cwd=ROOT)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in codes:
            messages.seek(0)
            text = messages.read().decode(errors="replace").strip()[-500:]
            raise RuntimeError(f"{' '.join(command)}: exit {process.returncode}\n{text}")
    # ru_maxrss is in bytes on macOS, in kilobytes elsewhere
    scale = 1 if sys.platform == "darwin" else 1024
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss * scale / 1e6


def check_command(model: Path, soc: str) -> list[str]:
    """Return the command line of a check."""
    return [sys.executable, "-m", "graphfix", "check", str(model), "--soc", soc]


def compare(check: list[str], base: list[str], pairs: int) -> tuple[float, float]:
    """Return the median CPU seconds of (check, base), run in turn after one untimed run each."""
    run(check, CHECK_CODES)
    run(base)
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(pairs):
        times[0].append(run(check, CHECK_CODES)[0])
        times[1].append(run(base)[0])
    return statistics.median(times[0]), statistics.median(times[1])


def write(folder: Path, nodes: int, external_bytes: int = 0) -> Path:
    """Write a transformer graph, or one Relu; external weights are a sparse file."""
    path = folder / f"transformer_{nodes}_{external_bytes}.onnx"
    if nodes == 1:
        run([sys.executable, "-c", SINGLE, str(path)])
    else:
        size = ["--external-bytes", str(external_bytes)] if external_bytes else []
        run([sys.executable, str(GENERATOR), str(nodes), str(path), *size])
    return path


def measure(folder: Path, soc: str, pairs: int) -> list[Row]:
    """Return all lines of the table."""
    rows = []
    # a short run needs more pairs for a steady median, and can afford them
    plan = [
        ("start-up, 1 node / import onnx", write(folder, 1), IMPORT, 3 * pairs, STARTUP_GOAL),
        *(
            (f"{nodes:,} nodes / load + infer", write(folder, nodes), INFER, pairs, goal)
            for nodes, goal in RATIO_GOALS.items()
        ),
    ]
    for what, model, code, count, goal in plan:
        base = [sys.executable, "-c", code, *([] if code == IMPORT else [str(model)])]
        check, bare = compare(check_command(model, soc), base, count)
        figure = check / bare
        rows.append(Row(what, f"{check * 1e3:.0f} ms", f"{bare * 1e3:.0f} ms", figure, "x", goal))
    model = write(folder, EXTERNAL_NODES, EXTERNAL_BYTES)
    memory = max(run(check_command(model, soc), CHECK_CODES)[1] for _ in range(pairs))
    floor = run([sys.executable, "-c", IMPORT])[1]
    what = f"peak memory, {EXTERNAL_BYTES / 1e9:g} GB external / import onnx"
    rows.append(Row(what, f"{memory:.0f} MB", f"{floor:.0f} MB", memory, " MB", MEMORY_GOAL_MB))
    return rows


def show(rows: Sequence[Row]) -> str:
    """Return the table as aligned text."""
    lines = [("case", "check", "baseline", "figure", "goal", ""), *(row.cells() for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i in (0, 5) else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def main() -> int:
    """Measure, print the table, return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=5, help="timed pairs per size (default 5)")
    parser.add_argument("--soc", default="Ascend310P3")
    options = parser.parse_args()
    if options.pairs < 1:
        parser.error("--pairs needs at least 1")
    with tempfile.TemporaryDirectory(prefix="bench_check_") as folder:
        rows = measure(Path(folder), options.soc, options.pairs)
    print(show(rows))
    return 0 if all(row.is_met for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())

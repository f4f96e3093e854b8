#!/usr/bin/env python3
"""Fix what the torch exporters write, for two chips, and compare the results: a Markdown table.

    bench_exports.py FOLDER [--only NAME ...] [--opsets 14,17,18,20,23] [--json FILE]

Exports the families of export_models.py into FOLDER, unless it is there, by both exporters: with
dynamic dims and with the fixed ones of the example (`static`). A third row, `bound`, is the dynamic
file fixed with --shape. What an exporter cannot do is a row with its own words. Results are
compared here in ONNX Runtime, optimizations off, apart from the proofs of fix. Needs the extra
`bench`. Exit 1 when fix changed a result, crashed, or something rejected remains.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench_fix import CHANGED, Worker, table, what_remains

ROOT = Path(__file__).resolve().parents[1]
SOCS = ("Ascend310P3", "Ascend910B3")
FAMILIES = ("bert", "gpt2", "llama", "vit", "simple_transformer")
EXPORTERS = ("ts", "dynamo")
KINDS = {"dynamic": "", "static": ".static"}
FAILURES = "failures.json"


def export(folder: Path, families: list[str], opsets: str) -> dict[str, str]:
    """Export what is missing; return what the exporters said where they failed, by file."""
    told = folder / FAILURES
    failures: dict[str, str] = json.loads(told.read_text()) if told.is_file() else {}
    for kind, suffix in KINDS.items():
        for family in families:
            names = [f"{family}.{exporter}{opset}{suffix}.onnx"
                     for exporter in EXPORTERS for opset in opsets.split(",")]  # fmt: skip
            if all((folder / name).is_file() or name in failures for name in names):
                continue
            command = [sys.executable, str(ROOT / "scripts" / "export_models.py"), str(folder),
                       "--only", family, "--opsets", opsets]  # fmt: skip
            command += ["--static"] if kind == "static" else []
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            for line in done.stdout.splitlines():
                name, _, said = line.partition(": ")
                if said.startswith("failed: "):
                    failures[name] = said.removeprefix("failed: ")
            if done.returncode and not done.stdout:
                sys.exit(done.stderr.strip().splitlines()[-1])
    told.write_text(json.dumps(failures, indent=1) + "\n", encoding="utf-8")
    return failures


def cell(answer: dict[str, Any]) -> list[str]:
    """Return what fix did for one chip: findings before and after, and the results."""
    if "before" not in answer:
        return ["-", "-", f"{answer['state']}: {answer['detail']}"]
    pairs = zip(answer["before"], answer["after"], strict=True)
    result = answer["state"]
    if result != "same":
        result += f": {answer['detail']}"
    else:
        result = f"{answer['rel']:.0e}" if answer["rel"] else "equal"
    return [*(f"{x} -> {y}" for x, y in pairs), result]


def main() -> int:
    """Export, fix, compare, print the table, return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="+", default=list(FAMILIES), metavar="NAME")
    parser.add_argument("--opsets", default="14,17,18,20,23")
    parser.add_argument("--timeout", type=float, default=300, help="seconds for one model")
    parser.add_argument("--json", type=Path, help="write every measurement there, one a line")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    failures = export(options.folder, options.only, options.opsets)
    workers = {soc: Worker(options.timeout, soc) for soc in SOCS}
    rows, answers = [], []
    for family in options.only:
        for exporter in EXPORTERS:
            for opset in options.opsets.split(","):
                for kind in ("dynamic", "bound", "static"):
                    name = f"{family}.{exporter}{opset}{KINDS.get(kind, '')}.onnx"
                    head = [family, exporter, opset, kind]
                    if name in failures:
                        if kind != "bound":
                            rows.append([*head, f"no: {failures[name]}", *["-"] * 8])
                        continue
                    path = f"{options.folder / name}{' --bound' if kind == 'bound' else ''}"
                    found = [workers[soc].ask(path) for soc in SOCS]
                    answers += found
                    shapes = " -> ".join(str(n) for n in found[0].get("shape_nodes", ["-"]))
                    seconds = sum(a.get("seconds", 0.0) for a in found) / len(found)
                    rows.append([*head, "yes", *(c for a in found for c in cell(a)), shapes,
                                 f"{seconds:.2f}"])  # fmt: skip
    for worker in workers.values():
        worker.stop()
    columns = [f"{soc} {what}" for soc in SOCS for what in ("rejected", "miscompiled", "results")]
    print(table(rows, ["family", "exporter", "opset", "dims", "exported", *columns,
                       "shape nodes", "s"]))  # fmt: skip
    known = [a for a in answers if "before" in a]
    left = what_remains(known)
    if left:
        print("\n" + table(left, ["model", "operator", "nodes", "first", "why it remains"]))
    if options.json is not None:
        options.json.write_text("".join(json.dumps(a) + "\n" for a in answers), encoding="utf-8")
    broken = [a for a in answers if a["state"] in CHANGED]
    refused = [a for a in known if a["after"][0]]
    print(f"\n{len(answers)} runs of fix, {len(failures)} exports that the exporters refuse, "
          f"{len(broken)} defects, {len(refused)} results with something rejected.")  # fmt: skip
    for a in broken:
        print(f"DEFECT: {a['model']}: {a['state']}: {a['detail']}")
    return 1 if broken or refused else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Run `graphfix check --cann 2026.08` over the fetched models and write predictions for score.py.

    predict.py MODELS OUT

MODELS is the folder that fetch_models.py filled; OUT gets one JSON line per model.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
from pathlib import Path

import graphfix
from graphfix.analysis import unreadable
from graphfix.errors import UnreadableModel

HERE = Path(__file__).resolve().parent
csv.field_size_limit(1 << 30)


def rows() -> list[dict[str, str]]:
    with gzip.open(HERE / "verdicts.csv.gz", "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def predict(path: Path, target: graphfix.Target, tables: graphfix.Tables) -> dict[str, object]:
    """Return what score.py wants to know of one model, taken from the JSON report."""
    try:
        report = graphfix.check(path, target, tables=tables)
    except UnreadableModel as error:
        report = unreadable(path, target, error)
    entry = report.to_json()
    refusals = [f for f in report.findings if f.stage == "parse" and f.error_code is not None]
    code = entry["error_code"]
    if code == "CRASH":
        code = next(f.facts["signal"] for f in refusals if f.error_code == "CRASH")
    return {
        "accepted": entry["accepted"],
        "code": code,
        "refused": [f"{f.node}:{f.op_type}" for f in refusals if f.node is not None],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    target, tables = graphfix.Target.of(cann="2026.08"), graphfix.Tables()
    count = 0
    with options.out.open("w", encoding="utf-8") as out:
        for row in rows():
            path = options.models / row["source"] / row["path"]
            if path.is_file():
                prediction = predict(path, target, tables)
                line = {"source": row["source"], "path": row["path"], **prediction}
                out.write(json.dumps(line) + "\n")
                count += 1
    print(f"{count} predictions in {options.out}")


if __name__ == "__main__":
    main()

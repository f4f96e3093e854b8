#!/usr/bin/env python3
"""The road from PyTorch to a bundle for ATC, on a guide's own transformer (50,000 x 768).

    guide.py OUT [--soc Ascend310P3]

Each road is one command, `graphfix run`, static first and then with profiles of the length. Prints
the commands, what they print, and the time and memory of each; exits 1 when one fails.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
INPUT = ("--input", "input_ids=int64[1,512]", "--output-names", "logits")
ROADS = {
    "static": (),
    "profiles": ("--dynamic", "input_ids:1=seq", "--shape", "input_ids=1,-1",
                 "--dims", "128;256;512"),
}  # fmt: skip


def main() -> int:
    """Walk every road."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--soc", default="Ascend310P3")
    options = parser.parse_args()
    rows, codes = [], []
    for name, more in ROADS.items():
        folder = options.out / name
        folder.mkdir(parents=True, exist_ok=True)
        words = [
            "graphfix", "run", f"{HERE / 'simple_transformer.py'}:SimpleTransformer", *INPUT, *more,
            "--soc", options.soc, "-o", str(folder), "--bundle", str(folder / "out.tar.gz"),
            "--report", str(folder / "run.json"),
        ]  # fmt: skip
        print(f"$ {shlex.join(words)}", flush=True)
        start = time.monotonic()
        process = subprocess.Popen([sys.executable, "-m", *words])
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        codes.append(process.returncode)
        print(flush=True)
        if process.returncode == 0:
            report = json.loads((folder / "run.json").read_text(encoding="utf-8"))
            stages = ", ".join(f"{s['stage']} {s['seconds']:.1f} s" for s in report["stages"])
            cpu, peak = usage.ru_utime + usage.ru_stime, usage.ru_maxrss >> 10
            rows.append(
                f"{name:9} {time.monotonic() - start:6.1f} s   {stages}; {cpu:.1f} s of CPU, peak "
                f"{peak:,} MiB"
            )
        else:
            rows.append(f"{name:9} failed, exit code {process.returncode}")
    print("\n".join(rows))
    return int(any(codes))


if __name__ == "__main__":
    sys.exit(main())

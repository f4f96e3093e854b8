"""graphfix socs: the values of --soc and what is known of them."""

from __future__ import annotations

import argparse
import json
from textwrap import shorten
from typing import Any

from tabulate import tabulate

from graphfix.support import releases, socs
from graphfix.support.kernels import has_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("--format", choices=("text", "json"), default="text")


def run(options: argparse.Namespace) -> int:
    """Print the SoC versions, return the exit code."""
    rows: list[dict[str, Any]] = []
    for soc in socs().values():
        tables = [name for name, release in releases().items() if has_table(release, soc)]
        rows.append(
            {
                "soc_version": soc.name,
                "family": soc.family,
                "ai_cores": soc.ai_cores,
                "memory_gib": round(soc.memory_bytes / 2**30) if soc.memory_bytes else None,
                "bfloat16": soc.cube_bf16,
                "dynamic_shape_kernels": soc.dynamic_shape_kernels,
                "kernel_tables": tables,
                "series": soc.series,
                "certainty": soc.certainty,
            }
        )
    if options.format == "json":
        print(json.dumps({"schema": "graphfix.socs/1", "socs": rows}, indent=1))
        return 0
    table = [
        [r["soc_version"], r["family"], r["ai_cores"], r["memory_gib"], r["dynamic_shape_kernels"],
         ",".join(r["kernel_tables"]) or "none",
         shorten(r["series"].partition(":")[0], 22, placeholder=" ...")]
        for r in rows
    ]  # fmt: skip
    heads = ["--soc", "family", "cores", "GiB", "dynamic", "kernel tables", "products"]
    print(tabulate(table, heads, disable_numparse=True))
    print(
        "\ncores: AI Cores; dynamic: kernels that take dynamic shapes (8.1.RC1). `npu-smi info` on"
        "\nthe device shows the chip; atc takes the same names in --soc_version."
    )
    return 0

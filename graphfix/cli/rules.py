"""graphfix rules: the rewrite rules, what they repair, how exact they are."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from textwrap import shorten

from tabulate import tabulate

from graphfix.rewrite.registry import load_folder, own_rules


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("--rules", action="append", default=[], type=Path, metavar="DIR",
                        help="a folder with rules of your own; may be repeated")  # fmt: skip
    parser.add_argument("--format", choices=("text", "json"), default="text")


def run(options: argparse.Namespace) -> int:
    """Print the rules, return the exit code."""
    rules = list(own_rules())
    for folder in options.rules:
        rules += load_folder(folder)
    if options.format == "json":
        entries = [
            {"name": r.name, "roots": list(r.roots), "exactness": r.exactness.value,
             "fixes": list(r.fixes), "optional": r.optional, "page": r.page}
            for r in rules
        ]  # fmt: skip
        print(json.dumps({"schema": "graphfix.rules/1", "rules": entries}, indent=1))
        return 0
    rows = [
        [r.name, r.exactness.value,
         shorten(("(--also) " if r.optional else "") + (r.page.splitlines() or [""])[0], 50,
                 placeholder=" ...")]
        for r in rules
    ]  # fmt: skip
    print(tabulate(rows, ["rule", "exact", "what it does"]))
    print(
        f"\n{len(rows)} rules. `graphfix explain {rows[0][0]}` shows a page; (--also): fix uses it "
        "only\nwhen --also names it."
    )
    return 0

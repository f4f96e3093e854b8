"""graphfix atc SUBCOMMAND: what concerns ATC's own command line and files.

Each subcommand is a module of this package with `add_arguments` and `run`, like the commands
beside it; it is imported when used. A new one needs its module and a line in SUBCOMMANDS.
"""

from __future__ import annotations

import argparse
import importlib
from types import ModuleType
from typing import Any

from graphfix.cli.main import Parser

SUBCOMMANDS: dict[str, str] = {
    "lint": "what is wrong with an atc command, and the right one",
    "options": "the options of atc, and what one of them does",
    "custom-op": "what is needed to implement an operator for CANN, from the model",
    "fusion-switch": "write the file that switches fusion passes off",
}


class _Subcommand(Parser):
    """A parser that asks its module for arguments when it is the one that was chosen."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Add the module's arguments, and parse; its `read_arguments`, if any, goes first."""
        module = module_of(self.prog.rpartition(" ")[2])
        module.add_arguments(self)
        words = getattr(module, "read_arguments", list)(args or [])
        return super().parse_known_args(words, namespace)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands."""
    commands = parser.add_subparsers(
        dest="subcommand", metavar="SUBCOMMAND", required=True, parser_class=_Subcommand
    )
    for name, summary in SUBCOMMANDS.items():
        sub = commands.add_parser(
            name, help=summary, description=f"{summary[0].upper()}{summary[1:]}."
        )
        # suppressed: what stands before the subcommand must not be reset
        sub.add_argument("--debug", action="store_true", default=argparse.SUPPRESS,
                         help="show tracebacks")  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Run the chosen subcommand, return the exit code."""
    return int(module_of(options.subcommand).run(options))


def module_of(subcommand: str) -> ModuleType:
    """Return the module of a subcommand: `fusion-switch` lives in fusion_switch.py."""
    return importlib.import_module(f"graphfix.cli.atc.{subcommand.replace('-', '_')}")

"""A command with what follows from it, as the checks look at it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from graphfix.atc.command import PLACEHOLDER, AtcCommand
from graphfix.support.target import Soc, socs

if TYPE_CHECKING:
    from graphfix.comparison.runtimes import Port


# the framework whose models have such a suffix
SUFFIXES = {".onnx": "5", ".pb": "3", ".prototxt": "0", ".air": "1"}
# what stands for a value that only the user knows
FILL = {"soc_version": "<SOC>", "model": "<MODEL>", "framework": "<FRAMEWORK>", "output": "<NAME>",
        "weight": "<WEIGHTS>", "om": "<FILE>", "json": "<FILE>"}  # fmt: skip


@dataclass(frozen=True)
class ModelFacts:
    """What lint asks of a model: its inputs, and the names of outputs and of nodes."""

    ports: Sequence[Port]
    outputs: frozenset[str]
    nodes: frozenset[str]


def is_placeholder(value: str) -> bool:
    """Whether a value is to be filled in: <soc_version>, Ascendxxx."""
    return PLACEHOLDER.search(value) is not None or re.search(r"[Xx]{3}", value) is not None


class View:
    """A command with what follows from it: framework, mode, chip; `facts` of the model."""

    def __init__(self, command: AtcCommand, facts: ModelFacts | None, folder: Path | None) -> None:
        self.command, self.facts, self.folder = command, facts, folder
        self.fragment = not command.lead  # options alone: nothing is missing
        self.framework = command.framework
        self.mode = command.mode
        self.soc: Soc | None = socs().get(self.value("soc_version") or "")

    def value(self, name: str) -> str | None:
        """Return a value that is known: no variable, no placeholder."""
        value = self.command.value(name)
        return None if value is None or is_placeholder(value) else value

    def has(self, name: str) -> bool:
        """Whether an option is there."""
        return name in self.command.options

"""Outputs that somebody saved elsewhere: .npy, .npz, .bin, and folders of them (layouts.py)."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping, Sequence
from pathlib import Path

import numpy as np

from graphfix.comparison.runtimes import Arrays, Closing, Port
from graphfix.comparison.runtimes.layouts import (
    INDEXED,
    Entry,
    Form,
    entries_of,
    is_from_npu,
    samples_at,
)
from graphfix.errors import UsageError
from graphfix.graph import Model


class Saved(Closing):
    """A saved folder or file as a side of a comparison.

    `names` are the values that it may hold; `model` tells the nodes behind them. `sample` is the
    one that `run` returns, `forms` dtype and shape of what the original has there, `given` those
    that the user says of a .bin. `on_npu` says whether a tool of Ascend wrote it. Raises UsageError
    when there is nothing readable at the path.
    """

    def __init__(self, path: Path, names: Sequence[str], model: Model | None = None) -> None:
        self.path = path
        self.name = f"{path} (saved)"
        self.inputs: list[Port] = []
        self.sample = 0
        self.forms: Mapping[str, Form] = {}
        self.given: Mapping[str, Form] = {}
        self._names = list(names)
        self._model = model
        self._samples = samples_at(path)
        self.on_npu = is_from_npu(self._samples)
        self._entries: dict[int, dict[str, Entry]] = {}
        self._of_fused: dict[int, dict[str, Entry]] = {}
        self.outputs = [n for n in self._names if n in self._resolved(names)]

    @property
    def count(self) -> int:
        """How many samples were saved."""
        return len(self._samples)

    def values(self) -> list[str]:
        """Return all values of the model that were saved."""
        values = self._model.graph.values if self._model is not None else self._names
        return list(self._resolved(list(values)))

    def run(self, feeds: Mapping[str, np.ndarray], fetch: Sequence[str] | None = None) -> Arrays:
        """Return the saved values of the current sample; the feeds are not looked at."""
        found = self._resolved(self.outputs if fetch is None else fetch)
        return {
            name: entry.read(self.given.get(name) or self.forms.get(name))
            for name, entry in found.items()
        }

    def expect(self, sample: int, want: Mapping[str, np.ndarray]) -> None:
        """Set the sample that `run` returns, and the forms that the original's values have."""
        self.sample = sample
        self.forms = {name: (array.dtype, array.shape) for name, array in want.items()}

    def close(self) -> None:
        """Nothing is held open."""

    def _resolved(self, names: Sequence[str]) -> dict[str, Entry]:
        """Return a reader for each of the names that the current sample holds."""
        if self.sample not in self._entries:
            self._entries[self.sample] = entries_of(self._samples[self.sample])
        entries = self._entries[self.sample]
        plain = {_plain(key): entry for key, entry in entries.items()}
        found = {}
        for name in names:
            for alias in self._aliases(name):
                entry = entries.get(alias) or plain.get(_plain(alias))
                if entry is not None:
                    found[name] = entry
                    break
        fused = self._fused()
        found.update((n, fused[n]) for n in names if n in fused and n not in found)
        missing = [n for n in self._names if n in names and n not in found]
        if missing:  # by position, as ais_bench writes the outputs
            by_position = self._by_position(entries)
            found.update((n, by_position[n]) for n in missing if n in by_position)
        return found

    def _fused(self) -> dict[str, Entry]:
        """Return values that fused operators gave: such a one is called by all its nodes in turn.

        `conv1conv1_relu` has the value of conv1_relu (the dump chapter of CANN's guides).
        """
        if self._model is None:
            return {}
        if self.sample not in self._of_fused:
            nodes = {_in_file(n.name): n for n in self._model.graph.nodes if n.name}
            found: dict[str, Entry] = {}
            for key, entry in self._entries[self.sample].items():
                name, dot, position = key.rpartition(".")
                if not dot or not position.isdigit() or name in nodes:
                    continue
                last = _last_part(name, nodes)
                if last is not None and int(position) < len(nodes[last].outputs):
                    found[nodes[last].outputs[int(position)]] = entry
            self._of_fused[self.sample] = found
        return self._of_fused[self.sample]

    def _by_position(self, entries: Mapping[str, Entry]) -> dict[str, Entry]:
        """Return the outputs whose files only tell positions; {} where that is not certain."""
        stems: dict[str, dict[int, Entry]] = {}
        for key, entry in entries.items():
            if indexed := INDEXED.match(key):
                stems.setdefault(indexed[1], {})[int(indexed[2])] = entry
        whole = [s for s in stems.values() if sorted(s) == list(range(len(self._names)))]
        if len(whole) == 1:
            return {name: whole[0][i] for i, name in enumerate(self._names)}
        if len(entries) == len(self._names) == 1:
            return {self._names[0]: next(iter(entries.values()))}
        return {}

    def _aliases(self, name: str) -> list[str]:
        aliases = [name]
        value = self._model.graph.values.get(name) if self._model is not None else None
        if value is not None and value.producer is not None and value.producer.name:
            node = value.producer
            aliases.append(f"{node.name}.{node.outputs.index(name)}")
        return aliases


def _in_file(name: str) -> str:
    """Return a node's name as dumps have it: a file name, and without the dots that part it."""
    return re.sub(r"[./\\ ]", "_", name)


def _last_part(text: str, names: Container[str]) -> str | None:
    """Return the last of two or more names that make up a text; None where that is not certain."""
    splits = [True] + [False] * len(text)  # whether the text up to there is made up of names
    for end in range(1, len(text) + 1):
        splits[end] = any(splits[start] and text[start:end] in names for start in range(end))
    lasts = [text[i:] for i in range(1, len(text)) if splits[i] and text[i:] in names]
    return lasts[0] if len(lasts) == 1 else None


def read_form(port: Port) -> Form | None:
    """Return dtype and shape of a port as numpy knows them."""
    if port.dtype is None or port.shape is None or port.dtype in ("string", "bfloat16"):
        return None
    return np.dtype({"double": "float64"}.get(port.dtype, port.dtype)), port.shape


def safe_name(name: str) -> str:
    """Return a value's name as a file name."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name) or "_"


def write_arrays(folder: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write each array as NAME.npy. Raises UsageError when the folder cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        taken: set[str] = set()
        for name, array in arrays.items():
            file = safe_name(name)
            while file in taken:
                file += "_"
            taken.add(file)
            with (folder / f"{file}.npy").open("wb") as stream:
                np.save(stream, array, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise UsageError(f"{folder}: cannot be written ({error}).") from None


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")

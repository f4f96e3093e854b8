"""Outputs that somebody saved elsewhere: .npy, .npz, .bin, and folders of them.

Layouts of folders, by the names of the files (read from the public documents of the tools):

- `NAME.npy`: the output's name, or what is left of it where a file name cannot hold it; this is
  what --save-outputs writes, one numbered folder per sample;
- `STEM_INDEX.bin`: ais_bench, `pure_infer_data_0.bin` or the first input's file and the position of
  the output; each stem is a sample;
- `NODE.INDEX.TIMESTAMP.npy`: dumps of msit, msprobe and msaccucmp, by node and position.

A .bin has no header: its dtype and shape are those of the original's value, or the half-width dtype
(float16 for float32, int32 for int64) where the file has half as many bytes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any
from zipfile import BadZipFile

import numpy as np

from graphfix.comparison.runtimes import Arrays, Port
from graphfix.errors import UsageError
from graphfix.graph import Model, Shape

SUFFIXES = (".npy", ".npz", ".bin")
_DUMP = re.compile(r"^(.+)\.(\d+)\.\d{10,}$")
_INDEXED = re.compile(r"^(.*)_(\d+)$")
_HALVES = {"float32": "float16", "int64": "int32", "float64": "float32"}

Form = tuple[np.dtype, Shape]


@dataclass(frozen=True)
class _Entry:
    """The data of one value: a file, or a member of an .npz."""

    file: Path
    member: str = ""

    def read(self, form: Form | None) -> np.ndarray:
        """Return the array; `form` is the dtype and shape that it should have."""
        if self.file.suffix == ".bin":
            return _read_bin(self.file, form)
        try:
            data: Any = np.load(self.file, allow_pickle=False)
            array: np.ndarray = data[self.member] if self.member else data
        except (OSError, ValueError, EOFError, KeyError, BadZipFile) as error:
            raise UsageError(f"{self.file}: cannot be read as numpy data ({error}).") from None
        return array


class Saved:
    """A saved folder or file as a side of a comparison.

    `names` are the values that it may hold; `model` tells the nodes behind them. `sample` is the
    one that `run` returns, `forms` dtype and shape of what a .bin holds. Raises UsageError when
    there is nothing readable at the path.
    """

    def __init__(self, path: Path, names: Sequence[str], model: Model | None = None) -> None:
        self.path = path
        self.name = f"{path} (saved)"
        self.inputs: list[Port] = []
        self.sample = 0
        self.forms: Mapping[str, Form] = {}
        self._names = list(names)
        self._model = model
        self._samples = _samples(path)
        self._entries: dict[int, dict[str, _Entry]] = {}
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
        return {name: entry.read(self.forms.get(name)) for name, entry in found.items()}

    def close(self) -> None:
        """Nothing is held open."""

    def __enter__(self) -> Saved:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _resolved(self, names: Sequence[str]) -> dict[str, _Entry]:
        """Return a reader for each of the names that the current sample holds."""
        if self.sample not in self._entries:
            self._entries[self.sample] = _entries(self._samples[self.sample])
        entries = self._entries[self.sample]
        plain = {_plain(key): entry for key, entry in entries.items()}
        found = {}
        for name in names:
            for alias in self._aliases(name):
                entry = entries.get(alias) or plain.get(_plain(alias))
                if entry is not None:
                    found[name] = entry
                    break
        if not found:  # names tell nothing: by position, as ais_bench writes them
            indexed = {int(m[2]): r for k, r in entries.items() if (m := _INDEXED.match(k))}
            if len(indexed) == len(entries) == len(self._names):
                found = {n: indexed[i] for i, n in enumerate(self._names) if i in indexed}
            elif len(entries) == len(self._names) == 1:
                found = {self._names[0]: next(iter(entries.values()))}
            found = {n: r for n, r in found.items() if n in names}
        return found

    def _aliases(self, name: str) -> list[str]:
        aliases = [name]
        value = self._model.graph.values.get(name) if self._model is not None else None
        if value is not None and value.producer is not None and value.producer.name:
            node = value.producer
            aliases.append(f"{node.name}.{node.outputs.index(name)}")
        return aliases


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


# ---------------------------------------------------------------------- folders


def _samples(path: Path) -> list[list[Path]]:
    """Return the files of each sample at a path."""
    if path.is_file():
        if path.suffix not in SUFFIXES:
            raise UsageError(f"{path}: not a .npy, .npz or .bin file, nor a folder of them.")
        return [[path]]
    if not path.is_dir():
        raise UsageError(f"{path}: there is no such file or folder.")
    files = sorted(p for p in path.iterdir() if p.is_file() and p.suffix in SUFFIXES)
    if files:
        return _by_stem(files)
    folders = sorted((p for p in path.iterdir() if p.is_dir() and _holds_data(p)), key=_number)
    if not folders:
        raise UsageError(f"{path}: holds no .npy, .npz or .bin file.")
    if all(p.name.isdigit() and len(p.name) < 7 for p in folders):
        return [sample for p in folders for sample in _samples(p)]
    if len(folders) > 1:
        names = ", ".join(p.name for p in folders[:4])
        raise UsageError(f"{path}: holds several folders of data ({names}); give one of them.")
    return _samples(folders[0])


def _holds_data(folder: Path) -> bool:
    return any(p.suffix in SUFFIXES for p in folder.rglob("*"))


def _number(path: Path) -> tuple[int, str]:
    return (int(path.name) if path.name.isdigit() else 0, path.name)


def _by_stem(files: list[Path]) -> list[list[Path]]:
    """Part the files of ais_bench into samples; all other files are one."""
    stems: dict[str, list[Path]] = {}
    for file in files:
        indexed = _INDEXED.match(file.stem)
        if indexed is None:
            return [files]
        stems.setdefault(indexed[1], []).append(file)
    positions = [sorted(int(f.stem.rpartition("_")[2]) for f in group) for group in stems.values()]
    whole = all(p == positions[0] == list(range(len(p))) for p in positions)
    return list(stems.values()) if whole else [files]


def _entries(files: list[Path]) -> dict[str, _Entry]:
    found: dict[str, _Entry] = {}
    for file in files:
        dump = _DUMP.match(file.stem)
        key = f"{dump[1]}.{dump[2]}" if dump else file.stem
        if file.suffix == ".npz":
            found.update((name, _Entry(file, name)) for name in _members(file))
        elif file.suffix == ".npy" or key not in found:  # a .npy says its own dtype and shape
            found[key] = _Entry(file)
    return found


def _members(file: Path) -> list[str]:
    try:
        with np.load(file, allow_pickle=False) as archive:
            return list(archive.files)
    except (OSError, ValueError, EOFError, BadZipFile, AttributeError) as error:
        raise UsageError(f"{file}: cannot be read as an .npz archive ({error}).") from None


def _read_bin(file: Path, form: Form | None) -> np.ndarray:
    if form is None:
        raise UsageError(f"{file}: what a .bin holds is known only beside a model; give a .npy.")
    dtype, shape = form
    data = file.read_bytes()
    for kind in (dtype, np.dtype(_HALVES.get(dtype.name, dtype))):
        full = _fitted(shape, len(data), kind.itemsize)
        if full is not None:
            return np.frombuffer(data, kind).reshape(full)
    dims = ",".join(str(d) for d in shape)
    need = int(np.prod([d for d in shape if isinstance(d, int)], dtype=np.int64)) * dtype.itemsize
    raise UsageError(
        f"{file}: {len(data):,} bytes; {dtype.name}[{dims}] takes {need:,}. Was it saved at "
        "another shape or dtype? Save it as .npy, or bind the shape with --shape."
    )


def _fitted(shape: Shape, size: int, item: int) -> tuple[int, ...] | None:
    """Return the shape, its one open dim filled in, when it takes `size` bytes."""
    known = int(np.prod([d for d in shape if isinstance(d, int)], dtype=np.int64)) * item
    open_ = [d for d in shape if not isinstance(d, int)]
    if len(open_) == 1 and known and size % known == 0:
        return tuple(d if isinstance(d, int) else size // known for d in shape)
    if open_ or known != size:
        return None
    return tuple(d for d in shape if isinstance(d, int))

"""Kernel tables: which engine runs a GE operator on a SoC family, by exact dtype combination."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from graphfix.support.paths import data_folder
from graphfix.support.target import Release, Soc

# the tables list bfloat16 for these by choosers that do not test the SoC; the products lack it
WITHOUT_BF16 = frozenset({"ascend310", "ascend310p", "ascend910"})


@dataclass(frozen=True)
class Tensor:
    """One input or output of a kernel. `dtypes` is None where the table does not know them.

    `kind`: required, optional or dynamic (any number of tensors). An empty `dtypes` fits all.
    """

    name: str
    kind: str
    dtypes: tuple[str, ...] | None
    must_be_constant: bool


@dataclass(frozen=True)
class Kernel:
    """A kernel row. Positional: index i over all tensors is one combination (AI Core).

    Otherwise each tensor has a set of its own (AI CPU). `dynamic_shape` is None where the table is
    silent: the compiler takes that as no in the tables of an installed CANN, while in the partial
    tables of the open sources it says nothing.
    """

    ge_op: str
    engine: str
    dynamic_shape: bool | None
    precision_list: str
    remarks: frozenset[str]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    positional: bool
    source: str

    @property
    def is_static_only(self) -> bool:
        """Whether the kernel takes static shapes only, as far as the table can tell."""
        silent_means_no = "open-source" not in self.remarks
        return self.dynamic_shape is False or (self.dynamic_shape is None and silent_means_no)


class KernelTable:
    """One CSV file of op_support/kernels; a row is parsed when its operator is asked for."""

    def __init__(self, path: Path, engine: str, positional: bool) -> None:
        self.engine = engine
        self.positional = positional
        self.source = f"op_support/kernels/{path.parent.name}/{path.name}"
        text = path.read_text(encoding="utf-8")
        head, _, body = text.partition("\n")
        self._columns = head.split(",")
        self._lines = {line[: line.index(",")]: line for line in body.splitlines() if "," in line}
        self._family = path.stem
        self._parsed: dict[str, Kernel] = {}

    def __contains__(self, ge_op: str) -> bool:
        return ge_op in self._lines

    def names(self) -> list[str]:
        """Return the GE operators that the table lists."""
        return list(self._lines)

    def kernel(self, ge_op: str) -> Kernel | None:
        """Return the row of a GE operator; None when the table has none."""
        if ge_op not in self._lines:
            return None
        if ge_op not in self._parsed:
            row = next(csv.reader(io.StringIO(self._lines[ge_op])))
            cells = dict(zip(self._columns, row, strict=True))
            remarks = frozenset(cells["remarks"].split())
            if "source" in cells:
                remarks |= {"open-source"}
            self._parsed[ge_op] = Kernel(
                ge_op,
                self.engine,
                {"yes": True, "no": False}.get(cells["dynamic_shape"]),
                cells["precision_list"],
                remarks,
                _tensors(cells["inputs"]),
                _tensors(cells["outputs"]),
                self.positional and "sets" not in remarks,
                self.source,
            )
        return self._parsed[ge_op]


def _tensors(cell: str) -> tuple[Tensor, ...]:
    found = []
    for part in cell.split():
        name, _, types = part.rpartition(":")
        must = name.endswith("!")
        name = name.rstrip("!")
        kind = {"?": "optional", "*": "dynamic"}.get(name[-1:], "required")
        dtypes: tuple[str, ...] | None = tuple(types.split("|"))
        if types == "any":
            dtypes = ()
        elif types == "unknown":
            dtypes = None
        found.append(Tensor(name.rstrip("?*"), kind, dtypes, must))
    return tuple(found)


@cache
def _table(release: str, name: str, engine: str, positional: bool) -> KernelTable | None:
    path = data_folder("op_support") / "kernels" / release / f"{name}.csv"
    return KernelTable(path, engine, positional) if path.is_file() else None


def ai_core(release: Release, soc: Soc, ge_op: str) -> Kernel | None:
    """Return the AI Core kernel of a GE operator on a SoC's family; None when no table has one."""
    return _first(release, soc.family, "AI Core", True, ge_op)


def ai_cpu(release: Release, soc: Soc, ge_op: str) -> Kernel | None:
    """Return the AI CPU kernel of a GE operator; None without one, or without an AI CPU."""
    if soc.ai_cpus is None or soc.ai_cpus == 0:
        return None
    return _first(release, "aicpu", "AI CPU", False, ge_op)


def _first(release: Release, name: str, engine: str, positional: bool, op: str) -> Kernel | None:
    for tables in release.kernels:
        table = _table(tables, name, engine, positional)
        kernel = table.kernel(op) if table is not None else None
        if kernel is not None and "no_kernel_file" not in kernel.remarks:
            return kernel
    return None


def has_table(release: Release, soc: Soc) -> bool:
    """Whether any kernel table of the release covers the SoC's family."""
    return any(_table(t, soc.family, "AI Core", True) is not None for t in release.kernels)


@cache
def local_operators() -> frozenset[str]:
    """Return the GE operators that the engine runs itself, without a kernel."""
    path = data_folder("op_support") / "kernels" / "8.1.RC1" / "local.csv"
    with path.open(encoding="utf-8", newline="") as file:
        return frozenset(row["ge_op"] for row in csv.DictReader(file))


def combinations(kernel: Kernel) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Return the dtype combinations of a positional kernel as (inputs, outputs).

    A tensor for which the row fixes no dtype is given as an empty text, which fits everything.
    """
    tensors: Sequence[Tensor] = (*kernel.inputs, *kernel.outputs)
    count = max((len(t.dtypes) for t in tensors if t.dtypes), default=0)
    rows = []
    for i in range(count):
        row = tuple(
            t.dtypes[i] if t.dtypes is not None and i < len(t.dtypes) else "" for t in tensors
        )
        rows.append((row[: len(kernel.inputs)], row[len(kernel.inputs) :]))
    return rows

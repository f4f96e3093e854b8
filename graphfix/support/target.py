"""Target: the chip and the CANN release that a model is checked for."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from graphfix.errors import UsageError, nearest
from graphfix.support.paths import data_folder

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PRECISION_MODES = (
    "force_fp16", "force_fp32", "cube_fp16in_fp32out", "allow_fp32_to_fp16",
    "must_keep_origin_dtype", "allow_mix_precision", "allow_mix_precision_fp16",
    "allow_mix_precision_bf16", "allow_fp32_to_bf16",
)  # fmt: skip
DEFAULT_PRECISION_MODE = "force_fp16"  # ATC's default on every family (GE fe_context_utils.cc)

# the families in sale that a report without --soc shows, one representative each
CURRENT_SOCS = ("Ascend310P3", "Ascend310B1", "Ascend910B3", "Ascend910_9391")


@dataclass(frozen=True)
class Soc:
    """A value of --soc_version. Memory in bytes; None where no source tells."""

    name: str
    family: str
    series: str
    certainty: str
    ai_cores: int | None
    ai_cpus: int | None
    memory_bytes: int | None
    dynamic_shape_kernels: int | None
    cube_bf16: bool


@dataclass(frozen=True)
class Release:
    """A CANN release: the codes that it prints and the rules of its parser.

    `weight_clip`: constants beyond half's range end at 65504 (--is_weight_clip, on by default).
    """

    name: str
    summary: str
    source: str
    certainty: str
    kernels: tuple[str, ...]
    codes: dict[str, str]
    parser: dict[str, Any]
    weight_clip: bool = False

    def code(self, cause: str) -> str:
        """Return the E-code for a cause of `[codes]`; unknown causes are codes themselves."""
        return self.codes.get(cause, cause)


@dataclass(frozen=True)
class Target:
    """What a model is checked for: a release, any number of SoCs, a precision mode."""

    release: Release
    socs: tuple[Soc, ...] = ()
    precision_mode: str = DEFAULT_PRECISION_MODE

    @staticmethod
    def of(
        socs: Iterable[str] = (),
        cann: str | None = None,
        precision_mode: str = DEFAULT_PRECISION_MODE,
    ) -> Target:
        """Return the target with these names; raises UsageError that names the nearest ones."""
        if precision_mode not in PRECISION_MODES:
            raise UsageError(
                f"--precision-mode {precision_mode}: ATC has no such mode. "
                f"Known: {', '.join(PRECISION_MODES)}."
            )
        return Target(find_release(cann), tuple(find_soc(s) for s in socs), precision_mode)


@cache
def releases() -> dict[str, Release]:
    """Return the known CANN releases by name, the default first."""
    found = []
    for path in (data_folder("op_support") / "releases").glob("*.toml"):
        table = read_toml(path)
        found.append(
            (
                not table.get("default", False),
                Release(
                    table["name"],
                    table["summary"],
                    table["source"],
                    table["certainty"],
                    tuple(table["kernels"]),
                    table["codes"],
                    table["parser"],
                    table.get("weight_clip", False),
                ),
            )
        )
    found.sort(key=lambda pair: (pair[0], pair[1].name))
    return {release.name: release for _, release in found}


def find_release(name: str | None) -> Release:
    """Return the release called `name`, or the default one; raises UsageError."""
    known = releases()
    if name is None:
        return next(iter(known.values()))
    for release in known.values():
        if release.name.lower() == name.lower():
            return release
    raise UsageError(f"--cann {name}: no tables for this release. Known: {', '.join(known)}.")


@cache
def socs() -> dict[str, Soc]:
    """Return the known values of --soc_version by name."""
    found = {}
    path = data_folder("op_support") / "soc_versions.csv"
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            found[row["soc_version"]] = Soc(
                row["soc_version"],
                row["family"],
                row["series"],
                row["certainty"],
                _number(row["ai_cores"]),
                _number(row["ai_cpus"]),
                _number(row["memory_bytes"]),
                _number(row["dynamic_shape_kernels"]),
                row["cube_bf16"] == "yes",
            )
    return found


def find_soc(name: str) -> Soc:
    """Return the SoC called `name`, whatever its case; raises UsageError with near names."""
    for soc in socs().values():
        if soc.name.lower() == name.lower():
            return soc
    raise UsageError(
        f"--soc {name}: no such --soc_version. `graphfix socs` lists them; `npu-smi info` on the "
        f"device shows yours. {nearest(name, socs())}"
    )


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file."""
    with path.open("rb") as file:
        table: dict[str, Any] = tomllib.load(file)
    return table


def _number(text: str) -> int | None:
    return int(text) if text else None

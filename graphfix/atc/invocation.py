"""The command line for one model: shapes and profiles as ATC spells them, contradictions refused.

Every refusal names the code that ATC itself would print (CANN's atc options guide, 2026).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from graphfix.comparison.runtimes import Port, ports_of
from graphfix.errors import UsageError, nearest
from graphfix.graph import Model
from graphfix.support.target import DEFAULT_PRECISION_MODE, Target

MAX_PROFILES = 100  # 256 on Ascend 950 (CANN atc guide, --dynamic_batch_size, 2026)
_OURS = ("model", "output", "framework", "soc_version", "mode")
_SPELLED_BY = {"input_shape": "--shape", "dynamic_batch_size": "--batch", "dynamic_dims": "--dims",
               "dynamic_image_size": "--image-size", "soc_version": "--soc"}  # fmt: skip

Dims = tuple[int, ...]


@dataclass(frozen=True)
class Profiles:
    """What the user asks of the shapes; -1 in `shapes` leaves a dim open for the profiles.

    At most one of `batch` (sizes), `dims` (one number for each open dim, in the order of the
    inputs) and `image_size` (height and width) is given.
    """

    shapes: Mapping[str, Dims] = field(default_factory=dict)
    batch: tuple[int, ...] = ()
    dims: tuple[Dims, ...] = ()
    image_size: tuple[Dims, ...] = ()

    @property
    def kind(self) -> str | None:
        """The option of graphfix that asks for profiles, None for a static model."""
        asked = [
            option
            for option, value in (("--batch", self.batch), ("--dims", self.dims),
                                  ("--image-size", self.image_size))
            if value
        ]  # fmt: skip
        if len(asked) > 1:
            raise UsageError(
                f"{' and '.join(asked)}: ATC takes one kind of profiles (E10009); --dims can "
                "express the others."
            )
        return asked[0] if asked else None

    @property
    def rows(self) -> tuple[Dims, ...]:
        """The profiles, one tuple of numbers each."""
        return tuple((n,) for n in self.batch) or self.dims or self.image_size


@dataclass(frozen=True)
class Invocation:
    """Options of atc by name without dashes, in the order in which they are written.

    `shapes` are the inputs' dims, -1 where a profile decides; `first` those of the first profile.
    """

    options: Mapping[str, str]
    shapes: Mapping[str, Dims]
    first: Mapping[str, Dims]

    def words(self, command: Sequence[str], model: str, output: str) -> list[str]:
        """Return the whole command as a list of words, nothing quoted."""
        options = {"model": model, "output": output, **self.options}
        return [*command, *(f"--{name}={value}" for name, value in options.items())]


def invocation(
    model: Model, target: Target, profiles: Profiles, settings: Mapping[str, str] | None = None
) -> Invocation:
    """Return ATC's options for a model.

    Args:
        model: the model that ATC will read.
        target: exactly one SoC, and the precision mode.
        profiles: static shapes and profiles.
        settings: further options of atc as the user writes them; they win.

    Raises:
        UsageError: what contradicts itself or the model.
    """
    if len(target.socs) != 1:
        raise UsageError("--soc: ATC converts for one SoC at a time; give one.")
    settings = _settings(settings or {})
    ports = ports_of(model)
    shapes = input_shapes(ports, profiles)
    _check_profiles(ports, shapes, profiles)
    options = {"framework": "5", "soc_version": target.socs[0].name}
    if any(not _is_spelled(name) for name in shapes):
        if any(not isinstance(d, int) for p in ports for d in p.shape or ("",)):
            raise UsageError("an input's name holds ; or , which --input_shape cannot spell.")
    elif shapes:
        options["input_shape"] = ";".join(f"{n}:{_joined(d)}" for n, d in shapes.items())
    if profiles.kind == "--image-size":
        options["input_format"] = "NCHW"
    elif profiles.kind == "--dims" or any(len(d) != 4 for d in shapes.values()):
        options["input_format"] = "ND"
    if profiles.kind == "--batch":
        options["dynamic_batch_size"] = _joined(profiles.batch)
    elif profiles.kind is not None:
        name = "dynamic_dims" if profiles.dims else "dynamic_image_size"
        options[name] = ";".join(_joined(row) for row in profiles.rows)
    if "precision_mode_v2" not in settings and target.precision_mode != DEFAULT_PRECISION_MODE:
        options["precision_mode"] = target.precision_mode
    options["log"] = "error"
    return Invocation({**options, **settings}, shapes, _first(shapes, profiles))


def _settings(given: Mapping[str, str]) -> dict[str, str]:
    settings = {}
    for key, value in given.items():
        name = key.lstrip("-").replace("-", "_")
        if name in _OURS or name in _SPELLED_BY:
            own = _SPELLED_BY.get(name)
            raise UsageError(
                f"--set {key}: graphfix writes --{name} itself"
                + (f"; use {own}." if own else " from the model.")
            )
        settings[name] = value
    return settings


def input_shapes(ports: Sequence[Port], profiles: Profiles) -> dict[str, Dims]:
    """Return the dims of each input, -1 where they stay open. Raises UsageError."""
    names = [p.name for p in ports]
    for name in profiles.shapes:
        if name not in names:
            raise UsageError(
                f"--shape {name}: the model has no such input (E10016). {nearest(name, names)}"
            )
    shapes = {}
    for port in ports:
        declared = port.shape
        given = profiles.shapes.get(port.name)
        if declared is None and given is None:
            raise UsageError(
                f"input {port.name}: its rank is not known; give --shape {port.name}=D,D,..."
            )
        if given is None:
            shapes[port.name] = tuple(d if isinstance(d, int) else -1 for d in declared or ())
            continue
        if declared is not None and len(declared) != len(given):
            raise UsageError(
                f"--shape {port.name}={_joined(given)}: the input has {len(declared)} dims "
                f"(E10049): {_shown(port)}."
            )
        for want, have in zip(given, declared or given, strict=True):
            if isinstance(have, int) and want != have:
                raise UsageError(
                    f"--shape {port.name}={_joined(given)}: the model fixes it to {_shown(port)}; "
                    "export it with an open dim, or keep the size."
                )
        shapes[port.name] = tuple(given)
    return shapes


def _check_profiles(ports: Sequence[Port], shapes: Mapping[str, Dims], profiles: Profiles) -> None:
    open_axes = {n: [i for i, d in enumerate(dims) if d == -1] for n, dims in shapes.items()}
    total = sum(len(axes) for axes in open_axes.values())
    kind, rows = profiles.kind, profiles.rows
    if kind is None:
        if total:
            port = next(p for p in ports if open_axes[p.name])
            example = ",".join(str(d) if d > 0 else "N" for d in shapes[port.name])
            raise UsageError(
                f"input {port.name} is {_shown(port)}, and ATC wants numbers (E10001). Give "
                f"--shape {port.name}={example}, or profiles: --batch 1,2,4,8, "
                "--dims '16;32;64', --image-size '416,416;832,832'."
            )
        return
    text = f"{kind} {';'.join(_joined(r) for r in rows)}"
    if len(rows) < 2:
        raise UsageError(f"{text}: ATC wants at least two profiles (E10035); for one give --shape.")
    if len(rows) > MAX_PROFILES:
        raise UsageError(f"{kind}: {len(rows)} profiles; ATC takes {MAX_PROFILES} (E10036).")
    if len(set(rows)) != len(rows):
        raise UsageError(f"{text}: a profile is there twice (E10039).")
    if any(n < 1 for row in rows for n in row):
        raise UsageError(f"{text}: sizes are whole numbers from 1 on (E10038).")
    if not total:
        code = "E10031" if kind == "--batch" else "E10001"
        fixed = ", ".join(_shown(p) for p in ports[:3])
        raise UsageError(
            f"{kind}: no input has an open dim ({code}): {fixed}. Export the model with the dims "
            "dynamic that the profiles are to vary."
        )
    if kind == "--batch":
        for port in ports:
            axes = open_axes[port.name]
            if not shapes[port.name]:
                raise UsageError(
                    f"--batch: input {port.name} is a scalar (E10012); use --dims instead."
                )
            if axes and axes != [0]:
                raise UsageError(
                    f"--batch: only the first dim may be open (E10018), but {port.name} is "
                    f"{_shown(port)}. Bind the others: --shape {port.name}="
                    f"{','.join('-1' if i == 0 else str(d) if d > 0 else 'N' for i, d in enumerate(shapes[port.name]))}"  # noqa: E501
                    ", or use --dims."
                )
    elif kind == "--image-size":
        for port in ports:
            if open_axes[port.name] and (open_axes[port.name] != [2, 3]):
                raise UsageError(
                    f"--image-size: exactly height and width, dims 2 and 3 of four, may be open "
                    f"(E10019), but {port.name} is {_shown(port)}. Bind the others: --shape "
                    f"{port.name}=1,3,-1,-1, or use --dims."
                )
        if any(len(row) != 2 for row in rows):
            raise UsageError(f"{text}: each profile is HEIGHT,WIDTH (E10020).")
    elif any(len(row) != total for row in rows):
        names = ", ".join(f"{n}[{i}]" for n, axes in open_axes.items() for i in axes)
        raise UsageError(
            f"{text}: {total} dim{'s are' if total > 1 else ' is'} open ({names}), so each profile "
            f"needs {total} number{'s' * (total > 1)} (E10045, E10046)."
        )


def profile_shapes(model: Model, profiles: Profiles) -> dict[str, dict[str, Dims]]:
    """Return the inputs' static dims by profile, in the order in which they were given.

    Raises:
        UsageError: as `invocation`.
    """
    ports = ports_of(model)
    shapes = input_shapes(ports, profiles)
    _check_profiles(ports, shapes, profiles)
    if profiles.kind is None:
        return {"static": shapes}
    name = profiles.kind.removeprefix("--").replace("-", " ")
    return {f"{name} {_joined(r)}": _filled(shapes, profiles, r) for r in profiles.rows}


def _first(shapes: Mapping[str, Dims], profiles: Profiles) -> dict[str, Dims]:
    """Return the shapes of the first profile."""
    return _filled(shapes, profiles, profiles.rows[0]) if profiles.rows else dict(shapes)


def _filled(shapes: Mapping[str, Dims], profiles: Profiles, sizes: Dims) -> dict[str, Dims]:
    """Return the shapes with one profile's sizes in place of -1."""
    row = list(sizes)
    result = {}
    for name, dims in shapes.items():
        filled = []
        for dim in dims:
            if dim != -1:
                filled.append(dim)
            elif profiles.batch:
                filled.append(row[0])
            else:
                filled.append(row.pop(0) if len(row) > 1 or profiles.dims else row[0])
        if profiles.image_size:
            row = list(sizes)
        result[name] = tuple(filled)
    return result


def _is_spelled(name: str) -> bool:
    return re.search(r"[;,]", name) is None


def _joined(dims: Sequence[int]) -> str:
    return ",".join(map(str, dims))


def _shown(port: Port) -> str:
    dims = "?" if port.shape is None else ",".join("?" if d is None else str(d) for d in port.shape)
    return f"{port.name}[{dims}]"

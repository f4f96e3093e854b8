"""The command line for one model: shapes and profiles as ATC spells them, contradictions refused.

Every refusal names the code that ATC itself would print (CANN's atc options guide, 2026).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from graphfix.atc import checks
from graphfix.atc.checks.view import ModelFacts
from graphfix.atc.command import Fault, of_options
from graphfix.atc.lint import describe
from graphfix.atc.options import atc_options
from graphfix.atc.shapes import (
    BATCH,
    DIMS,
    IMAGE,
    MAX_PROFILES,
    MAX_PROFILES_950,
    Dims,
    Shapes,
    profile_faults,
    written,
)
from graphfix.comparison.runtimes import Port, ports_of
from graphfix.errors import UsageError, nearest
from graphfix.graph import Model
from graphfix.support.target import DEFAULT_PRECISION_MODE, Target

_OURS = ("model", "output", "framework", "soc_version", "mode")
_SPELLED_BY = {"input_shape": "--shape", "dynamic_batch_size": "--batch", "dynamic_dims": "--dims",
               "dynamic_image_size": "--image-size", "soc_version": "--soc"}  # fmt: skip

_OPTION_OF = {"--batch": BATCH, "--dims": DIMS, "--image-size": IMAGE}
# what convert says to a mistake in its own options; the rules and codes are those of lint
_SAYS = {
    "one-profile": "ATC wants at least two profiles ({code}); for one give --shape.",
    "many-profiles": "{count} profiles; ATC takes {limit} ({code}).",
    "profile-twice": "a profile is there twice ({code}).",
    "profile-not-positive": "sizes are whole numbers from 1 on ({code}).",
    "image-size-form": "each profile is HEIGHT,WIDTH ({code}).",
    "dims-commas": "commas part the numbers of one profile, semicolons part profiles: {advice}.",
    "profile-length": "{count} dims are open ({where}), so each profile needs {count} numbers "
    "({code}).",
    "fixed-batch": "no input has an open dim ({code}): {inputs}. Export the model with the dims "
    "dynamic that the profiles are to vary.",
    "batch-scalar": "input {value} is a scalar ({code}); use --dims instead.",
    "batch-axis": "only the first dim may be open ({code}), but {value} is not so. Bind the "
    "others: --shape {example}, or use --dims.",
    "image-axes": "exactly height and width, dims 2 and 3 of four, may be open ({code}), but "
    "{value} is not so. Bind the others, as in --shape NAME=1,3,-1,-1, or use --dims.",
}
_SAYS["fixed-dims"] = _SAYS["fixed-batch"]
_OF_SHAPES = ("fixed-batch", "fixed-dims", "batch-scalar", "batch-axis", "image-axes")


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

    @property
    def files(self) -> dict[str, Path]:
        """The files of this machine that options name, such as --keep_dtype, by option."""
        known = atc_options()
        return {
            name: Path(value)
            for name, value in self.options.items()
            if name in known and known[name].kind == "path" and Path(value).is_file()
        }

    def words(
        self, command: Sequence[str], model: str, output: str, seen: Callable[[Path], str] = str
    ) -> list[str]:
        """Return the whole command as a list of words, nothing quoted.

        `seen` tells what ATC calls a file of this machine.
        """
        files = {name: seen(path) for name, path in self.files.items()}
        options = {"model": model, "output": output, **self.options, **files}
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
    large = target.socs[0].family == "ascend910_95"
    _check_profiles(ports, shapes, profiles, MAX_PROFILES_950 if large else MAX_PROFILES)
    options = {"framework": "5", "soc_version": target.socs[0].name}
    if any(not _is_spelled(name) for name in shapes):
        if any(not isinstance(d, int) for p in ports for d in p.shape or ("",)):
            raise UsageError("an input's name holds ; or , which --input_shape cannot spell.")
    elif shapes:
        options["input_shape"] = ";".join(f"{n}:{_joined(d)}" for n, d in shapes.items())
    if profiles.kind == "--image-size":
        options["input_format"] = "NCHW"
    elif profiles.kind == "--dims" or (
        # AIPP works on images, and atc wants their layout then
        any(len(d) != 4 for d in shapes.values()) and "insert_op_conf" not in settings
    ):
        options["input_format"] = "ND"
    if profiles.kind == "--batch":
        options["dynamic_batch_size"] = _joined(profiles.batch)
    elif profiles.kind is not None:
        name = "dynamic_dims" if profiles.dims else "dynamic_image_size"
        options[name] = ";".join(_joined(row) for row in profiles.rows)
    if "precision_mode_v2" not in settings and target.precision_mode != DEFAULT_PRECISION_MODE:
        options["precision_mode"] = target.precision_mode
    options["log"] = "error"
    if settings:
        _check_settings(model, ports, options, settings)
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


def _check_profiles(
    ports: Sequence[Port],
    shapes: Mapping[str, Dims],
    profiles: Profiles,
    limit: int = MAX_PROFILES,
) -> None:
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
    option = _OPTION_OF[kind]
    open_ = Shapes(shapes)
    faults = list(profile_faults(option, rows, open_, limit))
    if not total:
        nothing = {"value": "", "whole": "", "advice": ""}
        faults = [Fault("fixed-batch" if option == BATCH else "fixed-dims", option, nothing)]
    # what is wrong with the numbers themselves first, then what the model does not give
    faults.sort(key=lambda fault: fault.id in _OF_SHAPES)
    for fault in faults:
        example = str(fault.words.get("value")).replace(":", "=")
        words = {
            **fault.words,
            "code": _code(fault),
            "inputs": ", ".join(_shown(p) for p in ports[:3]),
            "example": re.sub(r"(?<==-1)(.*)", lambda m: m.group().replace("-1", "N"), example),
        }
        given = f"{kind} {written(option, rows)}" if fault.id not in _OF_SHAPES else kind
        raise UsageError(f"{given}: {_SAYS[fault.id].format_map(words)}")


def _code(fault: Fault) -> str:
    return describe(fault).code or "refused"


def _check_settings(
    model: Model, ports: Sequence[Port], options: Mapping[str, str], settings: Mapping[str, str]
) -> None:
    """Refuse further options that contradict themselves or the others. Raises UsageError."""
    graph = model.graph
    facts = ModelFacts(
        ports,
        frozenset(o.name for o in model.proto.graph.output),
        frozenset(n.name for n in graph.ordered() if n.name),
    )
    files = {"model": "model.onnx", "output": "model"}
    before = {(f.id, f.option) for f in checks.check(of_options({**files, **options}), facts)}
    for fault in checks.check(of_options({**files, **options, **settings}), facts):
        finding = describe(fault)
        if finding.effect in ("rejected", "misread") and (fault.id, fault.option) not in before:
            name = next((n for n in settings if n == fault.option), next(iter(settings)))
            code = f" ({finding.code})" if finding.code else ""
            raise UsageError(
                f"--set {name}={settings[name]}: {finding.says}{code}. Right: {finding.right}."
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

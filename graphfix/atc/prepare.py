"""What comes before ATC: shapes bound, check, fix, and the command for what is left."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import onnx

from graphfix.analysis import Report, check
from graphfix.analysis.memory import Memory, memory
from graphfix.atc.invocation import (
    Invocation,
    Profiles,
    input_shapes,
    invocation,
    profile_shapes,
)
from graphfix.comparison.runtimes import ports_of
from graphfix.graph import Model
from graphfix.graph.saving import external_files
from graphfix.rewrite.fix import FixReport, fix
from graphfix.rewrite.rule import Rule
from graphfix.support import Tables, Target


@dataclass(frozen=True)
class Wish:
    """What the user wants of a conversion; the same for running ATC and for a bundle.

    `rules` are those of the fix, None for graphfix's own; `settings` options of atc by name.
    """

    target: Target
    profiles: Profiles = field(default_factory=Profiles)
    settings: Mapping[str, str] = field(default_factory=dict)
    fix: bool = True
    opset: int | None = None
    rules: Sequence[Rule] | None = None
    approximate: bool = False
    verify: str = "site"
    tables: Tables = field(default_factory=Tables)


@dataclass(frozen=True)
class Prepared:
    """A model ready for ATC. `fixed` is None when it was not to be changed."""

    original: Model
    model: Model
    fixed: FixReport | None
    report: Report
    invocation: Invocation
    wish: Wish

    @property
    def name(self) -> str:
        """What the .om will be called."""
        path = self.original.path
        return path.name.removesuffix(".onnx") if path is not None else "model"

    @property
    def byte_size(self) -> int:
        """Bytes of the model with its external weights."""
        files = (p for p in external_files(self.original) if p.is_file())
        return self.original.byte_size + sum(p.stat().st_size for p in files)

    @cached_property
    def memory(self) -> Memory:
        """The estimate for the largest profile: an .om needs what that one needs."""
        shapes = profile_shapes(self.original, self.wish.profiles)
        label = max(shapes, key=lambda k: sum(math.prod(dims) for dims in shapes[k].values()))
        known = {n: d for n, d in shapes[label].items() if n in self.model.graph.inputs}
        return memory(self.model, self.wish.target, {label: known})


def prepare(original: Model, wish: Wish) -> Prepared:
    """Bind the shapes, fix the model unless told not to, and write ATC's options.

    Raises:
        UsageError: shapes, profiles or options that contradict the model or each other; nothing
            has been fixed then.
    """
    # refused before the work of a fix starts, and on the names that the user knows
    command = invocation(original, wish.target, wish.profiles, wish.settings)
    if not wish.fix:
        shapes = command.first if wish.profiles.shapes else None
        report = check(original, wish.target, shapes=shapes, tables=wish.tables)
        return Prepared(original, original, None, report, command, wish)
    fixed = fix(
        bound(original, wish.profiles),
        wish.target,
        opset=wish.opset,
        rules=wish.rules,
        tables=wish.tables,
        verify=wish.verify,
        approximate=wish.approximate,
    )
    return Prepared(original, fixed.model, fixed, fixed.after, command, wish)


def bound(model: Model, profiles: Profiles) -> Model:
    """Return the model with the dims of --shape written in; those of -1 stay open."""
    if not profiles.shapes:
        return model
    shapes = input_shapes(ports_of(model), profiles)
    proto = onnx.ModelProto()
    proto.CopyFrom(model.proto)
    for info in proto.graph.input:
        if info.name in profiles.shapes:
            tensor = info.type.tensor_type
            had = list(tensor.shape.dim)
            del tensor.shape.dim[:]
            for index, size in enumerate(shapes[info.name]):
                dim = tensor.shape.dim.add()
                if size >= 0:
                    dim.dim_value = size
                elif index < len(had):
                    dim.CopyFrom(had[index])
            tensor.shape.SetInParent()
    # what was declared for other sizes is inferred anew
    del proto.graph.value_info[:]
    for info in proto.graph.output:
        info.type.tensor_type.ClearField("shape")
    return Model(proto, Path(model.path) if model.path is not None else None)

"""--input_shape and profiles: how they are written, and what contradicts itself in them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from graphfix.atc.command import Fault

MAX_PROFILES = 100  # CANN atc guide, --dynamic_batch_size, 2026
MAX_PROFILES_950 = 256
BATCH, IMAGE, DIMS = "dynamic_batch_size", "dynamic_image_size", "dynamic_dims"
PROFILES = (BATCH, IMAGE, DIMS)

Dims = tuple[int, ...]
Range = tuple[int, int]
Shape = tuple["int | Range", ...]


@dataclass(frozen=True)
class Shapes:
    """What --input_shape says: dims by input, -1 for open ones, (low, high) for ranges.

    `by_position` is a value without names, for dynamic shapes only.
    """

    inputs: Mapping[str, Shape]
    by_position: bool = False

    @property
    def text(self) -> str:
        """The value as atc wants it."""
        if self.by_position:
            return ";".join(_dims(d) for d in self.inputs.values())
        return ";".join(f"{name}:{_dims(dims)}" for name, dims in self.inputs.items())

    @property
    def fixed(self) -> dict[str, Dims]:
        """The dims with ranges as -1."""
        return {
            name: tuple(d if isinstance(d, int) else -1 for d in dims)
            for name, dims in self.inputs.items()
        }

    @property
    def has_range(self) -> bool:
        """Whether a dim is a~b."""
        return any(not isinstance(d, int) for dims in self.inputs.values() for d in dims)

    def open_axes(self) -> list[tuple[str, int]]:
        """Return each -1, in the order in which profiles fill them."""
        return [(n, i) for n, dims in self.fixed.items() for i, d in enumerate(dims) if d == -1]

    def with_dim(self, axes: Sequence[tuple[str, int]], size: int) -> Shapes:
        """Return the shapes with a size at these axes."""
        chosen = set(axes)
        return Shapes(
            {
                name: tuple(size if (name, i) in chosen else d for i, d in enumerate(dims))
                for name, dims in self.inputs.items()
            },
            self.by_position,
        )

    def with_least_dims(self) -> Shapes:
        """Return the shapes with 1 where a dim is 0 or below -1."""
        low = [(n, i) for n, dims in self.fixed.items() for i, d in enumerate(dims)
               if d == 0 or d < -1]  # fmt: skip
        return self.with_dim(low, 1)

    def without_ranges(self) -> Shapes:
        """Return the shapes with -1 in place of ranges."""
        return Shapes(dict(self.fixed), self.by_position)


def _dims(dims: Shape) -> str:
    return ",".join(str(d) if isinstance(d, int) else f"{d[0]}~{d[1]}" for d in dims)


# ---------------------------------------------------------------------- --input_shape


def read_shapes(text: str) -> tuple[Shapes | None, list[Fault]]:
    """Read an --input_shape, as far as it can be understood, and say what is wrong with it."""
    option, faults = "input_shape", []
    loose = "-1" in text or "~" in text
    number = "E10002" if loose else "E10014"
    clean = text
    if re.search(r"[\[\](){}]", text):
        clean = re.sub(r"[\[\](){}]", "", text)
    if clean.rstrip().endswith(";"):
        clean = clean.rstrip().rstrip(";")
        faults.append(_form(text, "a ; at the end leaves an empty part", "E10002"))
    spelled = re.sub(r"[,\s]+(?=[A-Za-z_][\w./]*\s*:)", ";", clean.strip())
    spelled = re.sub(r";{2,}", ";", spelled)
    if spelled.count(";") != clean.strip().count(";"):
        faults.append(_form(text, "inputs are parted by ; and not by other signs", "E10002"))
    if ":" not in spelled and "=" in spelled:
        spelled = spelled.replace("=", ":")
        faults.append(_form(text, "the name ends with a colon, not with =", "E10002"))
    inputs: dict[str, Shape] = {}
    parts = [p for p in spelled.split(";") if p.strip()]
    by_position = ":" not in spelled
    if by_position and not loose:
        return None, [*faults, _form(text, "no name: each input is name:dims", "E10002")]
    for at, part in enumerate(parts):
        name, colon, dims_text = part.rpartition(":")
        if by_position:
            name, dims_text = str(at), part
        elif not colon or not name.strip():
            return None, [*faults, _form(part, "each input is name:dims", "E10002")]
        shape, why = _shape(dims_text)
        if shape is None:
            return None, [*faults, _form(part, why, number)]
        if why:
            faults.append(_form(part, why, number))
        if name.strip() in inputs:
            faults.append(_form(part, f"{name.strip()} stands there twice", None))
        inputs[name.strip()] = shape
    shapes = Shapes(inputs, by_position)
    if re.search(r"[\[\](){}]", text):
        whole = {"whole": shapes.text}
        faults.insert(0, Fault("shape-brackets", option, whole, number, {option: shapes.text}))
    faults = [
        f if f.id != "shape-form" else Fault(f.id, option, f.words, f.code, {option: shapes.text})
        for f in faults
    ]
    return shapes, faults


def _form(value: str, why: str, code: str | None) -> Fault:
    return Fault("shape-form", "input_shape", {"value": value.strip(), "why": why}, code)


def _shape(text: str) -> tuple[Shape | None, str]:
    """Return the dims of one input, or None; and what is wrong with how they are written."""
    why = ""
    text = text.strip()
    if not text:
        return (), ""
    if re.fullmatch(r"\d+(\s*[xX*]\s*-?\d+)+", text) or re.fullmatch(r"-?\d+(\s+-?\d+)+", text):
        text = re.sub(r"\s*[xX*]\s*|\s+", ",", text)
        why = "dims are parted by commas"
    dims: list[int | Range] = []
    for dim in (d.strip() for d in text.split(",")):
        span = re.fullmatch(r"(\d+)\s*~\s*(-1|\d+)", dim)
        if span:
            dims.append((int(span.group(1)), int(span.group(2))))
        elif re.fullmatch(r"-?\d+", dim):
            dims.append(int(dim))
        elif dim == "?":
            dims.append(-1)
            why = "an open dim is -1, not ?"
        elif re.fullmatch(r"\d+\.0*", dim):
            dims.append(int(dim.split(".")[0]))
            why = "dims are whole numbers"
        elif not dim:
            return None, "a dim is empty"
        else:
            return None, f"{dim} is no whole number"
    return tuple(dims), why


# ---------------------------------------------------------------------- profiles


def read_profiles(option: str, text: str) -> tuple[list[Dims] | None, list[Fault]]:
    """Read profiles, as far as they can be understood, and say what is wrong in their writing."""
    faults: list[Fault] = []
    clean = re.sub(r"[\[\](){}\s]", "", text)
    clean = clean.removesuffix(",") if option == BATCH else clean.strip(";")
    why = ""
    if clean != text and (option == BATCH and clean + "," == text):
        pass  # one comma at the end is dropped
    elif clean != text:
        why = "digits, commas and semicolons only" if option != BATCH else "digits and commas only"
    if option == BATCH and ";" in clean:
        clean, why = clean.replace(";", ","), "sizes are parted by commas"
    if "~" in clean:
        clean, why = clean.replace("~", "," if option == BATCH else ";"), "a range is no profile"
    if option == IMAGE and re.fullmatch(r"\d+[xX*]\d+([;,]\d+[xX*]\d+)*", clean):
        clean = re.sub(r"[xX*]", ",", clean.replace(",", ";"))
        why = "height and width are parted by a comma"
    if not re.fullmatch(r"\d+([,;]\d+)*", clean):
        fault = Fault("profile-form", option, {
            "value": text, "why": why or "whole numbers are wanted",
            "advice": f"--{option}=\"{_EXAMPLE[option]}\""}, "E10003", {option: None})  # fmt: skip
        return None, [fault]
    if why:
        what = f'--{option}="{clean}", every size that you use'
        if "~" in text:
            what += '; any size between: --input_shape="x:1~8,..." alone'
        faults.append(Fault("profile-form", option, {
            "value": text, "why": why, "advice": what}, "E10003", {option: clean}))  # fmt: skip
    rows = [tuple(map(int, row.split(","))) for row in clean.split(";")]
    if option == BATCH:
        rows = [(n,) for row in rows for n in row]
    return rows, faults


_EXAMPLE = {BATCH: "1,2,4,8", DIMS: "1,16;1,32", IMAGE: "416,416;832,832"}


def written(option: str, rows: Sequence[Dims]) -> str:
    """Return profiles as atc wants them."""
    if option == BATCH:
        return ",".join(str(row[0]) for row in rows)
    return ";".join(",".join(map(str, row)) for row in rows)


# where height and width are
IMAGE_AXES = {"NCHW": [2, 3], "NHWC": [1, 2]}


def profile_faults(
    option: str,
    rows: Sequence[Dims],
    shapes: Shapes,
    limit: int = MAX_PROFILES,
    soc: str = "atc",
    layout: str = "NCHW",
) -> Iterator[Fault]:
    """Say what is wrong with profiles over these shapes.

    Args:
        option: dynamic_batch_size, dynamic_image_size or dynamic_dims.
        rows: the profiles, one tuple of numbers each.
        shapes: the inputs' dims, -1 where the profiles decide.
        limit: how many profiles the chip takes.
        soc: how the text calls the chip.
        layout: of images, NCHW or NHWC.
    """
    yield from _open_faults(option, rows, shapes, IMAGE_AXES.get(layout, [2, 3]))
    if option == DIMS and not shapes.open_axes():
        shapes = shapes.with_dim(_axes_meant(rows, shapes), -1)
    value = written(option, rows)
    open_axes = shapes.open_axes()
    if option == DIMS and len(rows) == 1 and len(rows[0]) > 1 and len(rows[0]) != len(open_axes):
        split = _split(rows[0], shapes)
        advice = written(DIMS, split) if split else "1,16;1,32"
        yield Fault("dims-commas", option, {
            "value": value, "count": len(rows[0]), "advice": advice},
            edits={option: advice} if split else {option: None})  # fmt: skip
        return
    if len(rows) < 2:
        static = shapes.text
        if rows and open_axes and len(rows[0]) in (1, len(open_axes)):
            numbers = list(rows[0]) * (len(open_axes) if len(rows[0]) == 1 else 1)
            for axis, size in zip(open_axes, numbers, strict=True):
                shapes = shapes.with_dim([axis], size)
            static = shapes.text
        advice = f'one size needs no profiles: --input_shape="{static}"'
        yield Fault("one-profile", option, {"value": value, "advice": advice},
                    edits={option: None, "input_shape": static})  # fmt: skip
    if len(rows) > limit:
        yield Fault("many-profiles", option, {"count": len(rows), "limit": limit, "soc": soc},
                    edits={option: written(option, rows[:limit])})  # fmt: skip
    zero = [row for row in rows if any(n < 1 for n in row)]
    if zero:
        kept = [row for row in rows if row not in zero]
        yield Fault("profile-not-positive", option, {"value": written(option, zero)},
                    edits={option: written(option, kept) or None})  # fmt: skip
    twice = [row for i, row in enumerate(rows) if row in rows[:i]]
    if twice:
        whole = written(option, list(dict.fromkeys(rows)))
        yield Fault("profile-twice", option, {"value": written(option, twice[:1]), "whole": whole},
                    edits={option: whole})  # fmt: skip
    if option == IMAGE and any(len(row) != 2 for row in rows):
        bad = next(row for row in rows if len(row) != 2)
        square = [row * 2 if len(row) == 1 else row for row in rows]
        yield Fault("image-size-form", option, {"value": ",".join(map(str, bad))},
                    edits={option: written(option, square)
                           if all(len(r) == 2 for r in square) else None})  # fmt: skip
    if option == DIMS and open_axes:
        uneven = [row for row in rows if len(row) != len(open_axes)]
        if uneven:
            where = ", ".join(f"{n}[{i}]" for n, i in open_axes)
            filled = [row * len(open_axes) if len(row) == 1 else row for row in rows]
            fits = all(len(row) == len(open_axes) for row in filled)
            code = "E10037" if len({len(r) for r in rows}) > 1 else "E10045"
            words = {
                "value": ",".join(map(str, uneven[0])),
                "count": len(open_axes),
                "where": where,
            }
            right = written(option, filled) if fits else None
            yield Fault("profile-length", option, words, code, {option: right})


def _open_faults(
    option: str, rows: Sequence[Dims], shapes: Shapes, image_axes: list[int]
) -> Iterator[Fault]:
    """Say where -1 is missing or too many for the kind of profiles."""
    open_axes = shapes.open_axes()
    if option == BATCH:
        yield from _batch_faults(rows, shapes, open_axes)
    elif option == IMAGE:
        touched = sorted({n for n, _ in open_axes})
        for name in touched:
            axes = [i for n, i in open_axes if n == name]
            if len(shapes.inputs[name]) != 4 or axes != image_axes:
                dims = shapes.inputs[name]
                form = "1,3,-1,-1" if image_axes == [2, 3] else "1,-1,-1,3"
                advice = f"{name}:{form}, or --dynamic_dims"
                edits: dict[str, str | None] = {}
                if len(dims) == 4 and set(image_axes) < set(axes):
                    others = [(name, i) for i in axes if i not in image_axes]
                    edits = {"input_shape": shapes.with_dim(others, 1).text}
                words = {"value": f"{name}:{_dims(dims)}", "advice": advice}
                yield Fault("image-axes", option, words, edits=edits or {option: None})
        if not touched:
            name = next((n for n, d in shapes.inputs.items() if len(d) == 4), "")
            opened = shapes.with_dim([(name, i) for i in image_axes], -1).text
            yield Fault("image-axes", option, {
                "value": shapes.text, "advice": f'--input_shape="{opened}"' if name else
                "an input of four dims with -1 at both"},
                edits={"input_shape": opened} if name else {option: None})  # fmt: skip
    elif not open_axes:
        axes_of = _axes_meant(rows, shapes)
        opened = shapes.with_dim(axes_of, -1).text if axes_of else ""
        advice = f'--input_shape="{opened}"' if opened else "put -1 where the profiles vary"
        yield Fault("fixed-dims", option, {"value": shapes.text, "advice": advice},
                    edits={"input_shape": opened} if opened else {option: None})  # fmt: skip


def _batch_faults(
    rows: Sequence[Dims], shapes: Shapes, open_axes: Sequence[tuple[str, int]]
) -> Iterator[Fault]:
    scalars = [n for n, dims in shapes.inputs.items() if not dims]
    if scalars:
        yield Fault("batch-scalar", BATCH, {"value": scalars[0]}, edits=_as_dims(rows, open_axes))
    if not open_axes:
        first = next((d[0] for d in shapes.fixed.values() if d), None)
        axes = [(n, 0) for n, d in shapes.fixed.items() if d and d[0] == first]
        opened = shapes.with_dim(axes, -1).text
        yield Fault("fixed-batch", BATCH, {"value": shapes.text, "whole": opened},
                    edits={"input_shape": opened})  # fmt: skip
    for name in dict.fromkeys(n for n, i in open_axes if i != 0):
        yield Fault("batch-axis", BATCH, {"value": f"{name}:{_dims(shapes.inputs[name])}"},
                    edits={BATCH: None})  # fmt: skip


def _as_dims(rows: Sequence[Dims], open_axes: Sequence[tuple[str, int]]) -> dict[str, str | None]:
    """Return what --dynamic_batch_size is as --dynamic_dims."""
    if not open_axes or any(i != 0 for _, i in open_axes):
        return {BATCH: None}
    every = [row * len(open_axes) for row in rows]
    return {BATCH: None, DIMS: written(DIMS, every), "input_format": "ND"}


def _axes_meant(rows: Sequence[Dims], shapes: Shapes) -> list[tuple[str, int]]:
    """Return the fixed dims that profiles are likely meant for: those that they name."""
    numbers = {n for row in rows for n in row}
    axes = []
    for name, dims in shapes.fixed.items():
        hits = [i for i, d in enumerate(dims) if d in numbers]
        if hits:
            axes.append((name, hits[-1]))
    return axes


def _split(row: Dims, shapes: Shapes) -> list[Dims]:
    """Return the profiles that a list parted by commas was likely meant for."""
    open_axes = shapes.open_axes()
    if len(open_axes) == len({n for n, _ in open_axes}) and open_axes:
        return [(n,) * len(open_axes) for n in row]  # one -1 per input: all vary together
    if open_axes and len(row) % len(open_axes) == 0:
        step = len(open_axes)
        return [row[i : i + step] for i in range(0, len(row), step)]
    return []

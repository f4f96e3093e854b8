"""Where tools put what they save: from a folder to the files of each sample, and what each holds.

By the names of folders and files, as the public documents and sources of the tools have them:

- `NAME.npy`, `NAME.npz`, `NAME.bin`; numbered folders (0, 1, ...) are samples. This is what
  --save-inputs and --save-outputs write.
- ais_bench, msit benchmark: OUTPUT/TIME/STEM_INDEX.bin (or .npy) beside OUTPUT/TIME_summary.json,
  whose `filesinfo` tells the files of each sample; STEM is `pure_infer_data` or the first input's
  file.
- msit debug compare, msprobe offline_dump: OUTPUT/TIME/[SHAPES/]dump_data/npu/TIME_bin2npy/... with
  the dumps converted by msaccucmp, dump_data/npu/TIME/*_INDEX.npy with the model's outputs,
  dump_data/onnx/NODE.INDEX.TIME.npy with the ONNX model's values; ais_bench --dump-npy:
  OUTPUT/dump/TIME_npy/...
- msaccucmp convert: TYPE.NODE.TASK.STREAM.TIME.output.INDEX[.SHAPE].npy; `.input.` is left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from graphfix.errors import UsageError
from graphfix.graph import Shape

SUFFIXES = (".npy", ".npz", ".bin")
# node, position: a dump of an ONNX model, and one that msaccucmp converted
_DUMP = re.compile(r"^(.+)\.(\d+)\.\d{10,}$")
_CONVERTED = re.compile(r"^[^.]+\.([^.]+)(?:\.\d+){2,}\.output\.(\d+)(?:\.\d+(?:x\d+)*)?$")
_CONVERTED_INPUT = re.compile(r"^[^.]+\.[^.]+(?:\.\d+){2,}\.input\.\d+(?:\.\d+(?:x\d+)*)?$")
# a dump as the device writes it: no suffix, a time of 16 digits
_RAW = re.compile(r"^[^.]+\.[^.]+(?:\.\d+){2,}$")
INDEXED = re.compile(r"^(.*)_(\d+)$")
_HALVES = {"float32": "float16", "int64": "int32", "float64": "float32"}

Form = tuple[np.dtype, Shape]


@dataclass(frozen=True)
class Entry:
    """The data of one value: a file, or a member of an .npz."""

    file: Path
    member: str = ""

    def read(self, form: Form | None) -> np.ndarray:
        """Return the array; `form` is the dtype and shape that it should have.

        A .bin is read in that form, or at half its width (float16 for float32, int32 for int64)
        where the file has half as many bytes. Raises UsageError.
        """
        if self.file.suffix == ".bin":
            return _read_bin(self.file, form)
        try:
            data: Any = np.load(self.file, allow_pickle=False)
            array: np.ndarray = data[self.member] if self.member else data
        except (OSError, ValueError, EOFError, KeyError, BadZipFile) as error:
            raise UsageError(f"{self.file}: cannot be read as numpy data ({error}).") from None
        return array if form is None else unpacked(array, form[1])


def samples_at(path: Path) -> list[list[Path]]:
    """Return the files of each sample at a path. Raises UsageError."""
    if path.is_file():
        if path.suffix not in SUFFIXES:
            raise UsageError(f"{path}: not a .npy, .npz or .bin file, nor a folder of them.")
        return [[path]]
    if not path.is_dir():
        raise UsageError(f"{path}: there is no such file or folder.")
    files = sorted(p for p in path.iterdir() if p.is_file() and p.suffix in SUFFIXES)
    if files:
        return _by_summary(path, files) or _by_stem(files)
    if (dump := _dump_data(path)) is not None:
        return dump
    folders = sorted((p for p in path.iterdir() if p.is_dir() and _holds_data(p)), key=_number)
    if not folders:
        raise UsageError(f"{path}: {_what_instead(path)}")
    if all(p.name.isdigit() and len(p.name) < 7 for p in folders):
        return [sample for p in folders for sample in samples_at(p)]
    if len(folders) > 1:  # the outputs themselves, not what lies beside them
        timed = [p for p in folders if (path / f"{p.name}_summary.json").is_file()]
        folders = timed if len(timed) == 1 else folders
    if len(folders) > 1:
        names = ", ".join(p.name for p in folders[:4])
        raise UsageError(f"{path}: holds several folders of data ({names}); give one of them.")
    return samples_at(folders[0])


def entries_of(files: Sequence[Path]) -> dict[str, Entry]:
    """Return the data of a sample by the name that its file tells: a value, or NODE.POSITION."""
    found: dict[str, Entry] = {}
    for file in files:
        if _CONVERTED_INPUT.match(file.stem):
            continue
        dump = _CONVERTED.match(file.stem) or _DUMP.match(file.stem)
        key = f"{dump[1]}.{dump[2]}" if dump else file.stem
        if file.suffix == ".npz":
            found.update((name, Entry(file, name)) for name in _members(file))
        elif file.suffix == ".npy" or key not in found:  # a .npy says its own dtype and shape
            found[key] = Entry(file)
    return found


def is_from_npu(samples: Sequence[Sequence[Path]]) -> bool:
    """Whether the names tell that an NPU gave the data: ais_bench, msaccucmp, msit, msprobe."""
    return any(
        _CONVERTED.match(file.stem)
        or file.stem.startswith("pure_infer_data")
        or _summary_of(file.parent) is not None
        or file.resolve().parent.parent.name == "npu"
        for files in samples
        for file in files
    )


# ---------------------------------------------------------------------- folders


def _dump_data(path: Path) -> list[list[Path]] | None:
    """Return the NPU's values of an msit or msprobe folder, as one sample; None if it is none."""
    folder = path if path.name == "dump_data" else path / "dump_data"
    if not folder.is_dir():
        return None
    side = next((p for s in ("npu", "onnx") if (p := folder / s).is_dir()), None)
    if side is None:
        raise UsageError(f"{folder}: has neither npu nor onnx in it.")
    files = sorted(p for p in side.rglob("*") if p.suffix in SUFFIXES)
    converted = [p for p in files if "_bin2npy" in p.relative_to(side).as_posix()]
    if not files:
        raise UsageError(f"{side}: {_what_instead(side)}")
    rest = [p for p in files if p not in converted]
    # the model's outputs: a .bin that is there as .npy too is left out
    plain = [p for p in rest if p.suffix != ".bin" or p.with_suffix(".npy") not in rest]
    return [[*converted, *plain]]


def _what_instead(path: Path) -> str:
    """Say what a folder without readable data holds, and how it becomes readable."""
    files = [p for p in path.rglob("*") if p.is_file()]
    if raw := next((p for p in files if not p.suffix[1:].isalpha() and _RAW.match(p.name)), None):
        return (
            f"holds dumps as the device wrote them ({raw.name}). Convert them with CANN's "
            f"msaccucmp.py convert -d {raw.parent} -out DIR, and give DIR."
        )
    if any(INDEXED.match(p.stem) and p.suffix == ".txt" for p in files):
        return "holds text; let ais_bench write --outfmt NPY or BIN."
    return "holds no .npy, .npz or .bin file."


def _holds_data(folder: Path) -> bool:
    return any(p.suffix in SUFFIXES for p in folder.rglob("*"))


def _number(path: Path) -> tuple[int, str]:
    return (int(path.name) if path.name.isdigit() else 0, path.name)


def _by_summary(folder: Path, files: Sequence[Path]) -> list[list[Path]] | None:
    """Return the samples that ais_bench's summary beside or in a folder tells of; None without."""
    place = _summary_of(folder)
    if place is None:
        return None
    try:
        told = json.loads(place.read_text(encoding="utf-8")).get("filesinfo") or {}
        samples = sorted(told.items(), key=lambda item: int(item[0]))
        names = [[Path(f).name for f in sample["outfiles"]] for _, sample in samples]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # an older form: the names of the files tell as much
    by_name = {file.name: file for file in files}
    if not names or any(name not in by_name for sample in names for name in sample):
        return None
    return [[by_name[name] for name in sample] for sample in names]


def _summary_of(folder: Path) -> Path | None:
    """Return what ais_bench told of a folder of outputs, beside it or in it."""
    folder = folder.resolve()  # `.` has no name
    places = (
        folder.with_name(f"{folder.name}_summary.json"),
        *(folder / n for n in ("summary.json", "sumary.json")),
    )
    return next((p for p in places if p.is_file()), None)


def _by_stem(files: list[Path]) -> list[list[Path]]:
    """Part the files of ais_bench into samples; all other files are one."""
    stems: dict[str, list[Path]] = {}
    for file in files:
        indexed = INDEXED.match(file.stem)
        if indexed is None:
            return [files]
        stems.setdefault(indexed[1], []).append(file)
    positions = [sorted(int(f.stem.rpartition("_")[2]) for f in group) for group in stems.values()]
    whole = all(p == positions[0] == list(range(len(p))) for p in positions)
    return list(stems.values()) if whole else [files]


def _members(file: Path) -> list[str]:
    try:
        with np.load(file, allow_pickle=False) as archive:
            return list(archive.files)
    except (OSError, ValueError, EOFError, BadZipFile, AttributeError) as error:
        raise UsageError(f"{file}: cannot be read as an .npz archive ({error}).") from None


# ---------------------------------------------------------------------- data


def unpacked(array: np.ndarray, shape: Shape) -> np.ndarray:
    """Return an array without the NPU's inner format, where it takes the place of `shape`.

    NC1HWC0 is channels in blocks: [N, C/16, H, W, 16]; FRACTAL_NZ is the last two dims in blocks of
    16 (or 32, 64 for narrow dtypes) stored column by column: [..., N/n, M/m, m, n]. Padding is cut
    off. Anything else comes back as it is.
    """
    if not all(isinstance(d, int) for d in shape) or array.shape == shape:
        return array
    dims = [d for d in shape if isinstance(d, int)]
    if array.ndim == 5 and len(dims) == 4:
        n, blocks, h, w, block = array.shape
        if (n, h, w) == (dims[0], *dims[2:]) and blocks == -(-dims[1] // block):
            channels: np.ndarray = array.transpose(0, 1, 4, 2, 3).reshape(n, -1, h, w)
            return channels[:, : dims[1]]
    if array.ndim == len(dims) + 2 and len(dims) >= 2:
        *outer, columns, rows, high, wide = array.shape
        *lead, m, n = dims
        if outer == lead and columns == -(-n // wide) and rows == -(-m // high):
            axes = list(range(len(outer)))
            plain = array.transpose(*axes, *(len(outer) + i for i in (1, 2, 0, 3)))
            matrix: np.ndarray = plain.reshape(*outer, rows * high, columns * wide)
            return matrix[..., :m, :n]
    return array


def _read_bin(file: Path, form: Form | None) -> np.ndarray:
    if form is None:
        raise UsageError(
            f"{file}: a .bin does not say what it holds, nor does the original. Give "
            "--bin NAME=DTYPE:D,D,... or save a .npy."
        )
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
        "another shape or dtype? Give --bin NAME=DTYPE:D,D,..., save it as .npy, or bind the "
        "shape with --shape."
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

"""Writing a model: whole or not at all, and never over somebody's weights."""

from __future__ import annotations

import contextlib
import filecmp
import os
import shutil
import tempfile
from pathlib import Path

import onnx

from graphfix.errors import UsageError
from graphfix.graph.model import Model
from graphfix.graph.reading import MAX_FILE_BYTES
from graphfix.graph.tensors import external_reference, tensors_of


def save(model: Model, path: str | os.PathLike[str]) -> None:
    """Write `model` to `path` atomically: the file appears whole or not at all.

    External data is referenced, not copied, as long as the folder stays the same; in another folder
    its files are copied beside the new model, without being read into memory, and a different file
    of that name is never overwritten. Raises UsageError when the target is the model's own file, a
    folder, or too large.
    """
    target = Path(path)
    if target.is_dir():
        raise UsageError(f"{target}: is a folder. Give the path of the .onnx file to write.")
    if model.path is not None and target.exists() and target.samefile(model.path):
        raise UsageError(f"{target}: is the input itself, which is never changed. Write elsewhere.")
    for weights in external_files(model) if target.exists() else ():
        if weights.exists() and target.samefile(weights):
            raise UsageError(
                f"{target}: holds weights of the input, which are never changed. Write elsewhere."
            )
    if not target.parent.is_dir():
        raise UsageError(f"{target.parent}: there is no such folder. Create it first.")
    proto = model.to_proto()
    data = proto.SerializeToString()
    if len(data) > MAX_FILE_BYTES:
        raise UsageError(
            f"{target}: {len(data):,} bytes are more than an ONNX file can hold "
            f"({MAX_FILE_BYTES:,}). Keep the weights external."
        )
    _bring_external_data(proto, model.folder, target.parent)
    write_atomically(target, data)


def write_atomically(target: Path, data: bytes) -> None:
    """Write bytes beside `target` and rename them over it."""
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        mode = target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~_umask()
        Path(name).chmod(mode)
        Path(name).replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _bring_external_data(proto: onnx.ModelProto, source: Path | None, folder: Path) -> None:
    if source is None or source.resolve() == folder.resolve():
        return
    for location in _locations(proto):
        old, new = source / location, folder / location
        if not old.exists():
            continue
        if new.exists():
            if new.samefile(old) or filecmp.cmp(old, new, shallow=False):
                continue
            raise UsageError(
                f"{new}: exists and is another file than the model's weights {old}. "
                "Write the model into another folder."
            )
        new.parent.mkdir(parents=True, exist_ok=True)
        # a copy, not a link: onnx and others refuse weights that are hard or symbolic links
        _copy_atomically(old, new)


def external_files(model: Model) -> list[Path]:
    """Return the files that hold the model's external data, within its folder."""
    folder = model.folder
    return [] if folder is None else [folder / name for name in _locations(model.proto)]


def _locations(proto: onnx.ModelProto) -> list[str]:
    """Return the external files of a model that lie within its folder."""
    return sorted(
        {
            reference.location
            for tensor in tensors_of(proto)
            if (reference := external_reference(tensor)) is not None and reference.is_inside
        }
    )


def _copy_atomically(source: Path, target: Path) -> None:
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    os.close(handle)
    try:
        shutil.copyfile(source, name)
        Path(name).replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise

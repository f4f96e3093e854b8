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
from graphfix.graph.external import write_weights
from graphfix.graph.model import Model
from graphfix.graph.reading import MAX_FILE_BYTES
from graphfix.graph.tensors import external_reference, tensors_of


def save(
    model: Model, path: str | os.PathLike[str], external: str | os.PathLike[str] | None = None
) -> list[Path]:
    """Write `model` to `path`: the file appears whole or not at all.

    External data is referenced, not copied, as long as the folder stays the same; in another folder
    its files are copied beside the new model, without being read into memory, and a different file
    of that name is never overwritten. With `external` all weights go into that file, which lies in
    the folder of `path` or below; a file of that name is replaced, never appended to.

    Returns the files that were copied. Raises UsageError when a target is the model's own file or
    weights, a folder, or too large.
    """
    target = Path(path)
    if target.is_dir():
        raise UsageError(f"{target}: is a folder. Give the path of the .onnx file to write.")
    if model.path is not None and target.exists() and target.samefile(model.path):
        raise UsageError(f"{target}: is the input itself, which is never changed. Write elsewhere.")
    _keep_off(target, model)
    if not target.parent.is_dir():
        raise UsageError(f"{target.parent}: there is no such folder. Create it first.")
    if external is not None:
        _save_with_weights(model.to_proto(), model, target, Path(external))
        return []
    proto = model.proto if model.is_settled else model.to_proto()
    data = _serialized(proto, target)
    copied = _bring_external_data(proto, model.folder, target.parent)
    write_atomically(target, data)
    return copied


def _keep_off(target: Path, model: Model) -> None:
    for weights in external_files(model) if target.exists() else ():
        if weights.exists() and target.samefile(weights):
            raise UsageError(
                f"{target}: holds weights of the input, which are never changed. Write elsewhere."
            )


def _serialized(proto: onnx.ModelProto, target: Path) -> bytes:
    size = proto.ByteSize()  # protobuf itself fails beyond this, with a message about nothing
    if size > MAX_FILE_BYTES:
        raise UsageError(
            f"{target}: {size:,} bytes are more than an ONNX file can hold "
            f"({MAX_FILE_BYTES:,}). Keep the weights external (fix --save-external)."
        )
    return bytes(proto.SerializeToString())


def _save_with_weights(proto: onnx.ModelProto, model: Model, target: Path, external: Path) -> None:
    """Write both files under other names first, then put the weights and the model in place."""
    location = os.path.relpath(external, target.parent)
    if location.startswith("..") or Path(location).is_absolute() or external == target:
        raise UsageError(
            f"--save-external {external}: the weights must be another file in the folder of "
            f"{target} or below, where readers look for them."
        )
    if external.is_dir() or not external.parent.is_dir():
        raise UsageError(f"--save-external {external}: give a file in a folder that exists.")
    if model.path is not None and external.exists() and external.samefile(model.path):
        raise UsageError(f"--save-external {external}: is the input, which is never changed.")
    _keep_off(external, model)
    handle, name = tempfile.mkstemp(prefix=f".{external.name}.", dir=external.parent)
    fresh, old = Path(name), Path(name + ".old")
    try:
        with os.fdopen(handle, "wb") as file:
            write_weights(proto, model.folder, file, Path(location).as_posix())
            file.flush()
            os.fsync(file.fileno())
        fresh.chmod(0o666 & ~_umask())
        data = _serialized(proto, target)
        if external.exists():
            external.replace(old)
        try:
            fresh.replace(external)
            write_atomically(target, data)
        except BaseException:
            with contextlib.suppress(OSError):
                external.unlink()
            if old.exists():
                old.replace(external)
            raise
    finally:
        for leftover in (fresh, old):
            with contextlib.suppress(OSError):
                leftover.unlink()


def write_atomically(target: Path, data: bytes) -> None:
    """Write bytes beside `target` and rename them over it.

    A device or a pipe, such as /dev/null or /dev/stdout, is written to, never replaced by a file; a
    symbolic link stays one.
    """
    if target.exists() and not target.is_file():
        with target.open("wb") as device:
            device.write(data)
        return
    target = target.resolve()
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


def _bring_external_data(proto: onnx.ModelProto, source: Path | None, folder: Path) -> list[Path]:
    if source is None or source.resolve() == folder.resolve():
        return []
    copied = []
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
        # a copy, not a link: onnx refuses weights with two names or behind a symbolic link, so a
        # hard link would make the input itself unreadable
        _copy_atomically(old, new)
        copied.append(new)
    return copied


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
        if not _cloned(source, Path(name)):
            shutil.copyfile(source, name)
        Path(name).chmod(0o666 & ~_umask())
        Path(name).replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise


_FICLONE = 0x40049409  # linux/fs.h: let a file share the blocks of another


def _cloned(source: Path, target: Path) -> bool:
    """Share the blocks, which takes neither time nor space, where the file system can (Linux)."""
    try:
        import fcntl

        with source.open("rb") as old, target.open("wb") as new:
            fcntl.ioctl(new, _FICLONE, old.fileno())
    except (ImportError, OSError):
        return False
    return True

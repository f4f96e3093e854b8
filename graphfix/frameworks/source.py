"""What a SPEC is: a factory in Python code, or a file, told from its bytes without loading it."""

from __future__ import annotations

import ast
import pickletools
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

from graphfix.errors import UsageError

FACTORY, TORCHSCRIPT_FILE, EXPORTED_PROGRAM, PICKLE = "factory", "torchscript", "program", "pickle"
SAVED_MODEL, FROZEN_GRAPH, PADDLE = "saved-model", "frozen-graph", "paddle"
OF_TORCH = (FACTORY, TORCHSCRIPT_FILE, EXPORTED_PROGRAM, PICKLE)

_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
# a pickle that calls nothing but these holds tensors in dicts
_OF_WEIGHTS = re.compile(
    r"collections OrderedDict|torch\._utils _rebuild_(tensor_v2|parameter)|torch \w*Storage|"
    r"torch\.storage (Untyped|Typed)Storage|torch Size|torch (b?float|u?int)\d+"
)
_HOW = "Give package.module:factory, file.py:factory, a TorchScript file or an ExportedProgram."


@dataclass(frozen=True)
class Source:
    """A SPEC and what it is. `path` is its file or folder; `module` and `name` are a factory's."""

    spec: str
    kind: str
    path: Path | None = None
    module: str = ""
    name: str = ""


def identify(spec: str) -> Source:
    """Say what a SPEC is. Nothing in it is run. Raises UsageError for what cannot be exported."""
    path = Path(spec)
    if path.exists():
        return Source(spec, _kind_of_folder(path) if path.is_dir() else _kind_of_file(path), path)
    place, colon, name = spec.rpartition(":")
    if colon and _MODULE.fullmatch(name):
        if place.endswith(".py"):
            if not Path(place).is_file():
                raise UsageError(f"{spec}: there is no file {place}.")
            return Source(spec, FACTORY, Path(place), Path(place).stem, name)
        if _MODULE.fullmatch(place):
            return Source(spec, FACTORY, None, place, name)
    if _MODULE.fullmatch(spec) and path.suffix not in (".pt", ".pth", ".pt2", ".pb", ".onnx"):
        raise UsageError(f"{spec}: say which class or function of it gives the model: {spec}:NAME.")
    if colon:
        raise UsageError(f"{spec}: is neither package.module:factory nor a file. {_HOW}")
    raise UsageError(f"{spec}: there is no such file. {_HOW}")


def _kind_of_folder(path: Path) -> str:
    if (path / "saved_model.pb").is_file():
        return SAVED_MODEL
    if any(_paddle_models(path)):
        return PADDLE
    raise UsageError(
        f"{path}: a folder that is neither a TensorFlow SavedModel (no saved_model.pb) nor a "
        f"Paddle inference model (no .pdmodel or .json). {_HOW}"
    )


def _paddle_models(folder: Path) -> list[Path]:
    """Return the program files of Paddle that have their parameters beside them."""
    found = [*folder.glob("*.pdmodel"), *folder.glob("*.json")]
    return [p for p in sorted(found) if p.with_suffix(".pdiparams").is_file()]


def paddle_model(path: Path) -> Path:
    """Return the program file of a Paddle model: the file itself, or the one of a folder."""
    if path.is_file():
        return path
    models = _paddle_models(path)
    if len(models) != 1:
        names = ", ".join(p.name for p in models)
        raise UsageError(f"{path}: holds several Paddle models ({names}); give one of the files.")
    return models[0]


def _kind_of_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}).") from None
    if path.suffix == ".py":
        raise UsageError(_about_python(path))
    if path.suffix == ".onnx":
        raise UsageError(f"{path}: is an ONNX model already; graphfix check and fix take it.")
    if head.startswith(b"PK\x03\x04"):
        return _kind_of_archive(path)
    if head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05":
        return PICKLE
    if head.startswith(b"\x89HDF"):
        raise UsageError(
            f"{path}: an HDF5 file of Keras. Save it as a SavedModel (model.export('folder')) and "
            "give that folder."
        )
    if path.suffix == ".safetensors":
        raise UsageError(_only_weights(path))
    if path.suffix == ".pdmodel" or (
        path.suffix == ".json" and path.with_suffix(".pdiparams").is_file()
    ):
        return PADDLE
    if path.suffix == ".pb":
        return SAVED_MODEL if path.name == "saved_model.pb" else FROZEN_GRAPH
    raise UsageError(f"{path}: is no model that graphfix can export. {_HOW}")


def _kind_of_archive(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [n.partition("/")[2] or n for n in archive.namelist()]
    except zipfile.BadZipFile:
        raise UsageError(
            f"{path}: starts like a file of PyTorch but is truncated or damaged. Save or download "
            "it again."
        ) from None
    if any(n.startswith("code/") for n in names) and "constants.pkl" in names:
        return TORCHSCRIPT_FILE
    if any(n.startswith("models/") for n in names) or "serialized_exported_program.json" in [
        *names, *(n.rpartition("/")[2] for n in names)
    ]:  # fmt: skip
        return EXPORTED_PROGRAM
    if "data.pkl" in names:
        return PICKLE
    raise UsageError(f"{path}: a zip archive, but none that PyTorch wrote. {_HOW}")


def check_trust(source: Source, trust: bool) -> None:
    """Refuse pickles: those without a model always, the others unless they are trusted.

    Raises UsageError. Nothing is unpickled: its opcodes are only read.
    """
    if source.kind != PICKLE or source.path is None:
        return
    if _holds_only_weights(source.path):
        raise UsageError(_only_weights(source.path))
    if not trust:
        raise UsageError(
            f"{source.path}: a pickle, as torch.save writes it. Loading a pickle runs whatever "
            "code it holds, so graphfix does not, unless you trust where the file comes from and "
            "say --trust. Safer: give the class that builds the model (package.module:factory), or "
            "a TorchScript or ExportedProgram file."
        )


def _only_weights(path: Path) -> str:
    return (
        f"{path}: holds weights only (a state dict), no model. Write a factory that builds the "
        "module, gives it the weights with load_state_dict, and returns it; then export "
        "file.py:factory."
    )


def _holds_only_weights(path: Path) -> bool:
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                name = next(n for n in archive.namelist() if n.endswith("data.pkl"))
                pickled = archive.read(name)
            return all(_OF_WEIGHTS.fullmatch(call) for call in _calls(pickled))
    except (OSError, ValueError, StopIteration, zipfile.BadZipFile):
        return False
    return False


def _calls(pickled: bytes) -> set[str]:
    """Return what a pickle would import: `module name`. Raises ValueError for a damaged one."""
    found: set[str] = set()
    texts: list[str] = []
    for opcode, argument, _ in pickletools.genops(pickled):
        if opcode.name == "GLOBAL":
            found.add(str(argument))
        elif opcode.name == "STACK_GLOBAL":
            found.add(" ".join(texts[-2:]))
        elif isinstance(argument, str):
            texts.append(argument)
    return found


def _about_python(path: Path) -> str:
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return f"{path}: is no valid Python file."
    names = [n.name for n in tree.body if isinstance(n, ast.ClassDef | ast.FunctionDef)]
    hint = f" It has {', '.join(names[:6])}." if names else ""
    return f"{path}: say which class or function of it gives the model: {path}:NAME.{hint}"

"""Turning a source into a PyTorch module that can be called. Runs code of the user, in the worker.

Needs torch. What goes wrong here is the user's own code or file, so every error says what it was.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import io
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from graphfix.errors import UsageError, nearest
from graphfix.frameworks.request import Input, Request
from graphfix.frameworks.source import (
    EXPORTED_PROGRAM,
    FACTORY,
    PICKLE,
    TORCHSCRIPT_FILE,
    Source,
    check_trust,
)


@dataclass
class Loaded:
    """A model of PyTorch, ready to run on the CPU in evaluation mode.

    `exported` is what the exporters are given: a module, a ScriptModule or an ExportedProgram.
    `module` is what can be called. `by_name` says whether inputs go to parameters by name.
    """

    kind: str
    module: Any
    exported: Any
    inputs: tuple[Input, ...]
    dynamic: tuple[tuple[str, int, str], ...]
    by_name: bool
    notes: list[str] = field(default_factory=list)

    @property
    def weight_bytes(self) -> int:
        """Bytes of all weights, each counted once."""
        tensors = [*self.module.parameters(), *self.module.buffers()]
        storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
        return sum(storages.values())


def load_source(source: Source, request: Request) -> Loaded:
    """Return the model of a source. Raises UsageError, in words about the user's code or file."""
    import torch

    torch.backends.mha.set_fastpath_enabled(False)  # its one fused operator has no ONNX form
    torch.manual_seed(0)  # random weights are the same in every run
    if source.kind == EXPORTED_PROGRAM:
        return _program(source, request)
    if source.kind == FACTORY:
        module = _from_factory(source)
    elif source.kind == TORCHSCRIPT_FILE:
        module = _read(source, lambda path: torch.jit.load(path, map_location="cpu"))
    else:
        assert source.kind == PICKLE
        check_trust(source, request.trust)
        module = _read(
            source, lambda path: torch.load(path, map_location="cpu", weights_only=False)
        )
    if not isinstance(module, torch.nn.Module):
        raise UsageError(
            f"{source.spec}: gives {_kind(module)}, not a torch.nn.Module. Return the "
            "module itself."
        )
    module = _on_cpu(source, module)
    inputs, by_name = _bound(source, module, request.inputs)
    return Loaded(source.kind, module, module, inputs, request.dynamic, by_name)


def _kind(value: object) -> str:
    if value is None:
        return "None"
    return f"an object of type {type(value).__name__}"


def _on_cpu(source: Source, module: Any) -> Any:
    tensors = [*module.parameters(), *module.buffers()]
    if any(t.is_meta for t in tensors):
        raise UsageError(
            f"{source.spec}: has weights on PyTorch's meta device, that is, none. Load the weights "
            "in the factory."
        )
    return guarded(source.spec, "cannot be moved to the CPU", lambda: module.cpu().eval())


# ---------------------------------------------------------------------- factories


def _from_factory(source: Source) -> Any:
    folder = str(source.path.parent.resolve()) if source.path is not None else str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    importlib.invalidate_caches()
    module = guarded(source.spec, "cannot be imported", lambda: _imported(source))
    if not hasattr(module, source.name):
        names = [n for n, v in vars(module).items() if callable(v) and not n.startswith("_")]
        raise UsageError(
            f"{source.spec}: {source.module} has no {source.name}. "
            f"{nearest(source.name, names)}".rstrip()
        )
    import torch

    factory = getattr(module, source.name)
    if isinstance(factory, torch.nn.Module):
        return factory
    if not callable(factory):
        raise UsageError(
            f"{source.spec}: is {_kind(factory)}; give a torch.nn.Module, or a class or function "
            "that returns one."
        )
    needed = _required(factory)
    if needed:
        raise UsageError(
            f"{source.spec}: needs the arguments {', '.join(needed)}. Write a function without "
            "arguments that returns the module, and give that."
        )
    return guarded(source.spec, "cannot be built", factory)


def _imported(source: Source) -> Any:
    if source.path is None:
        try:
            return importlib.import_module(source.module)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{source.module}.".startswith(f"{error.name}."):
                raise
            raise UsageError(
                f"{source.spec}: there is no module {error.name} in this folder or among the "
                "installed packages. Run graphfix where `import` finds it, or give file.py:factory."
            ) from None
    spec = importlib.util.spec_from_file_location(source.module, source.path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[source.module] = module
    spec.loader.exec_module(module)
    return module


def _required(factory: Callable[..., Any]) -> list[str]:
    """Return the parameters of a factory that have no default."""
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):
        return []
    named = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [p.name for p in parameters if p.default is p.empty and p.kind not in named]


def guarded(spec: str, what: str, work: Callable[[], Any]) -> Any:
    """Run code of the user. Whatever it raises becomes one sentence, sys.exit too.

    Raises UsageError.
    """
    try:
        return work()
    except (UsageError, KeyboardInterrupt, MemoryError):
        raise
    except SystemExit as error:
        raise UsageError(
            f"{spec}: {what}: it calls sys.exit({error.code!r}){_where(error)}. Guard what only "
            "the script needs with if __name__ == '__main__'."
        ) from None
    except BaseException as error:
        hint = ""
        if "CUDA" in str(error) or "NVIDIA" in str(error) or "npu" in str(error).lower():
            hint = " The export runs on the CPU: build the model there, without .cuda()."
        raise UsageError(f"{spec}: {what}: {in_words(error)}{_where(error)}.{hint}") from error


def in_words(error: BaseException) -> str:
    """Return type and first telling line of an error, of its cause where it has one."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = f"{type(error).__name__}: {lines[0] if lines else 'without a message'}"
    return (text if len(text) <= 240 else text[:237] + "...").rstrip(".")


def _where(error: BaseException) -> str:
    """Return the innermost line of the user's own code."""
    inner = (sys.prefix, str(Path(os.__file__).parent), "<")
    own = str(Path(__file__).parents[1])
    frames = [
        f
        for f in traceback.extract_tb(error.__traceback__)
        if not f.filename.startswith((*inner, own)) and "site-packages" not in f.filename
    ]
    return f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""


# ---------------------------------------------------------------------- files


def _read(source: Source, read: Callable[[str], Any]) -> Any:
    return guarded(source.spec, "cannot be loaded", lambda: read(str(source.path)))


def _program(source: Source, request: Request) -> Loaded:
    """Load an ExportedProgram. Its archive may hold pickles, which stay unread without --trust."""
    import torch
    from torch.export.pt2_archive import _package as archive

    class Refusing:
        """In place of pickle, where PyTorch reads custom objects with it."""

        @staticmethod
        def loads(data: bytes) -> Any:
            raise UsageError(
                f"{source.spec}: holds Python objects as pickles. Loading a pickle runs whatever "
                "code it holds; if you trust where the file comes from, say --trust."
            )

    kept, forced = archive.pickle, "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    if not request.trust:
        archive.pickle = Refusing
        os.environ[forced] = "1"
    try:
        program = _read(source, lambda path: torch.export.load(io.BytesIO(Path(path).read_bytes())))
    except UsageError as error:
        if request.trust or "weights_only" not in str(error).lower().replace(" ", "_"):
            raise
        Refusing.loads(b"")
    finally:
        archive.pickle = kept
        os.environ.pop(forced, None)
    if request.inputs or request.dynamic:
        raise UsageError(
            f"{source.spec}: an ExportedProgram says its inputs and dynamic axes itself; leave "
            "--input and --dynamic out, or export from the module."
        )
    inputs, dynamic = _inputs_of_program(source, program)
    return Loaded(source.kind, program.module(), program, inputs, dynamic, by_name=False)


def _inputs_of_program(
    source: Source, program: Any
) -> tuple[tuple[Input, ...], tuple[tuple[str, int, str], ...]]:
    """Return the inputs of an ExportedProgram, and its dynamic axes with the symbols it uses."""
    import torch

    nodes = {n.name: n for n in program.graph.nodes if n.op == "placeholder"}
    ranges = {str(s): r for s, r in program.range_constraints.items()}
    inputs, dynamic = [], []
    for name in program.graph_signature.user_inputs:
        value = nodes[name].meta.get("val") if name in nodes else None
        if not isinstance(value, torch.Tensor):
            raise UsageError(
                f"{source.spec}: its input {name} is no tensor; export from the module."
            )
        dims = []
        for axis, dim in enumerate(value.shape):
            if isinstance(dim, int):
                dims.append(dim)
                continue
            known = ranges.get(str(dim))
            low, high = (int(known.lower), known.upper) if known is not None else (2, 8)
            hint = dim.node.hint if dim.node.has_hint() else None
            size = int(hint) if hint is not None else max(low, 2)
            dims.append(max(low, min(size, int(high) if high < 1 << 31 else size)))
            dynamic.append((name, axis, str(dim)))
        rows = _rows_of_program(program, name, nodes)
        high_value = float(rows - 1) if rows else None
        dtype = _dtype_name(value.dtype)
        inputs.append(Input(name, dtype, tuple(dims), 0.0 if rows else None, high_value))
    return tuple(inputs), tuple(dynamic)


def _rows_of_program(program: Any, name: str, nodes: Mapping[str, Any]) -> int:
    """Return the rows of the smallest table that an input indexes directly, 0 for none."""
    rows = [
        int(node.args[0].meta["val"].shape[0])
        for node in program.graph.nodes
        if str(node.target) == "aten.embedding.default" and node.args[1] is nodes[name]
    ]
    return min(rows, default=0)


def _dtype_name(dtype: Any) -> str:
    name = str(dtype).removeprefix("torch.")
    return "double" if name == "float64" else name


# ---------------------------------------------------------------------- inputs


def _bound(
    source: Source, module: Any, inputs: tuple[Input, ...]
) -> tuple[tuple[Input, ...], bool]:
    """Return the inputs in the order of forward's parameters, and whether they go by name."""
    names, required, is_open = _parameters(module)
    if not inputs:
        shown = ", ".join(f"{n}" if n in required else f"{n} (optional)" for n in names)
        example = names[0] if names else "x"
        raise UsageError(
            f"{source.spec}: say its inputs with --input, for instance --input "
            f"'{example}=int64[1,512]' or '{example}=float32[1,3,224,224]'. "
            f"forward takes: {shown or 'any number of them'}."
        )
    given = {i.name: i for i in inputs}
    unknown = [n for n in given if n not in names]
    if unknown and (is_open or len(unknown) == len(given)):
        # names of the user's own: by position
        if not is_open and len(given) > len(names):
            raise UsageError(
                f"{source.spec}: forward takes {len(names)} inputs ({', '.join(names)}), "
                f"{len(given)} are given."
            )
        missing = [n for n in names[len(given) :] if n in required]
        ordered, by_name = inputs, False
    elif unknown:
        raise UsageError(
            f"{source.spec}: forward has no input {unknown[0]!r}. {nearest(unknown[0], names)} It "
            f"takes {', '.join(names)}."
        )
    else:
        missing = [n for n in required if n not in given]
        ordered, by_name = tuple(given[n] for n in names if n in given), True
    if missing:
        raise UsageError(
            f"{source.spec}: forward also needs {', '.join(missing)}; give an --input for each."
        )
    return ordered, by_name


def _parameters(module: Any) -> tuple[list[str], list[str], bool]:
    """Return forward's parameters, those without a default, and whether it takes any number."""
    import torch

    if isinstance(module, torch.jit.ScriptModule):
        arguments = module.forward.schema.arguments[1:]
        names = [a.name for a in arguments]
        return names, [a.name for a in arguments if not a.has_default_value()], False
    parameters = inspect.signature(module.forward).parameters.values()
    named = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    is_open = any(p.kind == p.VAR_POSITIONAL for p in parameters)
    return [p.name for p in named], [p.name for p in named if p.default is p.empty], is_open

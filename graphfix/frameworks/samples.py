"""Data to trace and to prove with, and what the module itself gives for it. Needs torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphfix.comparison.inputs import Meaning, as_dtype, sample
from graphfix.comparison.runtimes import Arrays, Port
from graphfix.errors import GraphfixError, UsageError
from graphfix.frameworks.loading import Loaded, guarded, in_words
from graphfix.frameworks.request import Input
from graphfix.graph import dtypes


class ModuleFailed(GraphfixError):
    """The module itself does not run at another size of an axis that was declared dynamic."""

    exit_code = 1


@dataclass(frozen=True)
class Sample:
    """Inputs, and the outputs that PyTorch gives for them. `sizes` are those of the symbols."""

    sizes: Mapping[str, int]
    feeds: Arrays
    expected: Arrays


def tensors(arrays: Mapping[str, np.ndarray], inputs: Sequence[Input]) -> dict[str, Any]:
    """Return numpy arrays as tensors."""
    import torch

    result = {}
    for i in inputs:
        array = arrays[i.name]
        if i.dtype == "bfloat16":
            array = array.astype(np.float32)
        kind = getattr(torch, "float64" if i.dtype == "double" else i.dtype)
        result[i.name] = torch.from_numpy(np.array(array)).to(kind)
    return result


def call(loaded: Loaded, feeds: Mapping[str, Any]) -> Any:
    """Run the module, without gradients."""
    import torch

    with torch.no_grad():
        if loaded.by_name:
            return loaded.module(**feeds)
        return loaded.module(*feeds.values())


def with_ranges(spec: str, loaded: Loaded) -> Loaded:
    """Return the model with the ranges of its integer inputs: the rows of the tables they index.

    Found by running the module once with zeros, a row that every table has, and watching what
    reaches its nn.Embedding modules. Raises UsageError when the module does not run.
    """
    import torch

    zeros = {i.name: as_dtype(np.full(i.dims, i.low or 0), i.dtype) for i in loaded.inputs}
    feeds = tensors(zeros, loaded.inputs)
    rows: dict[str, int] = {}

    def watch(table: Any, arguments: tuple[Any, ...]) -> None:
        for name, tensor in feeds.items():
            if arguments and arguments[0].untyped_storage().data_ptr() == _place(tensor):
                rows[name] = min(rows.get(name, table.num_embeddings), table.num_embeddings)

    tables = [m for m in loaded.module.modules() if isinstance(m, torch.nn.Embedding)]
    hooks = [t.register_forward_pre_hook(watch) for t in tables]
    try:
        guarded(spec, f"does not run with {_inputs(loaded)}", lambda: call(loaded, feeds))
    finally:
        for hook in hooks:
            hook.remove()
    ranged = []
    for i in loaded.inputs:
        if i.name in rows and i.low is None:
            i = dataclasses.replace(i, low=0.0, high=float(rows[i.name] - 1))
        ranged.append(i)
    return dataclasses.replace(loaded, inputs=tuple(ranged))


def _place(tensor: Any) -> int:
    return int(tensor.untyped_storage().data_ptr())


def _inputs(loaded: Loaded) -> str:
    return ", ".join(i.text for i in loaded.inputs)


def arrays_for(loaded: Loaded, sizes: Mapping[str, int], seed: int) -> Arrays:
    """Return seeded inputs with the dynamic axes at `sizes`."""
    axes = {(name, axis): symbol for name, axis, symbol in loaded.dynamic}
    shapes = {
        i.name: tuple(sizes.get(axes.get((i.name, n), ""), dim) for n, dim in enumerate(i.dims))
        for i in loaded.inputs
    }
    ports = [Port(i.name, i.dtype, shapes[i.name]) for i in loaded.inputs]
    means = {i.name: _meaning(i) for i in loaded.inputs}
    result = sample(ports, shapes, seed, {n: m for n, m in means.items() if m is not None})
    rng = np.random.default_rng(seed)
    for i in loaded.inputs:
        if i.low is None or i.high is None:
            continue
        if i.dtype in dtypes.FLOATS:
            data: np.ndarray = rng.uniform(i.low, i.high, shapes[i.name])
        else:
            data = rng.integers(int(i.low), int(i.high), shapes[i.name], endpoint=True)
        result[i.name] = as_dtype(data, i.dtype)
    return result


def _meaning(i: Input) -> Meaning | None:
    if "mask" in i.name.lower() and i.dtype != "bool":
        return Meaning("mask")
    image = len(i.dims) == 4 and i.dims[1] in (1, 3, 4)
    return Meaning("image") if image and i.dtype in dtypes.FLOATS else None


def traced_sizes(loaded: Loaded) -> dict[str, int]:
    """Return the sizes to trace with: those given, 2 for a 1, which exporters take for constant."""
    dims = {i.name: i.dims for i in loaded.inputs}
    return {symbol: max(2, dims[name][axis]) for name, axis, symbol in loaded.dynamic}


def samples_for(spec: str, loaded: Loaded) -> list[Sample]:
    """Return what to trace with (the first) and to prove with.

    Two samples at the traced sizes; with dynamic axes one at other sizes, and one at those that
    were given where they were not traced with. Raises UsageError when the module does not run, and
    ModuleFailed when it runs at no other size.
    """
    traced = traced_sizes(loaded)
    result = [_run(spec, loaded, traced, 0), _run(spec, loaded, traced, 1)]
    if not traced:
        return result
    result.append(_other_size(spec, loaded, traced))
    dims = {i.name: i.dims for i in loaded.inputs}
    given = {symbol: dims[name][axis] for name, axis, symbol in loaded.dynamic}
    if given != traced:
        try:
            result.append(_run(spec, loaded, given, 3))
        except UsageError as error:
            raise ModuleFailed(str(error)) from error
    return result


def _other_size(spec: str, loaded: Loaded, traced: Mapping[str, int]) -> Sample:
    """Return a sample at other sizes: odd ones first, then rounder ones that more models take."""
    why = ""
    tried = []
    odd = {symbol: n // 2 + 1 if n > 4 else n + 1 for symbol, n in traced.items()}
    half = {symbol: max(1, n // 2) for symbol, n in traced.items()}
    double = {symbol: n * 2 for symbol, n in traced.items()}
    for sizes in (odd, half, double):
        if all(sizes[s] == traced[s] for s in sizes):
            continue
        try:
            return _run(spec, loaded, sizes, 2)
        except UsageError as error:
            why = why or str(error)
            tried.append(_sizes(sizes))
    raise ModuleFailed(
        f"{spec}: {', '.join(traced)} is declared dynamic, but the module itself runs only at "
        f"{_sizes(traced)}; tried {'; '.join(tried)}. First failure: {why} Leave --dynamic out, or "
        "mend the module."
    )


def _sizes(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{s}={n}" for s, n in sizes.items())


def _run(spec: str, loaded: Loaded, sizes: Mapping[str, int], seed: int) -> Sample:
    feeds = arrays_for(loaded, sizes, seed)
    at = f" at {_sizes(sizes)}" if sizes else ""
    try:
        found = guarded(
            spec, f"does not run with {_inputs(loaded)}{at}",
            lambda: call(loaded, tensors(feeds, loaded.inputs)),
        )  # fmt: skip
    except UsageError as error:
        if isinstance(error.__cause__, IndexError) and "index out of range" in in_words(
            error.__cause__
        ):
            raise UsageError(
                f"{error} An integer input seems to index a table: say its range, as in "
                f"--input '{loaded.inputs[0].text}<50000'."
            ) from None
        raise
    return Sample(dict(sizes), feeds, outputs_of(spec, found))


def outputs_of(spec: str, found: Any) -> Arrays:
    """Return the tensors of what forward returned, flattened as the exporters do, with names.

    Raises UsageError when there are none, or something else among them.
    """
    result: Arrays = {}
    _flatten(spec, "", found, result)
    if not result:
        raise UsageError(f"{spec}: forward returns no tensor, so there is nothing to export.")
    return result


def _flatten(spec: str, name: str, value: Any, into: Arrays) -> None:
    import torch

    if value is None:
        return
    if isinstance(value, torch.Tensor):
        into[name or "output"] = _array(value)
    elif isinstance(value, Mapping):
        for key, member in value.items():
            _flatten(spec, f"{name}_{key}" if name else str(key), member, into)
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        for key, member in zip(value._fields, value, strict=True):
            _flatten(spec, f"{name}_{key}" if name else key, member, into)
    elif isinstance(value, list | tuple):
        alone = len(value) == 1 and not name
        for index, member in enumerate(value):
            _flatten(spec, "" if alone else f"{name or 'output'}_{index}", member, into)
    else:
        raise UsageError(
            f"{spec}: forward returns {f'{name}, ' if name else ''}an object of type "
            f"{type(value).__name__}; ONNX knows tensors. Wrap the module in one that returns "
            "tensors only (of transformers: use_cache=False)."
        )


def _array(tensor: Any) -> np.ndarray:
    tensor = tensor.detach().cpu()
    if str(tensor.dtype) == "torch.bfloat16":
        tensor = tensor.float()
    array: np.ndarray = tensor.numpy()
    return array

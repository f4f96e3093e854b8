"""PyTorch's two exporters, each made to give one clean file or one clear reason. Needs torch."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import onnx

from graphfix.errors import GraphfixError
from graphfix.frameworks.loading import Loaded, in_words
from graphfix.frameworks.request import TORCHSCRIPT
from graphfix.frameworks.samples import Sample, tensors
from graphfix.frameworks.source import EXPORTED_PROGRAM, TORCHSCRIPT_FILE
from graphfix.graph.external import write_weights
from graphfix.graph.tensors import byte_size, external_reference, is_external, tensors_of

# one file up to here; protobuf ends at 2 GiB, and the graph needs room as well
MAX_INLINE_BYTES = 1_900_000_000
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_FAST_PATH = "aten::_native_multi_head_attention"


class ExporterFailed(GraphfixError):
    """An exporter that gave no file, or another one than was asked for."""


def export_with(
    exporter: str, loaded: Loaded, opset: int, path: Path, traced: Sample, outputs: Sequence[str]
) -> onnx.ModelProto:
    """Export to `path` (and weights beside it, when they are large) and return what was written.

    Raises ExporterFailed with the exporter's own reason.
    """
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _export(exporter, loaded, opset, path, traced, outputs)
    except (KeyboardInterrupt, MemoryError):
        raise
    except BaseException as error:  # exporters raise nearly anything
        raise ExporterFailed(_reason(error)) from error
    finally:
        logging.disable(logging.NOTSET)
    if not path.is_file():
        raise ExporterFailed("wrote no file")
    try:
        return _cleaned(loaded, opset, path)
    except (OSError, ValueError) as error:  # a full disk, a message beyond protobuf's limit
        raise ExporterFailed(f"its file cannot be written anew: {in_words(error)}") from error


def _export(
    exporter: str, loaded: Loaded, opset: int, path: Path, traced: Sample, outputs: Sequence[str]
) -> None:
    import torch

    feeds = tensors(traced.feeds, loaded.inputs)
    axes: dict[str, dict[int, str]] = {}
    for name, axis, symbol in loaded.dynamic:
        axes.setdefault(name, {})[axis] = symbol
    options: dict[str, Any] = {"opset_version": opset, "output_names": list(outputs)}
    if loaded.kind != EXPORTED_PROGRAM:
        options["input_names"] = list(feeds)
    arguments = tuple(feeds.values())
    if exporter == TORCHSCRIPT:
        options |= {"dynamo": False, "dynamic_axes": axes or None}
    else:
        if loaded.by_name:
            arguments, options["kwargs"] = (), feeds
        options |= {
            "dynamo": True,
            "verbose": False,
            "external_data": loaded.weight_bytes > MAX_INLINE_BYTES,
        }
        if axes and loaded.kind != EXPORTED_PROGRAM:
            shapes = {
                name: dict.fromkeys(axes[name], torch.export.Dim.DYNAMIC) if name in axes else None
                for name in feeds
            }
            options["dynamic_shapes"] = shapes if loaded.by_name else _by_position(loaded, shapes)
    with torch.no_grad(), _positional(loaded) if exporter == TORCHSCRIPT else nullcontext():
        torch.onnx.export(loaded.exported, arguments, str(path), **options)


@contextmanager
def _positional(loaded: Loaded) -> Iterator[None]:
    """Let forward take exactly the given inputs, in their order.

    The TorchScript exporter would make inputs of the other parameters' defaults, or pass some
    twice.
    """
    module, by_name = loaded.module, loaded.by_name and loaded.kind != TORCHSCRIPT_FILE
    names = [i.name for i in loaded.inputs]
    forward = module.forward
    if by_name:
        module.forward = lambda *tensors: forward(**dict(zip(names, tensors, strict=True)))
    try:
        yield
    finally:
        if by_name:
            del module.forward


def _by_position(loaded: Loaded, shapes: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the dynamic shapes of positional inputs; those of `*tensors` are one parameter."""
    import inspect

    positional = tuple(shapes.values())
    parameters = list(inspect.signature(loaded.module.forward).parameters.values())
    fixed = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if any(p.kind == p.VAR_POSITIONAL for p in parameters):
        return (*positional[: len(fixed)], positional[len(fixed) :])
    return positional


def _reason(error: BaseException) -> str:
    text = _ANSI.sub("", str(error))
    if _FAST_PATH in text:
        return (
            f"{_FAST_PATH} is baked into the file: PyTorch's fast path was on when it was traced. "
            "Trace it again after torch.backends.mha.set_fastpath_enabled(False)"
        )
    words = _ANSI.sub("", in_words(error))
    # the tracer's errors begin with the whole graph; the reason is the last line of all
    if words.partition(": ")[2].startswith("Torch IR graph"):
        last = [line.strip() for line in text.splitlines() if line.strip()][-1]
        words = f"{type(error).__name__}: {last}"
    return words


def _cleaned(loaded: Loaded, opset: int, path: Path) -> onnx.ModelProto:
    """Write the model anew: no traces of this machine, the user's symbols, one weights file."""
    proto = onnx.load(path, load_external_data=False)
    written = next((o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")), None)
    if written != opset:
        raise ExporterFailed(f"wrote opset {written}: it cannot convert this model to {opset}")
    _strip_traces(proto)
    _name_symbols(proto, loaded)
    outside = {r.location: 0 for t in tensors_of(proto) if (r := external_reference(t))}
    size = proto.ByteSize() + sum(byte_size(t) for t in tensors_of(proto) if is_external(t))
    if size <= MAX_INLINE_BYTES:
        if outside:
            onnx.load_external_data_for_model(proto, str(path.parent))
    else:
        weights = path.with_name(f"{path.name}.weights")
        with weights.open("wb") as file:
            write_weights(proto, path.parent, file, weights.name)
    path.write_bytes(proto.SerializeToString(deterministic=True))
    for name in outside:
        (path.parent / name).unlink(missing_ok=True)
    return proto


def _strip_traces(proto: onnx.ModelProto) -> None:
    """Drop stack traces, which hold paths of this machine and differ from run to run."""
    graphs = [proto.graph, *proto.functions]
    for graph in graphs:
        messages = [graph, *graph.node]
        if isinstance(graph, onnx.GraphProto):
            messages += [*graph.input, *graph.output, *graph.value_info]
        for message in messages:
            kept = [p for p in message.metadata_props if "stack_trace" not in p.key]
            if len(kept) != len(message.metadata_props):
                del message.metadata_props[:]
                message.metadata_props.extend(kept)


def _name_symbols(proto: onnx.ModelProto, loaded: Loaded) -> None:
    """Give the dynamic axes the names that the user gave them."""
    inputs = {i.name: i.type.tensor_type.shape.dim for i in proto.graph.input}
    renamed: dict[str, str] = {}
    for name, axis, symbol in loaded.dynamic:
        dims = inputs.get(name, [])
        if axis < len(dims) and dims[axis].dim_param:
            renamed[dims[axis].dim_param] = symbol
    for value in (*proto.graph.input, *proto.graph.output, *proto.graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param in renamed:
                dim.dim_param = renamed[dim.dim_param]


def constant_axes(proto: onnx.ModelProto, loaded: Loaded) -> list[str]:
    """Return the axes that were declared dynamic and are constant in the file: `input_ids:1`."""
    inputs = {i.name: i.type.tensor_type.shape.dim for i in proto.graph.input}
    return [
        f"{name}:{axis}"
        for name, axis, _ in loaded.dynamic
        if name in inputs and axis < len(inputs[name]) and not inputs[name][axis].dim_param
    ]

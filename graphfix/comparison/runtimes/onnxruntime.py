"""ONNX Runtime, with its graph optimizations off or on; intermediate values on demand."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from graphfix.comparison.runtimes import Arrays, Closing, RuntimeFailed, ports_of
from graphfix.graph import Model
from graphfix.graph.reading import MAX_FILE_BYTES
from graphfix.graph.writing import node_proto

CPU = "CPUExecutionProvider"


class OnnxRuntime(Closing):
    """A model in ONNX Runtime.

    `optimize` lets the runtime fuse and fold; off, every node is computed as it stands. `providers`
    are ONNX Runtime's execution providers, the first that takes a node has it. `threads` 0 means
    one per core.

    Raises RuntimeFailed when ONNX Runtime does not load the model.
    """

    def __init__(
        self,
        model: Model,
        *,
        optimize: bool = False,
        providers: Sequence[str] = (CPU,),
        threads: int = 0,
    ) -> None:
        self.model = model
        self.optimize = optimize
        self._providers = list(providers)
        self._threads = threads
        self._session: Any = None
        self._dump: tuple[tuple[str, ...], Any] | None = None
        self.inputs = ports_of(model)
        self.outputs = list(model.graph.outputs)
        self._check_providers()

    @property
    def name(self) -> str:
        """The file and how it is run."""
        file = self.model.path.name if self.model.path is not None else "model"
        return f"{file} (ONNX Runtime, optimizations {'on' if self.optimize else 'off'})"

    def run(self, feeds: Mapping[str, np.ndarray], fetch: Sequence[str] | None = None) -> Arrays:
        """Return outputs, or intermediate values of the main graph, by name.

        Sequences and maps come as one entry per member, `name[0]`. With optimizations on, asking
        for an inner value keeps the runtime from fusing it away.
        """
        wanted = list(self.outputs) if fetch is None else list(fetch)
        if not wanted:
            return {}
        session = self._session_for(wanted)
        needed = {port.name for port in session.get_inputs()}
        try:
            found = session.run(wanted, {n: a for n, a in feeds.items() if n in needed})
        except Exception as error:  # an engine's own errors, of many kinds
            raise RuntimeFailed(f"{self.name} does not run: {first_line(error)}") from error
        result: Arrays = {}
        for name, value in zip(wanted, found, strict=True):
            flatten(name, value, result)
        return result

    def load(self) -> None:
        """Load the model now, which otherwise the first run does."""
        if self._session is None:
            self._session = self._new_session(self.model.proto)

    def close(self) -> None:
        """Drop the sessions and with them their memory."""
        self._session = self._dump = None

    # ------------------------------------------------------------------ sessions

    def _session_for(self, wanted: list[str]) -> Any:
        key = tuple(wanted)
        if self._dump is not None and (
            key == self._dump[0] or (not self.optimize and set(key) <= set(self._dump[0]))
        ):
            return self._dump[1]
        if set(wanted) <= set(self.outputs):
            self.load()
            return self._session
        self._dump = None  # first, so that two never lie in memory together
        self._dump = (key, self._new_session(up_to(self.model, wanted), dump=True))
        return self._dump[1]

    def _new_session(self, proto: onnx.ModelProto, dump: bool = False) -> Any:
        try:
            return new_session(
                proto, self._providers, self.model.folder, self.optimize, self._threads, not dump
            )
        except Exception as error:
            what = f"{self.name}, with inner values as outputs," if dump else self.name
            why = first_line(error)
            if proto.ByteSize() > MAX_FILE_BYTES:
                why = "it takes more than 2 GB; keep the weights external"
            raise RuntimeFailed(f"{what} does not load: {why}") from error

    def _check_providers(self) -> None:
        if self._providers == [CPU]:
            return
        import onnxruntime

        known = onnxruntime.get_available_providers()
        for provider in self._providers:
            if provider not in known:
                raise RuntimeFailed(
                    f"--provider {provider}: this ONNX Runtime has only {', '.join(known)}."
                )


def new_session(
    proto: onnx.ModelProto,
    providers: Sequence[str] = (CPU,),
    folder: Path | None = None,
    optimize: bool = False,
    threads: int = 0,
    arena: bool = True,
) -> Any:
    """Return an InferenceSession; raises what ONNX Runtime raises.

    `folder` is where external data lies. Without `arena` memory is given back at once, and does not
    grow by powers of two.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    level = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimize else level.ORT_DISABLE_ALL
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    if not arena:
        options.enable_cpu_mem_arena = options.enable_mem_pattern = False
    if folder is not None:
        options.add_session_config_entry(
            "session.model_external_initializers_file_folder_path", str(folder)
        )
    return onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=list(providers)
    )


def up_to(model: Model, values: Sequence[str]) -> onnx.ModelProto:
    """Return a model of the nodes that `values` of the main graph need, with them as outputs."""
    graph = model.graph
    needed: set[int] = set()
    stack = [graph.values[name].producer for name in values if name in graph.values]
    while stack:
        node = stack.pop()
        if node is None or id(node) in needed:
            continue
        needed.add(id(node))
        stack += graph.predecessors(node)
    result = onnx.ModelProto(ir_version=model.proto.ir_version)
    result.opset_import.MergeFrom(model.proto.opset_import)
    result.functions.MergeFrom(model.proto.functions)
    result.graph.name = model.proto.graph.name or "graph"
    used: set[str] = set(values)
    for node in graph.ordered():
        if id(node) in needed:
            result.graph.node.append(node_proto(node))
            used.update(node.inputs)
            for _, inner in node.subgraphs:
                used.update(inner.captured())
    result.graph.input.extend(i for i in model.proto.graph.input if i.name in used)
    result.graph.initializer.extend(t for t in model.proto.graph.initializer if t.name in used)
    result.graph.sparse_initializer.extend(
        t for t in model.proto.graph.sparse_initializer if t.values.name in used
    )
    declared = {o.name: o for o in model.proto.graph.output}
    for name in values:  # the runtime infers the types that are not declared
        result.graph.output.append(declared.get(name) or onnx.ValueInfoProto(name=name))
    return result


def flatten(name: str, value: Any, into: Arrays) -> None:
    """Put a value into `into`; of sequences and maps one entry per member, `name[0]`."""
    if isinstance(value, list):
        for index, member in enumerate(value):
            flatten(f"{name}[{index}]", member, into)
    elif isinstance(value, dict):
        for key, member in value.items():
            flatten(f"{name}[{key}]", member, into)
    elif value is not None:
        into[name] = np.asarray(value)


_CODE = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ")  # says less than what follows it


def first_line(error: Exception) -> str:
    """Return the first line of an engine's error, shortened."""
    line = (str(error).splitlines() or [type(error).__name__])[0]
    return textwrap.shorten(_CODE.sub("", line), 160, placeholder=" ...")

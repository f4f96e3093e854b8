"""A model in memory: its protobuf, where it came from, and the index of its graph."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnx.inliner

from graphfix.graph.index import Graph


class Model:
    """An ONNX model and the index of its main graph.

    `path` is None for a model that was made in memory. External data stays on disk: tensors keep
    their references, and only `read_tensor` opens a file.
    """

    def __init__(
        self, proto: onnx.ModelProto, path: Path | None = None, byte_size: int | None = None
    ) -> None:
        self.proto = proto
        self.path = path
        # of the message; counting it anew costs time that reading the file has paid already
        self.byte_size: int = proto.ByteSize() if byte_size is None else byte_size
        self.graph = Graph(proto.graph, self)
        self.emit_opset = self.opset or 0  # the opset that rewrites write for
        # whether `infer` has filled the types and no edit has come since
        self.is_inferred = False
        # whether `proto` is what `to_proto` would write: `settle` made it so and no edit has come
        self.is_settled = False
        # inputs that stand for values of a larger graph, of which a parser would know no type
        self.inner_inputs: frozenset[str] = frozenset()

    def note_edit(self) -> None:
        """Note that the graph has changed; every edit of `Graph` calls it."""
        self.is_inferred = self.is_settled = False

    @property
    def folder(self) -> Path | None:
        """The folder that external data is relative to."""
        return self.path.parent if self.path is not None else None

    @property
    def opsets(self) -> dict[str, int]:
        """The opset of each domain; the empty domain is spelled `ai.onnx`.

        Of a domain that is listed twice the last entry counts, as in the parser of GE.
        """
        return {entry.domain or "ai.onnx": entry.version for entry in self.proto.opset_import}

    @property
    def opset(self) -> int | None:
        """The opset of ONNX's own domain, None when the model imports none."""
        return self.opsets.get("ai.onnx")

    @property
    def functions(self) -> set[tuple[str, str]]:
        """(domain, name) of the model-local functions; the empty domain is spelled `ai.onnx`."""
        return {(f.domain or "ai.onnx", f.name) for f in self.proto.functions}

    def inlined(self) -> Model:
        """Return a model without local functions: this one, or a copy with the calls expanded."""
        if not self.proto.functions:
            return self
        return Model(onnx.inliner.inline_local_functions(self.proto), self.path)

    def to_proto(self) -> onnx.ModelProto:
        """Return a fresh ModelProto of the graph as it is now."""
        from graphfix.graph.writing import graph_proto

        result = onnx.ModelProto()
        for field in (
            "ir_version",
            "producer_name",
            "producer_version",
            "domain",
            "model_version",
            "doc_string",
        ):
            if self.proto.HasField(field):
                setattr(result, field, getattr(self.proto, field))
        result.opset_import.MergeFrom(self.proto.opset_import)
        result.metadata_props.MergeFrom(self.proto.metadata_props)
        result.functions.MergeFrom(self.proto.functions)
        result.training_info.MergeFrom(self.proto.training_info)
        graph_proto(self.graph, result.graph)
        return result

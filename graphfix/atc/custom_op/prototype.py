"""The prototype of a custom operator, and how msopgen writes one.

Vocabulary: the msOpGen pages "Creating an Operator Project" and the Ascend C reference
"OpAttrDef", CANN 8.0 to 8.3. Parameters are required, optional or dynamic; `type` and `format` are
lists that are read position by position over all parameters; attributes are int, float, bool,
string, list_int, list_float, list_bool or list_list_int, and an optional one needs a default.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from graphfix.graph import Shape

# element types of AI Core tensors: the name in msopgen's JSON, and GE's
GE_TYPES = {
    "float32": "DT_FLOAT", "float16": "DT_FLOAT16", "bfloat16": "DT_BF16", "double": "DT_DOUBLE",
    "int8": "DT_INT8", "int16": "DT_INT16", "int32": "DT_INT32", "int64": "DT_INT64",
    "uint8": "DT_UINT8", "uint16": "DT_UINT16", "uint32": "DT_UINT32", "uint64": "DT_UINT64",
    "bool": "DT_BOOL",
}  # fmt: skip


@dataclass(frozen=True)
class Param:
    """An input or output. `kind`: required, optional or dynamic (a list of tensors).

    `dtypes` has one entry for each combination of the prototype. `shapes` are those of the model,
    None for one of unknown rank. `assumed`: no node tells the dtype.
    """

    name: str
    kind: str
    dtypes: tuple[str, ...]
    shapes: tuple[Shape | None, ...]
    assumed: bool = False


@dataclass(frozen=True)
class Attribute:
    """An attribute: ONNX's name, the name in C++, msopgen's type, and the values of the model.

    `type` is None for what msopgen cannot express (tensors, graphs, lists of strings). `default`
    holds for nodes that leave it out; `assumed` says that nobody tells the real one.
    """

    onnx_name: str
    name: str
    type: str | None
    required: bool
    default: Any
    values: tuple[Any, ...]
    assumed: bool = False


@dataclass(frozen=True)
class Prototype:
    """A custom operator as the nodes of a model show it. `name` is its type in GE."""

    domain: str
    op_type: str
    opset: int
    name: str
    inputs: tuple[Param, ...]
    outputs: tuple[Param, ...]
    attributes: tuple[Attribute, ...]
    nodes: tuple[dict[str, Any], ...]
    origins: tuple[str, ...]
    registered: str = ""

    @property
    def file_name(self) -> str:
        """The name of its files, as msopgen spells them: MyOp2D -> my_op2_d."""
        return snake(self.name)

    @property
    def combinations(self) -> int:
        """How many combinations of dtypes the kernel is written for."""
        return max((len(p.dtypes) for p in (*self.inputs, *self.outputs)), default=0)

    def to_json(self) -> list[dict[str, Any]]:
        """Return what msopgen reads."""
        entry: dict[str, Any] = {
            "op": self.name,
            "language": "cpp",
            "input_desc": [_param_json(p) for p in self.inputs],
            "output_desc": [_param_json(p) for p in self.outputs],
        }
        attributes = [a for a in self.attributes if a.type is not None]
        if attributes:
            entry["attr"] = [_attribute_json(a) for a in attributes]
        return [entry]


def _param_json(param: Param) -> dict[str, Any]:
    return {
        "name": param.name,
        "param_type": param.kind,
        "format": ["ND"] * len(param.dtypes),
        "type": list(param.dtypes),
    }


def _attribute_json(attribute: Attribute) -> dict[str, Any]:
    entry = {
        "name": attribute.name,
        "param_type": "required" if attribute.required else "optional",
        "type": attribute.type,
    }
    if not attribute.required:
        entry["default_value"] = attribute.default
    return entry


def snake(name: str) -> str:
    """Return a name as msopgen spells files and kernels: HTTPServer2D -> http_server2_d."""
    name = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name)
    return re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).lower()


def shape_source(prototype: Prototype, output: int) -> int | None:
    """Return the input whose shape the output has in every node, None when there is none.

    Only inputs before the first optional or dynamic one: behind those GE counts differently.
    """
    for index, param in enumerate(prototype.inputs):
        if param.kind != "required":
            return None
        if all(_same_shape(node, index, output) for node in prototype.nodes):
            return index
    return None


def type_source(prototype: Prototype, output: int) -> int | None:
    """Return the input whose dtype the output has in every combination; None as above."""
    wanted = prototype.outputs[output].dtypes
    for index, param in enumerate(prototype.inputs):
        if param.kind != "required":
            return None
        if param.dtypes == wanted:
            return index
    return None


def _same_shape(node: dict[str, Any], index: int, output: int) -> bool:
    one = node["inputs"][index]
    two = node["outputs"][output] if output < len(node["outputs"]) else None
    if one is None or two is None or one["shape"] is None or two["shape"] is None:
        return False
    return bool(one["shape"] == two["shape"]) and None not in one["shape"]

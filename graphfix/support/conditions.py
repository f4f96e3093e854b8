"""The closed vocabulary of conditions of op_support, compiled into functions.

`op_support/README.md` is its manual. A condition that asks for something unknown is false; only
`static = false` may fire on the unknown. Nothing is evaluated as code.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import onnx
import onnx.defs
import onnx.helper

from graphfix.errors import TableError
from graphfix.graph import Node, Value

Condition = Callable[["NodeView"], bool]
_Test = Callable[[Any], bool]

_UNKNOWN = object()  # a fact that is not known: every comparison with it is false
_EMPTY = onnx.AttributeProto.UNDEFINED


class NodeView:
    """A node as the conditions see it: attributes in effect, values at its positions."""

    __slots__ = ("_schema", "node", "opset")

    def __init__(self, node: Node, opset: int) -> None:
        self.node = node
        self.opset = opset
        self._schema = schema_attributes(node.op_type, opset) if node.is_standard else None

    def attribute(self, name: str) -> Any:
        """Return the value in effect: written with the right kind, else ONNX's default.

        A module-level marker stands for "no value"; compare only through conditions.
        """
        written = self._written(name)
        if written is not None:
            return _value(written, self.node)
        if self._schema is not None and name in self._schema:
            return self._schema[name][1]
        return _UNKNOWN

    def _written(self, name: str) -> onnx.AttributeProto | None:
        attribute = self.node.attributes.get(name)
        if attribute is None or attribute.type == _EMPTY:
            return None
        if self._schema is not None and name in self._schema:
            return attribute if attribute.type == self._schema[name][0] else None
        return attribute

    def is_present(self, name: str) -> bool:
        """Whether the attribute is written with the kind that ONNX declares."""
        return self._written(name) is not None

    def stores_ints(self, name: str) -> bool:
        """Whether any list entries are stored under the name, whatever the kind says."""
        return any(a.name == name and len(a.ints) > 0 for a in self.node.proto.attribute)

    def declares(self, name: str) -> bool:
        """Whether ONNX's schema has the attribute; True without a schema."""
        return self._schema is None or name in self._schema

    def text(self, template: str) -> str:
        """Fill the placeholders of `says` and `advice`."""
        return _PLACEHOLDER.sub(self._placeholder, template)

    def _placeholder(self, match: re.Match[str]) -> str:
        kind, _, key = match[1].partition(".")
        if kind == "attr":
            return show(self.attribute(key))
        if kind in ("inputs", "outputs"):
            return str(len(getattr(self.node, kind)))
        position = int(key)
        value = self.node.input(position)
        if kind == "input":
            return value.name if value is not None else "(none)"
        if kind == "dtype":
            return (value.dtype if value is not None else None) or "unknown"
        return str(len(value.shape)) if value is not None and value.shape is not None else "unknown"


def _value(attribute: onnx.AttributeProto, node: Node) -> Any:
    """Return an attribute's value; lists of a repeated attribute are joined, as plugins do."""
    kind = attribute.type
    if kind == onnx.AttributeProto.INTS:
        return [i for a in node.proto.attribute if a.name == attribute.name for i in a.ints]
    if kind == onnx.AttributeProto.FLOATS:
        return [f for a in node.proto.attribute if a.name == attribute.name for f in a.floats]
    if kind == onnx.AttributeProto.INT:
        return attribute.i
    if kind == onnx.AttributeProto.FLOAT:
        return attribute.f
    if kind == onnx.AttributeProto.STRING:
        return attribute.s
    if attribute.ref_attr_name:
        return _UNKNOWN
    try:
        return onnx.helper.get_attribute_value(attribute)
    except ValueError:
        return _UNKNOWN


def generic(template: str) -> str:
    """Return `says` or `advice` as it reads without a node: `{attr.mode}` becomes <mode>."""
    return _PLACEHOLDER.sub(
        lambda m: "<" + m[1].removeprefix("attr.").replace(".", " ") + ">", template
    )


_PLACEHOLDER = re.compile(r"\{((?:attr\.\w+)|(?:(?:input|dtype|rank)\.\d+)|inputs|outputs)\}")


def show(value: Any) -> str:
    """Return an attribute value as people write it."""
    if value is _UNKNOWN:
        return "not set"
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(show(v) for v in value) + "]"
    return str(value)


_schemas: dict[tuple[str, int], dict[str, tuple[int, Any]] | None] = {}


def schema_attributes(op_type: str, opset: int) -> dict[str, tuple[int, Any]] | None:
    """Return {attribute: (kind, default or marker)} of ONNX's schema; None without a schema."""
    key = (op_type, opset)
    if key not in _schemas:
        _schemas[key] = _read_schema(op_type, opset)
    return _schemas[key]


def _read_schema(op_type: str, opset: int) -> dict[str, tuple[int, Any]] | None:
    try:
        schema = onnx.defs.get_schema(op_type, max_inclusive_version=opset, domain="")
    except (onnx.defs.SchemaError, TypeError):  # TypeError: no opset has such a number
        return None
    found: dict[str, tuple[int, Any]] = {}
    for name, attribute in schema.attributes.items():
        default: Any = _UNKNOWN
        if attribute.default_value.type != _EMPTY:
            default = onnx.helper.get_attribute_value(attribute.default_value)
        found[name] = (int(attribute.type.value), default)
    return found


# ---------------------------------------------------------------------- compiling


def compile_condition(
    table: Mapping[str, Any], predicates: Mapping[str, Condition], where: str
) -> Condition | None:
    """Compile a `when` table; None for an empty one, which always holds.

    Raises TableError that names `where` for anything outside the vocabulary.
    """
    tests = [_compile_entry(key, entry, predicates, where) for key, entry in table.items()]
    if not tests:
        return None
    if len(tests) == 1:
        return tests[0]
    return lambda view: all(test(view) for test in tests)


def _compile_entry(
    key: str, entry: Any, predicates: Mapping[str, Condition], where: str
) -> Condition:
    if key == "attr":
        return _all([_attribute(name, spec, where) for name, spec in _table(entry, where)])
    if key in ("input", "output"):
        return _all(
            [_position(key, int(index), spec, where) for index, spec in _table(entry, where)]
        )
    if key in ("inputs", "outputs"):
        count = _comparison(entry, _NUMBER_TESTS, where)
        return lambda view: count(len(getattr(view.node, key)))
    if key == "any":
        choices = [compile_condition(t, predicates, where) for t in entry]
        return lambda view: any(choice is None or choice(view) for choice in choices)
    if key == "not":
        inner = compile_condition(entry, predicates, where)
        return lambda view: inner is not None and not inner(view)
    if key == "predicate":
        if entry not in predicates:
            raise TableError(
                f"{where}: no predicate is called {entry!r}. "
                f"Known: {', '.join(sorted(predicates))}."
            )
        return predicates[entry]
    raise TableError(
        f"{where}: {key!r} is not in the vocabulary of conditions "
        "(attr, input, output, inputs, outputs, any, not, predicate)."
    )


def _all(tests: list[Condition]) -> Condition:
    if len(tests) == 1:
        return tests[0]
    return lambda view: all(test(view) for test in tests)


def _table(entry: Any, where: str) -> list[tuple[str, Any]]:
    if not isinstance(entry, dict) or not entry:
        raise TableError(f"{where}: expected a table, found {entry!r}.")
    return list(entry.items())


def _attribute(name: str, spec: Any, where: str) -> Condition:
    if isinstance(spec, dict):
        spec = dict(spec)
        tests: list[Condition] = []
        if "present" in spec:
            present = bool(spec.pop("present"))
            tests.append(lambda view: view.is_present(name) is present)
        if "named" in spec:
            named = bool(spec.pop("named"))
            tests.append(lambda view: (name in view.node.attributes) is named)
        if "ints_stored" in spec:
            stored = bool(spec.pop("ints_stored"))
            tests.append(lambda view: view.stores_ints(name) is stored)
        if spec:
            compare = _comparison(spec, _VALUE_TESTS, where)
            tests.append(lambda view: compare(view.attribute(name)))
        return _all(tests)
    compare_is = _comparison(spec, _VALUE_TESTS, where)
    return lambda view: compare_is(view.attribute(name))


def _position(kind: str, index: int, spec: Any, where: str) -> Condition:
    tests = [_position_test(kind, index, key, value, where) for key, value in _table(spec, where)]
    return _all(tests)


def _position_test(kind: str, index: int, key: str, spec: Any, where: str) -> Condition:
    names: Callable[[NodeView], list[str]] = (
        (lambda view: view.node.inputs) if kind == "input" else (lambda view: view.node.outputs)
    )
    value: Callable[[NodeView], Value | None] = (
        (lambda view: view.node.input(index))
        if kind == "input"
        else (lambda view: view.node.output(index))
    )
    if key == "given":
        return lambda view: (index < len(names(view)) and names(view)[index] != "") is spec
    if key == "listed":
        return lambda view: (index < len(names(view))) is spec
    if key == "empty":
        return lambda view: (index < len(names(view)) and names(view)[index] == "") is spec
    if key == "constant":
        return lambda view: _is_constant(value(view)) is spec
    if key == "static":
        return lambda view: _is_static(value(view)) is spec
    if key == "used" and kind == "output":
        return lambda view: _is_used(value(view)) is spec
    if key == "consumed" and kind == "output":
        return lambda view: ((v := value(view)) is not None and bool(v.uses)) is spec
    if key == "value":
        compare = _comparison(spec, _VALUE_TESTS, where)
        return lambda view: compare(_known(value(view)))
    if key == "rank":
        compare_rank = _comparison(spec, _NUMBER_TESTS, where)
        return lambda view: compare_rank(_rank(value(view)))
    if key == "dtype":
        compare_dtype = _comparison(spec, _NUMBER_TESTS, where)
        return lambda view: compare_dtype(_dtype(value(view)))
    if key == "dim":
        return _all([_dim(value, int(axis), s, where) for axis, s in _table(spec, where)])
    raise TableError(f"{where}: {kind}.{index}.{key} is not in the vocabulary.")


def _dim(value: Callable[[NodeView], Value | None], axis: int, spec: Any, where: str) -> Condition:
    if isinstance(spec, dict) and "known" in spec:
        known = spec["known"]
        return lambda view: (_dim_of(value(view), axis) is not _UNKNOWN) is known
    compare = _comparison(spec, _NUMBER_TESTS, where)
    return lambda view: compare(_dim_of(value(view), axis))


def _rank(value: Value | None) -> Any:
    return _UNKNOWN if value is None or value.shape is None else len(value.shape)


def _dtype(value: Value | None) -> Any:
    return _UNKNOWN if value is None or value.dtype is None else value.dtype


def _dim_of(value: Value | None, axis: int) -> Any:
    if value is None or value.shape is None or not -len(value.shape) <= axis < len(value.shape):
        return _UNKNOWN
    dim = value.shape[axis]
    return dim if isinstance(dim, int) else _UNKNOWN


def _known(value: Value | None) -> Any:
    return _UNKNOWN if value is None or value.known is None else value.known.tolist()


def _is_constant(value: Value | None) -> bool:
    return value is not None and value.is_constant


def _is_static(value: Value | None) -> bool:
    return (
        value is not None
        and value.shape is not None
        and all(isinstance(d, int) for d in value.shape)
    )


def _is_used(value: Value | None) -> bool:
    return value is not None and (bool(value.uses) or value.is_output)


def _comparison(spec: Any, tests: Mapping[str, Callable[[Any], _Test]], where: str) -> _Test:
    if not isinstance(spec, dict):
        spec = {"is": spec}
    compiled = []
    for key, operand in spec.items():
        if key not in tests:
            raise TableError(f"{where}: {key!r} is no comparison ({', '.join(tests)}).")
        compiled.append(tests[key](operand))
    if len(compiled) == 1:
        only = compiled[0]
        return lambda value: value is not _UNKNOWN and only(value)
    return lambda value: value is not _UNKNOWN and all(test(value) for test in compiled)


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, bytes):
        a = a.decode("utf-8", "replace")
    if isinstance(a, (list, tuple)) and isinstance(b, list):
        return len(a) == len(b) and all(_equal(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, float) or isinstance(b, float):
        try:
            return math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-12)
        except TypeError:
            return False
    return bool(a == b)


def _flat(value: Any) -> list[Any]:
    if isinstance(value, (list, tuple)):
        return [x for item in value for x in _flat(item)]
    return [value]


def _length(value: Any) -> int:
    try:
        return len(value)
    except TypeError:
        return -1


def _number(value: Any) -> bool:
    return isinstance(value, (int, float))


_VALUE_TESTS: dict[str, Callable[[Any], _Test]] = {
    "is": lambda x: lambda v: _equal(v, x),
    "not": lambda x: lambda v: not _equal(v, x),
    "in": lambda xs: lambda v: any(_equal(v, x) for x in xs),
    "not_in": lambda xs: lambda v: not any(_equal(v, x) for x in xs),
    "min": lambda x: lambda v: _number(v) and v >= x,
    "max": lambda x: lambda v: _number(v) and v <= x,
    "near": lambda x: lambda v: _number(v) and abs(v - x[0]) <= x[1],
    "not_near": lambda x: lambda v: _number(v) and not abs(v - x[0]) <= x[1],
    "length": lambda n: lambda v: _length(v) == n,
    "length_not_in": lambda ns: lambda v: _length(v) >= 0 and _length(v) not in ns,
    "length_min": lambda n: lambda v: _length(v) >= n,
    "length_max": lambda n: lambda v: 0 <= _length(v) <= n,
    "length_odd": lambda flag: lambda v: _length(v) >= 0 and (_length(v) % 2 == 1) is flag,
    "any_not": lambda x: lambda v: any(not _equal(e, x) for e in _flat(v)),
    "any_min": lambda x: lambda v: any(_number(e) and e >= x for e in _flat(v)),
    "any_max": lambda x: lambda v: any(_number(e) and e <= x for e in _flat(v)),
}
_NUMBER_TESTS = {k: _VALUE_TESTS[k] for k in ("is", "not", "in", "not_in", "min", "max")}

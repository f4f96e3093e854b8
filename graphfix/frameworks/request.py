"""What is to be exported and how: the inputs, their ranges, the dynamic axes, what is tried."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from graphfix.errors import UsageError, nearest
from graphfix.graph import dtypes

TORCHSCRIPT, DYNAMO = "torchscript", "dynamo"
EXPORTERS = (DYNAMO, TORCHSCRIPT)

# what ONNX and PyTorch both have
DTYPES = (
    "float32", "float16", "bfloat16", "double", "int64", "int32", "int16", "int8", "uint8", "bool",
)  # fmt: skip
_ALIASES = {"float64": "double", "float": "float32", "half": "float16", "long": "int64",
            "int": "int32"}  # fmt: skip
_NUMBER = r"[-+]?\d+(?:\.\d*)?(?:e[-+]?\d+)?"
_INPUT = re.compile(
    rf"(?P<name>[^=]+)=(?P<dtype>\w+)\[(?P<dims>[^\]]*)\]"
    rf"(?:<(?P<below>\d+)|:(?P<low>{_NUMBER})\.\.(?P<high>{_NUMBER}))?",
    re.IGNORECASE,
)
_DYNAMIC = re.compile(r"(?P<name>.+):(?P<axis>-?\d+)=(?P<symbol>[A-Za-z_]\w*)")


@dataclass(frozen=True)
class Input:
    """An input: its dims, and the range of its values, both ends included; None where open."""

    name: str
    dtype: str
    dims: tuple[int, ...]
    low: float | None = None
    high: float | None = None

    @property
    def text(self) -> str:
        """As `--input` takes it, without the range."""
        return f"{self.name}={self.dtype}[{','.join(map(str, self.dims))}]"


@dataclass(frozen=True)
class Request:
    """What `graphfix export` was asked for.

    `inputs` may be empty where the file itself says them. `dynamic` maps (input, axis) to a symbol.
    `exporter` None tries all; `opset` None tries several. `output_names` may be empty.
    """

    spec: str
    inputs: tuple[Input, ...] = ()
    dynamic: tuple[tuple[str, int, str], ...] = ()
    exporter: str | None = None
    opset: int | None = None
    output_names: tuple[str, ...] = ()
    trust: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the request as the worker reads it."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Request:
        """Return what `to_json` gave."""
        inputs = tuple(Input(**{**i, "dims": tuple(i["dims"])}) for i in document["inputs"])
        dynamic = tuple((name, axis, symbol) for name, axis, symbol in document["dynamic"])
        names = tuple(document["output_names"])
        return cls(**{**document, "inputs": inputs, "dynamic": dynamic, "output_names": names})


def inputs_of(texts: Iterable[str]) -> tuple[Input, ...]:
    """Read `name=int64[1,512]`, `...<50000`, `...:0..1`. Raises UsageError."""
    inputs: list[Input] = []
    for text in texts:
        found = _input(text.strip())
        if any(found.name == other.name for other in inputs):
            raise UsageError(f"--input {text}: {found.name} is given twice.")
        inputs.append(found)
    return tuple(inputs)


def _input(text: str) -> Input:
    match = _INPUT.fullmatch(text)
    if match is None:
        raise UsageError(
            f"--input {text}: expected name=dtype[dims], for instance 'input_ids=int64[1,512]', "
            "and behind it, where values have a range, <50000 or :0..1; a scalar is name=float32[]."
        )
    name = match["name"].strip()
    dtype = _ALIASES.get(match["dtype"].lower(), match["dtype"].lower())
    if dtype not in DTYPES:
        raise UsageError(
            f"--input {text}: no dtype is called {match['dtype']!r}. "
            f"{nearest(dtype, DTYPES) or 'Known: ' + ', '.join(DTYPES) + '.'}"
        )
    try:
        dims = tuple(int(d) for d in match["dims"].split(",")) if match["dims"].strip() else ()
    except ValueError:
        dims = (0,)
    if any(d < 1 for d in dims):
        raise UsageError(
            f"--input {text}: dims are whole numbers from 1 on; the size of a dynamic axis is what "
            f"the export traces with, and --dynamic '{name}:AXIS=SYMBOL' makes it dynamic."
        )
    low = high = None
    if match["below"] is not None:
        low, high = 0.0, float(match["below"]) - 1
    elif match["low"] is not None:
        low, high = float(match["low"]), float(match["high"])
    if low is not None and high is not None:
        if low > high:
            raise UsageError(f"--input {text}: the range {low:g}..{high:g} is empty.")
        if dtype == "bool":
            raise UsageError(f"--input {text}: a bool has no range; leave it out.")
        if dtype not in dtypes.FLOATS and (low % 1 or high % 1):
            raise UsageError(f"--input {text}: the range of an {dtype} ends at whole numbers.")
    return Input(name, dtype, dims, low, high)


def dynamic_of(texts: Iterable[str], inputs: Sequence[Input]) -> tuple[tuple[str, int, str], ...]:
    """Read `input_ids:1=seq`. Raises UsageError, also for an axis that its input lacks."""
    axes: dict[tuple[str, int], str] = {}
    sizes: dict[str, tuple[int, str]] = {}
    for text in texts:
        match = _DYNAMIC.fullmatch(text.strip())
        if match is None:
            raise UsageError(
                f"--dynamic {text}: expected input:axis=symbol, for instance input_ids:1=seq."
            )
        name, axis, symbol = match["name"], int(match["axis"]), match["symbol"]
        found = next((i for i in inputs if i.name == name), None)
        if found is None:
            raise UsageError(
                f"--dynamic {text}: no --input is called {name!r}. "
                f"{nearest(name, [i.name for i in inputs])}".rstrip()
            )
        rank = len(found.dims)
        if not -rank <= axis < rank:
            which = f"its axes are 0 to {rank - 1}" if rank else "it is a scalar"
            raise UsageError(f"--dynamic {text}: {found.text} has no axis {axis}; {which}.")
        axis %= rank
        if axes.get((name, axis), symbol) != symbol:
            raise UsageError(f"--dynamic {text}: axis {axis} of {name} has another symbol already.")
        size, other = sizes.setdefault(symbol, (found.dims[axis], found.text))
        if size != found.dims[axis]:
            raise UsageError(
                f"--dynamic {text}: {symbol} would be {size} in {other} and {found.dims[axis]} in "
                f"{found.text}; one symbol is one size. Give equal sizes or two symbols."
            )
        axes[(name, axis)] = symbol
    return tuple((name, axis, symbol) for (name, axis), symbol in axes.items())


def opset_of(text: str) -> int | None:
    """Read `--opset`: a number, or `auto` as None. Raises UsageError."""
    if text == "auto":
        return None
    if text.isdigit() and 7 <= int(text) <= 26:
        return int(text)
    raise UsageError(f"--opset {text}: give auto or a number; CANN registers opsets 8 to 18.")


def output_names_of(text: str, inputs: Sequence[Input]) -> tuple[str, ...]:
    """Read `--output-names a,b`. Raises UsageError for a name that is there already."""
    names = tuple(n.strip() for n in text.split(",") if n.strip())
    taken = {i.name for i in inputs}
    for index, name in enumerate(names):
        if name in taken or name in names[:index]:
            raise UsageError(
                f"--output-names {text}: {name} is the name of an input or of another output; "
                "names are unique in ONNX."
            )
    return names

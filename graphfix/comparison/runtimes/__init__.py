"""Runtimes: what gives outputs for inputs, whether it computes them or reads a saved folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, TypeVar

import numpy as np

from graphfix.errors import GraphfixError
from graphfix.graph import Model, Shape, dtypes
from graphfix.graph.value import declared_shape

Arrays = dict[str, np.ndarray]


class RuntimeFailed(GraphfixError):
    """A runtime that cannot load its model, or stopped while it ran; what came before is kept."""


class Encoding(Protocol):
    """How an input is made of the original's: the pixels of an image that AIPP prepares, say."""

    def encode(self, array: np.ndarray) -> np.ndarray:
        """Return what is fed for the original's input. Raises UsageError where it cannot."""
        ...

    def decode(self, pixels: np.ndarray, like: np.ndarray) -> np.ndarray:
        """Return the original's input that `encode` turns into this; in the form of `like`."""
        ...

    def decoded_shape(self, shape: Sequence[int | None], own: Shape) -> Shape:
        """Return the shape of the original's input for that of the other; `own` is declared."""
        ...


@dataclass(frozen=True)
class Port:
    """An input or output: its name, dtype and shape (ints, symbols, None where unknown).

    `choices` are the static shapes that it may have, where only some are possible: those at the
    same position belong together in all inputs.
    """

    name: str
    dtype: str | None
    shape: Shape | None
    choices: tuple[tuple[int, ...], ...] = field(default=(), kw_only=True)
    encoding: Encoding | None = field(default=None, kw_only=True)


def ports_of(model: Model) -> list[Port]:
    """Return the data inputs of a model as its file declares them."""
    return [
        Port(
            info.name,
            dtypes.NAMES.get(info.type.tensor_type.elem_type),
            declared_shape(info.type),
        )
        for info in model.proto.graph.input
        if info.name not in model.graph.initializers
    ]


class Runtime(Protocol):
    """One side of a comparison. Use it as a context manager, or call `close`.

    `name` is how reports call it. `inputs` are the ports that `run` must be fed; `outputs` the
    names that it gives when nothing else is asked for.
    """

    @property
    def name(self) -> str:
        """How reports call this side."""
        ...

    @property
    def inputs(self) -> Sequence[Port]:
        """The ports that must be fed."""
        ...

    @property
    def outputs(self) -> Sequence[str]:
        """The outputs, in the order of the model."""
        ...

    def run(self, feeds: Mapping[str, np.ndarray], fetch: Sequence[str] | None = None) -> Arrays:
        """Return the outputs, or the values named in `fetch`, by name.

        A runtime without intermediate values leaves out what it does not have. Raises RuntimeFailed
        when it stops.
        """
        ...

    def close(self) -> None:
        """Give back memory and devices; may be called twice."""
        ...

    def __enter__(self) -> Runtime: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


_R = TypeVar("_R", bound="Closing")


class Closing:
    """A runtime as a context manager: it is closed at the end."""

    def close(self) -> None:
        """Give back memory and devices; may be called twice."""
        raise NotImplementedError

    def __enter__(self: _R) -> _R:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

"""What `graphfix export` is given in the tests: modules that behave, and many that do not."""

from __future__ import annotations

import os
import sys
from typing import Any

import torch
from torch import Tensor, nn


class Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(11, 8)
        self.dropout = nn.Dropout(0.5)
        self.out = nn.Linear(8, 5)

    def forward(self, input_ids: Tensor, bias: Tensor | None = None) -> dict[str, Tensor]:
        x = self.dropout(self.table(input_ids))
        logits = self.out(x if bias is None else x + bias)
        return {"logits": logits, "pooled": x.mean(1)}


class Attention(nn.Module):
    """Meets PyTorch's fast path, and bakes its sizes in the TorchScript exporter."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.attention(x, x, x)[0]


class Tied(nn.Module):
    """Embedding and projection share 4 MiB of weights."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(4096, 256)
        self.out = nn.Linear(256, 4096, bias=False)
        self.out.weight = self.table.weight

    def forward(self, ids: Tensor) -> Tensor:
        return self.out(self.table(ids))


class Random(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(x, 0.5)  # training=True is the default


class Baked(nn.Module):
    """A Python number that was taken from the shape."""

    def forward(self, x: Tensor) -> Tensor:
        return x * int(x.shape[1])


class OneSize(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(6))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale


class Text(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, str]:
        return x, "text"


class Branch(nn.Module):
    """An `if` on values: tracing keeps the way that its example took."""

    def forward(self, x: Tensor) -> Tensor:
        return x + 1 if x.sum() > 0 else x - 1


class Anything(nn.Module):
    def forward(self, *tensors: Tensor) -> Tensor:
        return tensors[0] + tensors[1]


class Crash(nn.Module):
    """Ends the process as a crash would, but only in the dynamo exporter."""

    def forward(self, x: Tensor) -> Tensor:
        if torch.compiler.is_exporting():
            os._exit(134)
        return x + 1


instance = Tiny()
number = 42


def noisy() -> nn.Module:
    print("NOISE on stdout")
    print("NOISE on stderr", file=sys.stderr)
    os.write(1, b"NOISE of C\n")
    return Tiny()


def raises() -> nn.Module:
    raise ValueError("no weights here\nand more")


def leaves() -> nn.Module:
    sys.exit(3)


def vanishes() -> nn.Module:
    print("last words", flush=True)
    os._exit(7)


def nothing() -> Any:
    return None


def needs(path: str) -> nn.Module:
    return Tiny()


def on_cuda() -> nn.Module:
    return Tiny().cuda()


def on_meta() -> nn.Module:
    with torch.device("meta"):
        return Tiny()


def asks() -> nn.Module:
    input("name? ")
    return Tiny()


class Options(nn.Module):
    """Parameters with defaults around an input, as forward has them in transformers."""

    def forward(
        self, x: Tensor, keep: int = 0, twice: bool = True, mask: Tensor | None = None, **more: Any
    ) -> Tensor:
        x = x[:, keep:] * (2 if twice else 1)
        return x if mask is None else x * mask

#!/usr/bin/env python3
"""Export small PyTorch models with random weights to ONNX, as test models for graphfix.

    export_models.py OUT [--only NAME ...] [--opsets 14,17,18,20,23] [--static]
                         [--vocab N --hidden N]

Writes OUT/<family>.<exporter><opset>.onnx, with --static and fixed dims .static.onnx; the
exporter is `ts` (TorchScript, dynamo=False) or `dynamo` (torch.export, dynamo=True). What an
exporter cannot do is told in one line each. Needs the extra `bench`.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import onnx
import torch
from simple_transformer import SimpleTransformer
from torch import Tensor, nn

OPSETS = "14,17,18,20,23"
EXPORTERS = ("ts", "dynamo")
# the heads of SimpleTransformer; its hidden size must be a multiple
SIMPLE_HEADS = 12


@dataclass(frozen=True)
class Family:
    """A model and its example inputs. `inputs` gives each one's dynamic axes by position."""

    model: nn.Module
    args: tuple[Tensor, ...]
    inputs: dict[str, dict[int, str]]
    outputs: dict[str, dict[int, str]]


class First(nn.Module):
    """A transformers model as an exporter likes it: positional inputs, one tensor out."""

    def __init__(self, model: nn.Module, inputs: tuple[str, ...], output: str) -> None:
        super().__init__()
        self.model = model
        self.input_names = inputs
        self.output = output

    def forward(self, *tensors: Tensor) -> Tensor:
        named = dict(zip(self.input_names, tensors, strict=True))
        found: Tensor = getattr(self.model(**named), self.output)
        return found


class Cnn(nn.Module):
    """The layers of an image classifier, with a dilated convolution and a resized side branch."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU())
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.deep = nn.Sequential(nn.Conv2d(8, 8, 3, padding=2, dilation=2), nn.SiLU())
        self.group = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Hardswish())
        self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        self.head = nn.Linear(8, 10)

    def forward(self, image: Tensor) -> Tensor:
        x = self.stem(image)
        x = x + self.up(self.group(self.deep(self.pool(x))))
        x = nn.functional.adaptive_avg_pool2d(x, 1).flatten(1)
        scores: Tensor = self.head(x)
        return scores


class Recurrent(nn.Module):
    """A two-layer bidirectional LSTM or GRU, batch first."""

    def __init__(self, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        self.rnn = kind(8, 16, num_layers=2, bidirectional=True, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.rnn(x)[0]
        return y


class Attention(nn.Module):
    """Self-attention behind a LayerNorm, with a residual."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(32)
        self.attention = nn.MultiheadAttention(32, 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x)
        return x + self.attention(y, y, y, need_weights=False)[0]


_TEXT = {0: "batch", 1: "sequence"}


def _language(model: nn.Module, output: str) -> Family:
    names = ("input_ids", "attention_mask")
    ids = torch.randint(0, 64, (2, 8))
    return Family(
        First(model, names, output),
        (ids, torch.ones_like(ids)),
        dict.fromkeys(names, _TEXT),
        {output: _TEXT},
    )


def _bert(attention: str) -> Family:
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=64,
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
        attn_implementation=attention,
    )
    return _language(BertModel(config, add_pooling_layer=False), "last_hidden_state")


def _gpt2() -> Family:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=1000, n_positions=64, n_embd=32, n_layer=2, n_head=4, use_cache=False,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    return _language(GPT2LMHeadModel(config), "logits")


def _llama() -> Family:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        use_cache=False,
    )
    return _language(LlamaForCausalLM(config), "logits")


def _vit() -> Family:
    from transformers import ViTConfig, ViTModel

    config = ViTConfig(
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=64,
        image_size=32,
        patch_size=8,
    )
    model = First(ViTModel(config, add_pooling_layer=False), ("pixel_values",), "last_hidden_state")
    batch = {0: "batch"}
    image = torch.randn(2, 3, 32, 32)
    return Family(model, (image,), {"pixel_values": batch}, {"last_hidden_state": batch})


def _simple(vocab: int, hidden: int) -> Family:
    model = SimpleTransformer(vocab, hidden, SIMPLE_HEADS)
    ids = torch.randint(0, vocab, (2, 8))
    axes = {0: "batch", 1: "seq_len"}
    return Family(model, (ids,), {"input_ids": axes}, {"logits": axes})


def _cnn() -> Family:
    batch = {0: "batch"}
    return Family(Cnn(), (torch.randn(2, 3, 32, 32),), {"image": batch}, {"scores": batch})


def _recurrent(kind: type[nn.RNNBase]) -> Family:
    batch = {0: "batch"}
    return Family(Recurrent(kind), (torch.randn(2, 5, 8),), {"x": batch}, {"y": batch})


def _attention() -> Family:
    axes = {0: "batch", 1: "sequence"}
    return Family(Attention(), (torch.randn(2, 8, 32),), {"x": axes}, {"y": axes})


def families(vocab: int = 1000, hidden: int = 48) -> dict[str, Callable[[], Family]]:
    """Return what builds each family, by name; `vocab` and `hidden` are SimpleTransformer's."""
    return {
        "bert": lambda: _bert("sdpa"),
        "bert_eager_attention": lambda: _bert("eager"),
        "gpt2": _gpt2,
        "llama": _llama,
        "vit": _vit,
        "simple_transformer": lambda: _simple(vocab, hidden),
        "cnn": _cnn,
        "lstm": lambda: _recurrent(nn.LSTM),
        "gru": lambda: _recurrent(nn.GRU),
        "attention": _attention,
    }


def export(family: Family, exporter: str, opset: int, path: Path, static: bool = False) -> None:
    """Write one model; raises whatever the exporter raises, or ValueError for another opset."""
    axes: dict[str, Any] = {} if static else {**family.inputs, **family.outputs}
    options: dict[str, Any] = {
        "opset_version": opset,
        "input_names": list(family.inputs),
        "output_names": list(family.outputs),
    }
    if exporter == "ts":
        options |= {"dynamo": False, "dynamic_axes": axes}
    else:
        shapes = tuple(
            dict.fromkeys(axes, torch.export.Dim.DYNAMIC) for axes in family.inputs.values()
        )
        if isinstance(family.model, First):  # its inputs are one parameter, *tensors
            shapes = (shapes,)
        options |= {"dynamo": True, "external_data": False}
        options |= {} if static else {"dynamic_shapes": shapes}
    # with gradients: without, MultiheadAttention takes a fused path that the ts exporter lacks
    torch.onnx.export(family.model, family.args, str(path), **options)
    model = onnx.load(path)
    written = next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
    if written != opset:
        # the dynamo exporter works at opset 18 and keeps it when the conversion fails
        path.unlink()
        raise ValueError(f"the exporter wrote opset {written}, it cannot convert to {opset}")
    _strip_traces(model)
    path.write_bytes(model.SerializeToString(deterministic=True))


def _strip_traces(model: onnx.ModelProto) -> None:
    """Drop the stack traces, which hold paths of the machine and change with every version."""
    graph = model.graph
    for message in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info):
        kept = [p for p in message.metadata_props if "stack_trace" not in p.key]
        del message.metadata_props[:]
        message.metadata_props.extend(kept)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporters' progress and warnings from the terminal, those of C++ code too."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(1), os.dup(2)]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)
        sys.stdout.flush()
        sys.stderr.flush()
        for stream, copy in enumerate(kept, start=1):
            os.dup2(copy, stream)
            os.close(copy)
        os.close(nowhere)


def _reason(error: BaseException) -> str:
    """Return the first telling line of an error, of its cause where it has one."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:160]


def main() -> int:
    """Export everything that was asked for; exit 1 when nothing could be written."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", nargs="+", choices=list(families()), metavar="NAME", default=[])
    parser.add_argument("--opsets", default=OPSETS)
    parser.add_argument("--vocab", type=int, default=1000, help="of SimpleTransformer")
    parser.add_argument("--hidden", type=int, default=48, help="of SimpleTransformer")
    parser.add_argument("--static", action="store_true", help="with the dims of the example")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.hidden % SIMPLE_HEADS:
        parser.error(f"--hidden must be a multiple of {SIMPLE_HEADS}")
    options.out.mkdir(parents=True, exist_ok=True)
    written = 0
    for name, build in families(options.vocab, options.hidden).items():
        if options.only and name not in options.only:
            continue
        for exporter in EXPORTERS:
            for opset in map(int, options.opsets.split(",")):
                kind = ".static" if options.static else ""
                path = options.out / f"{name}.{exporter}{opset}{kind}.onnx"
                torch.manual_seed(options.seed)
                try:
                    with _quiet():
                        family = build()
                        family.model.eval()
                        export(family, exporter, opset, path, options.static)
                except Exception as error:  # the exporters raise nearly anything
                    print(f"{path.name}: failed: {_reason(error)}", flush=True)
                else:
                    written += 1
                    print(f"{path.name}: {path.stat().st_size:,} bytes", flush=True)
    return 0 if written else 1


if __name__ == "__main__":
    sys.exit(main())

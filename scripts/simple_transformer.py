"""The model that `make guide` takes along the whole road: an embedding, attention, a projection.

The usual example of guides from PyTorch to an OM: a vocabulary of 50,000, 768 wide, 12 heads, one
input `input_ids` of 512 tokens. Two properties make it a good test: its attention takes PyTorch's
fast path, which has no ONNX form, and the TorchScript exporter bakes its sizes.
"""

from __future__ import annotations

from torch import Tensor, nn


class SimpleTransformer(nn.Module):
    """Token ids [batch, sequence] (int64) to logits [batch, sequence, vocab_size]."""

    def __init__(self, vocab_size: int = 50_000, hidden_dim: int = 768, num_heads: int = 12):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, hidden_dim)
        self.attention = nn.MultiheadAttention(hidden_dim, num_heads, batch_first=True)
        self.fc = nn.Linear(hidden_dim, vocab_size)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        x = self.embedding(input_ids)
        mixed, _ = self.attention(x, x, x, attn_mask=attention_mask)
        logits: Tensor = self.fc(mixed)
        return logits

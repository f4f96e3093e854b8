"""Matrices of the discrete Fourier transform, for DFT and STFT."""

from __future__ import annotations

import numpy as np

# elements of one matrix
MAX_ELEMENTS = 1 << 22


def transform(
    samples: int, length: int, *, is_complex: bool, is_inverse: bool, is_onesided: bool
) -> np.ndarray:
    """Return the matrix [samples, parts in, bins, 2] of the transform over `length` points."""
    bins = length // 2 + 1 if is_onesided else length
    angle = _angles(samples, bins, length)
    cos, sin = np.cos(angle), -np.sin(angle)
    if is_inverse:
        cos, sin = cos / length, -sin / length
    real = np.stack([cos, sin], -1)  # what the real part adds to real and imaginary part
    parts = [real, np.stack([-sin, cos], -1)] if is_complex else [real]
    return np.stack(parts, 1)


def real_inverse(bins: int, length: int) -> np.ndarray:
    """Return the matrix [bins, 2, length, 1] from the one-sided spectrum to the real signal."""
    angle = _angles(bins, length, length)
    # bins other than the first and, of an even length, the last one stand for two
    weight = np.full((bins, 1), 2.0)
    weight[0] = 1.0
    if length % 2 == 0 and bins == length // 2 + 1:
        weight[-1] = 1.0
    parts = [np.cos(angle) * weight / length, -np.sin(angle) * weight / length]
    return np.stack(parts, 1)[..., None]


def _angles(rows: int, columns: int, length: int) -> np.ndarray:
    # whole turns are taken off first: the angle stays small and exact
    steps = np.outer(np.arange(rows, dtype=np.int64), np.arange(columns, dtype=np.int64)) % length
    return np.asarray(2 * np.pi * steps / length)

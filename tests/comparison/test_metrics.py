"""Metrics are right where a formula has an answer, and say nothing where it has none."""

from __future__ import annotations

import json

import ml_dtypes
import numpy as np
import pytest

from graphfix.comparison.metrics import ON_NPU, Tolerance, measure


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def test_known_distances() -> None:
    m = measure(floats(3, 4, 0), floats(3, 5, 0), Tolerance(0.1, 0.1))
    assert m.max_abs == 1 and m.max_rel == 0.25
    assert m.mean_abs == pytest.approx(1 / 3)
    assert m.rmse == pytest.approx(1 / np.sqrt(3))
    assert m.relative_euclidean == pytest.approx(0.2)
    assert m.cosine == pytest.approx(29 / (5 * np.sqrt(34)))
    assert m.beyond == pytest.approx(1 / 3) and m.first == (1,)
    assert not m.passed and "33.33%" in str(m.problem)


def test_equal_tensors_pass_with_zero_errors() -> None:
    x = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    m = measure(x, x.copy())
    assert m.passed and m.equal
    assert (m.max_abs, m.rmse, m.cosine, m.beyond, m.first) == (0, 0, 1, 0, None)


@pytest.mark.parametrize("other", [0.0, 1e-9])
def test_a_zero_vector_has_no_direction(other: float) -> None:
    m = measure(np.zeros(4, np.float32), np.full(4, other, np.float32))
    assert m.cosine is None and m.relative_euclidean is None and m.max_rel == 0
    assert m.passed


def test_zero_against_something_fails_a_cosine_threshold() -> None:
    zero, one = np.zeros(4, np.float32), np.ones(4, np.float32)
    assert not measure(one, zero, Tolerance(cosine=0.9)).passed
    assert measure(zero, zero, Tolerance(cosine=0.9)).passed


def test_scalars_have_no_cosine() -> None:
    m = measure(np.array(2, np.float32), np.array(-2, np.float32), Tolerance(cosine=0.5))
    assert m.cosine is None and not m.passed and m.first == ()


def test_empty_tensors_have_no_numbers() -> None:
    empty = np.zeros((0, 3), np.float32)
    m = measure(empty, empty)
    assert m.passed and m.elements == 0 and m.max_abs is None and m.cosine is None
    assert not measure(empty, np.zeros((3, 0), np.float32)).passed


@pytest.mark.parametrize("tolerance", [None, Tolerance(1e9, 1e9), Tolerance(cosine=-1.0)])
@pytest.mark.parametrize("sides", ["both", "want", "have"])
def test_a_nan_never_passes(tolerance: Tolerance | None, sides: str) -> None:
    want, have = floats(1, 2, 3), floats(1, 2, 3)
    if sides in ("both", "want"):
        want[1] = np.nan
    if sides in ("both", "have"):
        have[1] = np.nan
    m = measure(want, have, tolerance)
    assert not m.passed and "NaN" in str(m.problem)
    assert m.nan == (int(sides != "have"), int(sides != "want"))
    json.dumps(m.to_json(), allow_nan=False)


def test_the_same_infinity_passes_another_does_not() -> None:
    a = floats(-np.inf, 1, 2)
    same = measure(a, a.copy())
    assert same.passed and same.inf == (1, 1) and same.max_abs == 0
    assert not measure(a, floats(np.inf, 1, 2)).passed
    assert not measure(a, floats(-3e38, 1, 2), Tolerance(cosine=0.5)).passed


def test_large_numbers_do_not_overflow() -> None:
    a = np.array([1e200, -1e200, 3e200])
    m = measure(a, a * 1.5, Tolerance(rtol=1e-3))
    assert m.cosine == pytest.approx(1) and m.relative_euclidean == pytest.approx(0.5)
    assert m.max_rel == pytest.approx(0.5)


@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool"])
def test_integers_and_bools_are_exact(dtype: str) -> None:
    want = np.array([[0, 1], [1, 0]]).astype(dtype)
    have = want.copy()
    assert measure(want, have, Tolerance(100, 100)).passed
    have[1, 0] = 0
    m = measure(want, have, Tolerance(100, 100))
    assert not m.passed and m.first == (1, 0) and m.beyond == 0.25
    assert "at [1, 0]" in str(m.problem)


def test_the_coarser_float_sets_the_default() -> None:
    want = np.linspace(1, 2, 50, dtype=np.float32)
    half = measure(want, want.astype(np.float16))
    assert half.passed and half.note and half.max_abs
    assert not measure(want, want.astype(np.float16).astype(np.float32)).passed
    assert measure(want, want.astype(ml_dtypes.bfloat16)).passed
    assert not measure(want, want * np.float32(1.01)).passed


def test_other_dtypes_and_shapes_fail_in_words() -> None:
    x = np.ones((2, 3), np.float32)
    assert "shape [3,2] instead of [2,3]" in str(measure(x, x.reshape(3, 2)).problem)
    assert "dtype int64 instead of float32" in str(measure(x, x.astype(np.int64)).problem)
    assert measure(np.ones(2, np.int64), np.ones(2, np.int32)).note


def test_sums_that_cancel_are_judged_by_their_terms() -> None:
    """One element near zero among thousands is not a failure of relative precision."""
    want = np.random.default_rng(1).normal(0, 100, 1000).astype(np.float32)
    want[7] = 1e-7
    have = want.copy()
    have[7] = 1e-4
    assert measure(want, have).passed


def test_a_mask_of_huge_numbers_hides_nothing() -> None:
    want = np.random.default_rng(1).normal(size=1000).astype(np.float32)
    want[600:] = -3.4e38
    have = want.copy()
    have[3] += 0.01
    assert measure(want, have).first == (3,)


def test_strings() -> None:
    a = np.array(["a", "b"], object)
    assert measure(a, a.copy()).passed
    assert measure(a, np.array(["a", "c"], object)).first == (1,)


def test_the_whole_tensor_is_tested_for_direction_and_size() -> None:
    want = np.linspace(-1, 1, 40, dtype=np.float32)
    half = (want * np.float32(1.001)).astype(np.float16)
    assert measure(want, half, ON_NPU).passed
    scaled = measure(want, want * 1.1, ON_NPU)
    assert scaled.cosine == pytest.approx(1)
    assert "Euclidean error 0.1 above 0.05" in str(scaled.problem)
    turned = measure(want, want[::-1].copy(), ON_NPU)
    assert "cosine -1.000000 below 0.99" in str(turned.problem)
    assert not measure(want, np.where(want > 0.9, np.float32(np.nan), want), ON_NPU).passed


def test_of_zeros_and_scalars_the_elements_or_the_size_decide() -> None:
    zeros = np.zeros(4, np.float32)
    assert measure(zeros, zeros + np.float32(1e-4), ON_NPU).passed
    assert not measure(zeros, zeros + 1, ON_NPU).passed
    one = np.array(2, np.float32)
    assert measure(one, np.array(2.01, np.float32), ON_NPU).passed
    assert not measure(one, np.array(2.2, np.float32), ON_NPU).passed

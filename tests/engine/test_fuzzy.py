"""Memberships are those of scikit-fuzzy, shoulders and gaps included."""

import numpy as np
import pytest
import skfuzzy
from hypothesis import given
from hypothesis import strategies as st

from domain.strategy import Membership
from engine.fuzzy import degree, gaussian, trapezoidal, triangular

number = st.integers(-400, 400).map(lambda n: n / 4)
points = st.lists(number, min_size=1, max_size=40).map(lambda xs: np.array(sorted(xs), dtype=float))


def corners(count: int) -> st.SearchStrategy[list[float]]:
    return st.lists(number, min_size=count, max_size=count).map(sorted)


@given(points, corners(3))
def test_triangular_is_scikit_fuzzys(values: np.ndarray, abc: list[float]) -> None:
    np.testing.assert_allclose(triangular(values, *abc), skfuzzy.trimf(values, abc), atol=1e-12)


@given(points, corners(4))
def test_trapezoidal_is_scikit_fuzzys(values: np.ndarray, abcd: list[float]) -> None:
    np.testing.assert_allclose(trapezoidal(values, *abcd), skfuzzy.trapmf(values, abcd), atol=1e-12)


@given(points, number, st.floats(0.1, 50))
def test_gaussian_is_scikit_fuzzys(values: np.ndarray, mu: float, sigma: float) -> None:
    np.testing.assert_allclose(gaussian(values, mu, sigma), skfuzzy.gaussmf(values, mu, sigma), atol=1e-12)


def test_a_left_shoulder_is_full_on_its_edge_and_nothing_below() -> None:
    assert triangular(np.array([-0.1, 0.0, 5.0, 10.0]), 0, 0, 10).tolist() == [0, 1, 0.5, 0]


def test_a_right_shoulder_is_full_on_its_edge_and_nothing_above() -> None:
    assert triangular(np.array([0.0, 5.0, 10.0, 10.1]), 0, 10, 10).tolist() == [0, 0.5, 1, 0]


def test_a_point_is_full_on_itself_alone() -> None:
    assert triangular(np.array([2.0, 3.0, 4.0]), 3, 3, 3).tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("kind", "parameters"), [("triangular", (0, 1, 2)), ("trapezoidal", (0, 1, 2, 3)), ("gaussian", (0, 1))]
)
def test_an_unknown_value_has_an_unknown_membership(kind: str, parameters: tuple[float, ...]) -> None:
    membership = Membership(name="m", type=kind, parameters=parameters)
    degrees = degree(membership, np.array([np.nan, 1.0]))
    assert np.isnan(degrees[0])
    assert degrees[1] > 0

"""Fuzzy memberships: how far a value belongs to a set, from 0 to 1. Three formulas over numpy arrays.

A value of NaN (an indicator still warming up) belongs to nothing known: its membership is NaN.
"""

import numpy as np
from numpy.typing import NDArray

from domain.strategy import Membership

Column = NDArray[np.float64]


def degree(membership: Membership, values: Column) -> Column:
    """The membership of each value, in the shape of `values`."""
    if membership.type == "gaussian":
        mu, sigma = membership.parameters
        return gaussian(values, mu, sigma)
    if membership.type == "trapezoidal":
        a, b, c, d = membership.parameters
        return trapezoidal(values, a, b, c, d)
    a, b, c = membership.parameters
    return triangular(values, a, b, c)


def triangular(values: Column, a: float, b: float, c: float) -> Column:
    """0 up to a, rising to 1 at b, falling to 0 at c. a == b or b == c is a straight edge at which the value is 1."""
    return trapezoidal(values, a, b, b, c)


def trapezoidal(values: Column, a: float, b: float, c: float, d: float) -> Column:
    """0 up to a, rising to 1 at b, 1 up to c, falling to 0 at d. a == b or c == d is a straight edge, 1 on it."""
    known = np.where(np.isnan(values), b, values)
    rising = np.divide(known - a, b - a, out=np.ones_like(known), where=known < b) if a < b else known >= a
    falling = np.divide(d - known, d - c, out=np.ones_like(known), where=known > c) if c < d else known <= d
    degrees = np.clip(np.minimum(rising, falling).astype(np.float64), 0.0, 1.0)
    return np.where(np.isnan(values), np.nan, degrees)


def gaussian(values: Column, mu: float, sigma: float) -> Column:
    """exp(-(x - mu)^2 / (2 sigma^2)): 1 at mu, falling on both sides, never quite 0."""
    return np.exp(-np.square((values - mu) / sigma) / 2.0)

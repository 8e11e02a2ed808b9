"""The arrival times of an earthquake along the fibre, as one smooth curve for P and S.

The travel time of P, squared, is a parabola along a straight fibre, whatever the distance and the
depth (Green 1938, https://doi.org/10.1190/1.1439508)::

    travel^2 = ((x - apex)^2 + nearest^2) / vp^2

and that of S is vp/vs times the former.  A bent fibre bends the parabola.  So picks of both phases
are fitted by a penalised B-spline (Eilers and Marx 1996, https://doi.org/10.1214/ss/1038425655) of
the square, whose penalty on third differences is zero for every parabola: where there are few picks
it is the curve of a straight fibre, and it crosses gaps as such.  Outliers lose their weight
(Tukey's biweight, by iteratively reweighted least squares).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import BSpline

__all__ = ["Curve", "fit"]

_KNOTS = 2000.0  # metres between knots
_MOST = 60  # intervals between them
_BEND = 0.1  # of the squared travel time: how much third differences may be
_NOISE = 0.1  # seconds that picks scatter
_ROUNDS = 8
_ABSOLUTE = 3  # of these
_FLOOR = 0.03  # seconds: no outlier is nearer than a few times this
_TUKEY = 4.685

Float = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Curve:
    """The travel time of P along the fibre.

    Parameters
    ----------
    spline : BSpline
        Its square in s^2, of metres.
    """

    spline: BSpline

    def travel(self, distance: Float) -> Float:
        """Return travel times of P in seconds at distances in metres."""
        return np.asarray(np.sqrt(np.maximum(self.spline(distance), 1e-4)))

    def slowness(self, distance: Float) -> Float:
        """Return the apparent slowness of P in s/m; positive if it runs towards the end."""
        return np.asarray(self.spline(distance, 1) / (2 * self.travel(distance)))


def fit(distance: Float, travel: Float, count: NDArray[np.int64], low: float, high: float) -> Curve:
    """Fit a curve to picks.

    Parameters
    ----------
    distance, travel : ndarray of float64
        Metres, and seconds that a P wave travels; above 0.
    count : ndarray of int64
        Of how many picks each is the median.
    low, high : float
        Metres between which the curve is asked for.

    Returns
    -------
    Curve

    Examples
    --------
    >>> distance = np.arange(0, 5000, 10.0)
    >>> travel = np.hypot(distance - 1000, 4000) / 5500
    >>> outliers = np.where(np.arange(500) % 10 == 3, 0.9, 0.0)
    >>> curve = fit(distance, travel + outliers, np.ones(500, int), 0.0, 5000.0)
    >>> bool(np.abs(curve.travel(distance) - travel).max() < 0.01)
    True
    """
    pieces = int(np.clip(np.ceil((high - low) / _KNOTS), 3, _MOST))
    step = max(high - low, 1.0) / pieces
    knots = low + step * np.arange(-3, pieces + 4)
    basis = BSpline.design_matrix(np.clip(distance, low, low + step * pieces), knots, 3).toarray()
    third = np.diff(np.eye(basis.shape[1]), 3, axis=0)
    middle = float(np.median(travel))
    stiff = third.T @ third / (_BEND * max(middle, 0.1) ** 2) ** 2
    stiff += 1e-9 * np.trace(stiff) / len(stiff) * np.eye(len(stiff))
    base = count / (2 * np.maximum(travel, 0.1) * _NOISE) ** 2
    weight = np.ones_like(travel)
    coefficients = np.zeros(len(stiff))
    for turn in range(_ROUNDS):
        before = coefficients
        weighted = basis * (base * weight)[:, None]
        coefficients = np.linalg.solve(basis.T @ weighted + stiff, weighted.T @ travel**2)
        off = np.sqrt(np.maximum(basis @ coefficients, 1e-4)) - travel
        if turn > _ABSOLUTE and np.allclose(coefficients, before, rtol=1e-3, atol=1e-3):
            break
        scale = max(1.4826 * float(np.median(np.abs(off))), _FLOOR)
        if turn < _ABSOLUTE:  # from anywhere, absolute values lead to the majority
            weight = 1 / np.maximum(np.abs(off) / scale, 0.5)
        else:
            weight = np.maximum(1 - (off / (_TUKEY * scale)) ** 2, 0) ** 2
    return Curve(BSpline(knots, coefficients, 3))

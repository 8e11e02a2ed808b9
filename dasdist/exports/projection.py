"""Kilometres east and north: what associators compute in."""

import numpy as np
from numpy.typing import NDArray

from dasdist.exports.channels import Places

__all__ = ["kilometres"]


def kilometres(places: Places) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Project places azimuthally, with true distances from the middle of all.

    Returns
    -------
    x, y : ndarray of float
        Kilometres east and north of the mean longitude and latitude.

    Notes
    -----
    The geodesics are those of :func:`obspy.geodetics.gps2dist_azimuth` on WGS84, as in PROJ's
    ``aeqd``.
    """
    from obspy.geodetics import gps2dist_azimuth

    if not len(places.channel):
        return np.empty(0), np.empty(0)
    east = np.unwrap(np.radians(places.longitude)).mean()  # a fibre may cross the date line
    origin = float(places.latitude.mean()), (np.degrees(east) + 180) % 360 - 180
    found = [
        gps2dist_azimuth(*origin, lat, (lon + 180) % 360 - 180)[:2]
        for lon, lat in zip(places.longitude.tolist(), places.latitude.tolist(), strict=True)
    ]
    metres, azimuth = np.array(found).T
    return (
        metres / 1e3 * np.sin(np.radians(azimuth)),
        metres / 1e3 * np.cos(np.radians(azimuth)),
    )

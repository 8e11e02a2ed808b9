"""Frequency-wavenumber filter: keep or drop what crosses the fibre at certain velocities."""

from typing import Any, Literal

import torch

# A run sees one or two patch shapes; the bound only keeps odd uses from growing without end.
_MAX_MASKS = 8


class FKFilter(torch.nn.Module):
    """Keep or reject a range of apparent velocities.

    Parameters
    ----------
    dt : float
        Sample spacing, in seconds.
    dx : float
        Channel spacing, in metres.
    v_min : float, optional
        Smallest velocity of the range, inclusive, in metres per second. None for no bound.
    v_max : float, optional
        Largest velocity of the range, exclusive, in metres per second. None for no bound.
    mode : {"pass", "reject"}
        Whether to keep the range, or to keep all but the range.

    Raises
    ------
    ValueError
        If a spacing is not positive, the range is empty, `mode` is unknown, or the filter would
        remove everything.

    Notes
    -----
    The same filter as ``FKFilter`` in ``seisbench.models``: a mask of zeros and ones over
    ``abs(f / (k + 1e-10))``, computed in float32. Two things differ, neither of them in the result.
    The mask is built once for every patch shape and device, and real data need only half of the
    spectrum. The 1e-10 makes the mask a trifle asymmetric in ``k``; taking the real part of the
    full inverse transform, as SeisBench does, is the same as averaging the mask with its mirror
    image, so this is what the half spectrum is multiplied with.

    Masks are neither part of ``state_dict()`` nor of pickles and copies. Two threads that need the
    same mask at once may both build it, to the same effect.

    Examples
    --------
    >>> fk = FKFilter(dt=0.01, dx=10.0, v_min=300.0)
    >>> fk(torch.zeros(2, 64, 32)).shape
    torch.Size([2, 64, 32])
    """

    def __init__(
        self,
        dt: float,
        dx: float,
        v_min: float | None = None,
        v_max: float | None = None,
        mode: Literal["pass", "reject"] = "pass",
    ) -> None:
        super().__init__()
        if mode not in ("pass", "reject"):
            raise ValueError(f"mode is {mode!r}; use 'pass' or 'reject'.")
        if not (dt > 0 and dx > 0):
            raise ValueError(
                f"dt is {dt} s and dx is {dx} m, but both must be positive; use the absolute "
                "spacing of the axes."
            )
        if v_min is not None and v_max is not None and not v_min < v_max:
            raise ValueError(
                f"v_min is {v_min} m/s and v_max is {v_max} m/s, so no velocity lies between them; "
                "use v_min < v_max."
            )
        if mode == "reject" and v_min is None and v_max is None:
            raise ValueError(
                "mode 'reject' without v_min and v_max would remove everything; give one of them, "
                "or leave the filter out."
            )
        self.dt = dt
        self.dx = dx
        self.v_min = v_min
        self.v_max = v_max
        self.mode = mode
        self._masks: dict[tuple[int, int, torch.device], torch.Tensor] = {}

    def forward(self, data: torch.Tensor) -> torch.Tensor:
        """Filter a batch of patches.

        Parameters
        ----------
        data : Tensor, shape (batch, samples, channels)
            Real patches.

        Returns
        -------
        Tensor, shape (batch, samples, channels)
            Filtered patches of the same floating type, on the same device. Half precision is
            transformed in float32.

        Raises
        ------
        ValueError
            If `data` does not have three dimensions, or is complex.
        """
        if data.ndim != 3 or data.is_complex():
            raise ValueError(
                f"The data has shape {tuple(data.shape)} and type {data.dtype}, but an f-k filter "
                "takes real numbers of shape (batch, samples, channels); add or remove axes."
            )
        real = data if data.dtype in (torch.float32, torch.float64) else data.to(torch.float32)
        nt, nx = data.shape[1:]
        spectrum = torch.fft.rfft2(real) * self._mask(nt, nx, data.device)
        filtered: torch.Tensor = torch.fft.irfft2(spectrum, s=(nt, nx))
        return filtered.to(data.dtype) if data.is_floating_point() else filtered

    def extra_repr(self) -> str:
        """Describe the filter for the printout of a model."""
        return (
            f"dt={self.dt}, dx={self.dx}, v_min={self.v_min}, v_max={self.v_max}, mode={self.mode}"
        )

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_masks": {}}

    def _mask(self, nt: int, nx: int, device: torch.device) -> torch.Tensor:
        key = (nt, nx, device)
        mask = self._masks.get(key)
        if mask is None:
            mask = self._build_mask(nt, nx).to(device)
            if len(self._masks) >= _MAX_MASKS:
                # A new dict, not clear(): other threads may be reading the old one.
                self._masks = {}
            self._masks[key] = mask
        return mask

    def _build_mask(self, nt: int, nx: int) -> torch.Tensor:
        """Return weights for half a spectrum, shape (nt, nx // 2 + 1), on the CPU."""
        # A mask made in inference mode could not be used for training later, and one made on the
        # device could round differently there at the edges of the range.
        with torch.inference_mode(False), torch.no_grad():
            like = {"dtype": torch.float32, "device": torch.device("cpu")}
            frequency = torch.fft.fftfreq(nt, self.dt, **like)[:, None]
            wavenumber = torch.fft.fftfreq(nx, self.dx, **like)[None, :]
            velocity = (frequency / (wavenumber + 1e-10)).abs()

            inside = torch.ones_like(velocity, dtype=torch.bool)
            if self.v_min is not None:
                inside &= velocity >= self.v_min
            if self.v_max is not None:
                inside &= velocity < self.v_max
            kept = (inside if self.mode == "pass" else ~inside).to(torch.float32)

            mirrored = kept.flip(0, 1).roll((1, 1), (0, 1))
            return ((kept + mirrored) / 2)[:, : nx // 2 + 1].contiguous()

"""What a callback asks of a run."""

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Needs"]


@dataclass(frozen=True, slots=True)
class Needs:
    """What a callback asks of a run.

    Parameters
    ----------
    pick_halo : float
        Seconds of output around a block's core that its part depends on.
    held_outputs : int
        Float32 arrays of the size of the core that a block holds per annotation key; the plan
        counts their memory.
    whole_patches : bool
        Whether patches must be whole and blocks span the fibre, also where the model treats every
        channel on its own.
    in_order : bool
        Whether the client passes every part through ``consume``, in the order of the plan.
    device_curves : bool
        Whether annotations of patches may be curves on the GPU where the model is
        (`dasdist.inference.device_curves`), so that only what is found in them leaves it.
    exact_above : mapping of str to float
        By annotation key, the value near and above which annotations must be those of float32: a
        run in lower precision computes these again (`dasdist.inference.refine`).
    around : tuple of float
        Seconds before and after every output of a block's core of which the preprocessed samples
        are shown to its accumulator, which then is a
        :class:`dasdist.callbacks.base.SampleReader`; (0, 0) for none.

    Examples
    --------
    >>> Needs(pick_halo=1.0).merged(Needs(held_outputs=2)).pick_halo
    1.0
    """

    pick_halo: float = 0.0
    held_outputs: int = 0
    whole_patches: bool = False
    in_order: bool = False
    device_curves: bool = False
    exact_above: Mapping[str, float] = field(default_factory=dict)
    around: tuple[float, float] = (0.0, 0.0)

    def merged(self, *others: "Needs") -> "Needs":
        """Return what serves this callback and others in one pass."""
        least: dict[str, float] = {}
        for needs in (self, *others):
            for key, value in needs.exact_above.items():
                least[key] = min(value, least.get(key, value))
        every = (self, *others)
        return Needs(
            pick_halo=max(n.pick_halo for n in every),
            around=(max(n.around[0] for n in every), max(n.around[1] for n in every)),
            held_outputs=sum(n.held_outputs for n in (self, *others)),
            whole_patches=any(n.whole_patches for n in (self, *others)),
            in_order=any(n.in_order for n in (self, *others)),
            device_curves=all(n.device_curves for n in (self, *others)),
            exact_above=least,
        )

"""Single hits: which way of finding them an exposure gets, their neighbours, and the groups after them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jwstsm.core.rows import row_blocks
from jwstsm.products import Ramp
from jwstsm.stage1._columns import merge_exchange, strip_width
from jwstsm.stage1._jump_likelihood import flag_unlikely
from jwstsm.stage1._jump_planes import spread_to_neighbours, unflag_full_groups, usable_groups
from jwstsm.stage1._jump_sigma_clip import clip_differences
from jwstsm.stage1._jump_twopoint import count_and_mark, flag_after_jumps, flag_differences
from jwstsm.stage1._likely import Sampling
from jwstsm.stage1._likely_jumps import search_limits

__all__ = ["MIN_GROUPS", "Hits", "find_jumps"]

#: Usable groups that an integration needs before its differences are compared with each other.
MIN_GROUPS = 3

_LONGEST = 4096  # values that sigma clipping sorts by a network: it takes all of them, so that selection would not pay
_WALKED = 1 << 24  # bytes of the differences of a strip where they are walked through in order


@dataclass(frozen=True)
class Hits:
    """What counts as a hit and what is flagged beside it.

    Attributes
    ----------
    algorithm : {"two_point", "likelihood"}
        Compare differences with their median, or look for those whose omission makes the ramps more probable.
    thresholds : (normal, two differences, three differences)
        Limits [sigma] by the number of usable differences of a pixel; ``likelihood`` needs the first only.
    neighbours : (low, high) or None
        Jumps between these limits [sigma] flag their four neighbours.
    after : tuple of (size [e-], groups), at most two
        Jumps of at least this size flag so many groups after them.
    one_pass_from : int
        Usable differences from which ``two_point`` tests all at once instead of one by one.
    clip_from : int
        Integrations (usable groups if not ``clip_per_group``) from which sigma clipping is used instead.
    clip_per_group : bool
        Clip the same difference over the integrations, or all differences of a pixel together.
    """

    algorithm: str = "two_point"
    thresholds: tuple[float, float, float] = (4.0, 6.0, 5.0)
    neighbours: tuple[float, float] | None = (10.0, 1000.0)
    after: tuple[tuple[float, int], ...] = ()
    one_pass_from: int = 10
    clip_from: int = 100
    clip_per_group: bool = True

    @property
    def reach(self) -> tuple[float, float]:
        """Limits [sigma] between which a jump is marked."""
        return self.neighbours or (np.inf, np.inf)


def find_jumps(ramp: Ramp, gain: np.ndarray, noise: np.ndarray, settings: Hits = Hits()) -> int | None:
    """Flag single hits, their neighbours and the groups after them in ``ramp.groupdq``.

    Parameters
    ----------
    ramp : Ramp
        ``data`` (nints, ngroups, ny, nx) float32 [DN]; ``groupdq`` is changed.
    gain : (ny, nx) float32
        Gain [e-/DN].
    noise : (ny, nx) float32
        Noise of the difference of two frames [e-].
    settings : Hits

    Returns
    -------
    int or None
        Number of hits; None if there are too few usable groups to find any.

    Notes
    -----
    With ``m`` the median of a pixel's differences over all integrations [e-], the noise of one is
    ``sigma = sqrt(|m| + noise**2 / nframes)`` and ``|d - m| > threshold * sigma`` is a jump. One by one: the sizes
    ``|d|`` are compared with their median without the largest, the most outlying one is rejected, and both are renewed.
    """
    usable = usable_groups(np.asarray(ramp.groupdq))
    counted = ramp.data.shape[0] if settings.clip_per_group else int(usable.sum())
    noise2 = noise * noise
    if counted >= settings.clip_from:
        found = _clip(ramp, gain, noise2, settings)
    elif usable.min() >= MIN_GROUPS and settings.algorithm == "likelihood":
        found = _search(ramp, gain, noise2, settings)
    elif usable.min() >= MIN_GROUPS:
        one_pass = bool(usable.min() - 1 >= settings.one_pass_from)
        found = _compare(ramp, gain, noise2, settings, one_pass)
    else:
        return None
    if settings.neighbours is not None:
        for i0, i1 in ramp.integration_blocks():
            spread_to_neighbours(np.asarray(ramp.groupdq), i0, i1)
            ramp.release()
    if any(span > 0 for _, span in settings.after):
        _flag_after(ramp, gain, settings.after)
    return found


def _differences(ramp: Ramp) -> int:
    """Differences of a pixel in the whole exposure."""
    nints, ngroups = ramp.data.shape[:2]
    return nints * (ngroups - 1)


def _clip(ramp: Ramp, gain: np.ndarray, noise2: np.ndarray, settings: Hits) -> int:
    """Flag by sigma clipping, mark what reaches its neighbours, and return the number of hits."""
    n = _differences(ramp)
    together = ramp.data.shape[0] if settings.clip_per_group else n
    # only what is sorted must stay in the cache
    network, narrow, wide = merge_exchange(together, _LONGEST), strip_width(together), strip_width(n, _WALKED)
    for _, (data, factor, flags) in row_blocks(read=(ramp.data, gain), changed=(ramp.groupdq,)):
        clip_differences(
            data, flags, factor, float(settings.thresholds[0]), settings.clip_per_group, network, min(narrow, wide)
        )
    del data, factor, flags  # the block before the next walk makes its own
    for i0, i1 in ramp.integration_blocks():
        unflag_full_groups(np.asarray(ramp.groupdq), i0, i1)
        ramp.release()
    found = 0
    nframes = float(ramp.readout.nframes)
    for _, (data, factor, variance, flags) in row_blocks(read=(ramp.data, gain, noise2), changed=(ramp.groupdq,)):
        found += int(count_and_mark(data, flags, factor, variance, nframes, *settings.reach, wide).sum())
    return found


def _compare(ramp: Ramp, gain: np.ndarray, noise2: np.ndarray, settings: Hits, one_pass: bool) -> int:
    """Flag by the two-point difference, mark what reaches its neighbours, and return the number of hits."""
    n = _differences(ramp)
    normal, two, three = settings.thresholds
    limits = np.array([np.inf, np.inf, two, three, normal])
    fixed = (float(ramp.readout.nframes), limits, one_pass, *settings.reach, merge_exchange(n), strip_width(n))
    found = 0
    for _, (data, factor, variance, flags) in row_blocks(read=(ramp.data, gain, noise2), changed=(ramp.groupdq,)):
        found += int(flag_differences(data, flags, factor, variance, *fixed).sum())
    return found


def _search(ramp: Ramp, gain: np.ndarray, noise2: np.ndarray, settings: Hits) -> int:
    """Flag by likelihood, mark what reaches its neighbours, and return the number of hits."""
    n = _differences(ramp)
    sampling = Sampling.of_readout(ramp.readout).repeated(ramp.data.shape[0])
    limits = search_limits(settings.thresholds[0])
    fixed = (sampling.table, sampling.pairs, limits, *settings.reach, merge_exchange(n), strip_width(2 * n))
    found = 0
    for _, (data, factor, variance, flags) in row_blocks(read=(ramp.data, gain, noise2), changed=(ramp.groupdq,)):
        found += int(flag_unlikely(data, flags, factor, variance, *fixed).sum())
    return found


def _flag_after(ramp: Ramp, gain: np.ndarray, after: tuple[tuple[float, int], ...]) -> None:
    """Flag the groups after large jumps."""
    pairs = (*after, (np.inf, 0))[:2]
    sizes, spans = np.array([p[0] for p in pairs], np.float64), np.array([p[1] for p in pairs], np.int64)
    for _, (data, factor, flags) in row_blocks(read=(ramp.data, gain), changed=(ramp.groupdq,)):
        flag_after_jumps(data, flags, factor, sizes, spans, strip_width(_differences(ramp), _WALKED))

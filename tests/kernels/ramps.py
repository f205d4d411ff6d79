"""Ramps with everything that can happen to a pixel, for the kernels of jump and ramp_fit."""

from __future__ import annotations

import numpy as np

from jwstsm.core import dq
from tests.builders import FakeReferences, make_ramp


def eventful_ramp(nints=2, ngroups=6, ny=12, nx=21, *, seed=1, nframes=1, groupgap=0, zeroframe=False, **keywords):
    """Return a ramp and its references.

    Rates from 0.1 to 3000 DN/s, hits, saturation, bad pixels, groups flagged for other reasons, a NaN, a pixel without
    gain and one without read noise.
    """
    rng = np.random.default_rng(seed)
    shape = (nints, ngroups, ny, nx)
    tgroup = 10.0 * (nframes + groupgap)
    rate = 10 ** rng.uniform(-1, 3.5, (ny, nx))
    gain = rng.uniform(1.5, 2.5, (ny, nx)).astype(np.float32)
    noise = rng.uniform(8, 15, (ny, nx)).astype(np.float32)
    hits = np.where(rng.random(shape) < 0.08, 10 ** rng.uniform(1, 4, shape), 0)
    steps = rng.normal(rate * tgroup, np.sqrt(rate * tgroup / gain), shape) + hits
    data = (np.cumsum(steps, axis=1) + rng.normal(0, 7, shape)).astype(np.float32)
    full = np.maximum.accumulate(data > 60000, axis=1)
    flags = np.where(full, dq.SATURATED, 0) | np.where(rng.random(shape) < 0.01, dq.DO_NOT_USE | dq.AD_FLOOR, 0)
    flags |= np.where(rng.random(shape) < 0.01, dq.PERSISTENCE, 0)
    data = np.minimum(data, 61000).astype(np.float32)
    data[0, min(1, ngroups - 1), 3, 3] = np.nan
    gain[1, 1], gain[1, 2], noise[2, 2] = np.nan, -1, 0
    words = {"NFRAMES": nframes, "GROUPGAP": groupgap, "TFRAME": 10.0, "TGROUP": tgroup}
    ramp = make_ramp(nints, ngroups, ny, nx, data=data, **(words | keywords))
    ramp.groupdq[:] = flags
    dead = rng.random((ny, nx)) < 0.03
    ramp.pixeldq[dead] = dq.DO_NOT_USE | dq.DEAD
    ramp.groupdq[:, :, dead] |= dq.DO_NOT_USE
    ramp.average_dark_current = rng.uniform(0, 0.05, (ny, nx)).astype(np.float32)
    if zeroframe:
        zero = (data[:, 0] * 10.0 / tgroup).astype(np.float32)
        ramp.zeroframe = np.where(zero > 60000, 0, zero).astype(np.float32)
    return ramp, FakeReferences({"gain": {"SCI": gain}, "readnoise": {"SCI": noise}})

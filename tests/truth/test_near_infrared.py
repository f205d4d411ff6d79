"""Near-infrared ramps of known truth through stage 1: slopes and their errors, 1/f noise, charge migration, persistence."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import ndimage

from jwstsm import tables
from jwstsm.core import dq
from jwstsm.pipeline import run_steps
from jwstsm.sim.chip import Region, build_chip
from jwstsm.sim.detector import Effects, Readout, expose
from jwstsm.sim.instruments import DETECTORS, INSTRUMENTS, frame_time_s
from tests.builders import FakeReferences, make_ramp

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

CORNER = Region(0, 0, 256, 256)
FRAME_S = frame_time_s(256, 256, 1)
QUIET = Effects(
    flicker_dn=0.0,
    common_flicker_dn=0.0,
    amplifier_drift_dn=0.0,
    odd_even_drift_dn=0.0,
    telegraph_dn=0.0,
    ipc=False,
    dark=False,
    cosmic_rays_cm2_s=0.0,
    snowballs_s=0.0,
)
WANTED = ("mask", "saturation", "superbias", "linearity", "gain", "readnoise")


def take(light, ngroups, effects=QUIET, *, nints=1, region=CORNER, outputs=1, seed=1, detector="NIS"):
    """Expose a part of a detector to a charge rate [e-/s] (times its response).

    Returns
    -------
    ramp : Ramp
    refs : References
        The exact maps of the chip, as references.
    truth : (ny, nx) ndarray
        Count rate from light [DN/s]; NaN in reference pixels and in those with any flag.
    """
    chip = build_chip(detector, region, outputs, seed=5)
    frame = frame_time_s(region.nx, region.ny, outputs)
    rate = (light * chip.response).astype(np.float32)
    exposed = expose(chip, rate, Readout(nints, ngroups, 1, 0, frame), effects, seed)
    keywords = {"NOUTPUTS": outputs, "TFRAME": frame, "TGROUP": frame, "EFFINTTM": ngroups * frame}
    keywords |= {"SUBARRAY": "FULL" if region.nx == 2048 else "SUB256"}
    keywords |= {"NINTS": nints, "NGROUPS": ngroups, "EXPSTART": 6e4}
    ramp = make_ramp(data=exposed.data, **header_of(detector), **keywords, **_window(region))
    zero, one = np.zeros_like(chip.quadratic), np.ones_like(chip.quadratic)
    noise = np.sqrt(2) * chip.read_noise / chip.gain
    content = {
        "mask": {"DQ": chip.flags},
        "saturation": {"SCI": chip.saturation_dn, "DQ": np.zeros_like(chip.flags)},
        "superbias": {"SCI": chip.bias, "DQ": np.zeros_like(chip.flags)},
        "linearity": {"COEFFS": np.stack([zero, one, chip.quadratic, chip.cubic]), "DQ": np.zeros_like(chip.flags)},
        "gain": {"SCI": chip.gain},
        "readnoise": {"SCI": noise},
    }
    others = ("dark", "ipc", "refpix", "sirskernel", "flat", "pastasoss", "pictureframe")
    truth = np.where(chip.flags == 0, rate / chip.gain, np.nan).astype(np.float64)
    return ramp, FakeReferences(content | dict.fromkeys(others)), truth


def header_of(detector):
    """Return the keywords of an image of a detector."""
    row = DETECTORS[detector]
    out = {"INSTRUME": row.instrument, "DETECTOR": detector, "EXP_TYPE": INSTRUMENTS[row.instrument].exp_type}
    return out | {"CHANNEL": row.channel, "FASTAXIS": row.fast_axis, "SLOWAXIS": row.slow_axis}


def _window(region):
    return {"SUBSTRT1": region.x0 + 1, "SUBSTRT2": region.y0 + 1, "SUBSIZE1": region.nx, "SUBSIZE2": region.ny}


def calibrate(ramp, refs, **options):
    """Run detector1; steps that are not named keep their defaults, refpix is off unless it is named."""
    steps = tables.sequence("detector1", ramp.primary)
    options = {"refpix": {"skip": True}, "gain_scale": {"skip": True}} | options
    products, _ = run_steps("detector1", ramp, refs, options, names=steps)
    return products


LOWEST_CHI = {1: 0.65, 2: 0.93, 5: 0.93, 20: 0.93}
"""Scatter over claimed error. The error of a single read is that of a difference of two (as in the official fit), which
is too large by the square root of 2 in the dark; between read noise and photon noise the least-squares fit of many groups
scatters up to 9 % more than the variances of its formula."""


@pytest.mark.parametrize("ngroups", [1, 2, 5, 20])
def test_slopes_are_unbiased_and_errors_honest_over_flux_and_groups(ngroups):
    flux = np.broadcast_to(np.geomspace(0.3, 40000.0, 256), (256, 256))
    # one read alone contains the noise of the reset, which no error accounts for
    effects = QUIET if ngroups > 1 else Effects(**{**vars(QUIET), "reset_noise_dn": 0.0})
    ramp, refs, truth = take(flux, ngroups, effects)
    found = calibrate(ramp, refs, ramp_fit={"suppress_one_group": False})["rate"]
    capacity = 55000.0 / FRAME_S  # DN/s that fill a pixel in one frame
    report = {}
    edges = [0.1, 3, 30, 300, 1500, 3000, 6000, 12000, 0.8 * capacity]
    for low, high in itertools.pairwise(edges):
        here = (truth >= low) & (truth < high) & np.isfinite(found.data)
        if here.sum() < 500:
            continue
        error, claimed = found.data[here] - truth[here], found.err[here].astype(float)
        bias, chi = error.mean(), (error / claimed).std()
        report[low] = (round(bias / truth[here].mean(), 5), round(chi, 3))
        assert abs(bias) < 4 * claimed.mean() / np.sqrt(here.sum()) + 0.004 * truth[here].mean(), (ngroups, report)
        assert LOWEST_CHI[ngroups] < chi < 1.12, (ngroups, report)
    assert len(report) >= 6
    full = truth > 1.3 * capacity
    if full.any():
        assert np.isnan(found.data[full]).all()
        assert ((found.dq[full] & dq.DO_NOT_USE) != 0).all()
        assert ((found.dq[full] & dq.SATURATED) != 0).all()


def test_pixels_that_saturate_on_the_way_keep_their_slope():
    flux = np.broadcast_to(np.geomspace(4000.0, 40000.0, 256), (256, 256))
    ramp, refs, truth = take(flux, 20)
    found = calibrate(ramp, refs)["rate"]
    some = (found.dq & dq.SATURATED) != 0
    some &= np.isfinite(found.data) & np.isfinite(truth)
    assert some.mean() > 0.3
    ratio = found.data[some] / truth[some] - 1
    assert abs(ratio.mean()) < 1e-3, ratio.mean()
    assert abs(((found.data - truth)[some] / found.err[some]).std() - 1) < 0.07


def stripes(image, truth, dark, axis=0):
    """Rms of the medians along the fast axis (y by default) of what is not light, in the units of the image."""
    residual = np.where(dark, image - truth, np.nan)
    return float(np.nanstd(np.nanmedian(residual, axis=axis)))


def test_reference_pixels_and_flicker_cleaning_each_take_stripes_away():
    region = Region(0, 0, 2048, 2048)
    effects = Effects(**{**vars(QUIET), "flicker_dn": 3.0, "common_flicker_dn": 6.0, "amplifier_drift_dn": 20.0})
    y, x = np.ogrid[:2048, :2048]
    light = 0.2 + 60.0 * np.exp(-0.5 * (((x % 128) - 64) ** 2 + ((y % 128) - 64) ** 2) / 4.0)
    rates = {}
    for name, options in (
        ("raw", {}),
        ("refpix", {"refpix": {}}),
        ("both", {"refpix": {}, "clean_flicker_noise": {"skip": False, "fit_by_channel": True}}),
    ):
        ramp, refs, truth = take(light, 3, effects, region=region, outputs=4)
        rates[name] = calibrate(ramp, refs, jump={"skip": True}, **options)["rate"].data
    dark = np.isfinite(truth) & (truth < 0.5)
    raw, reference, both = (stripes(rates[name], truth, dark) for name in ("raw", "refpix", "both"))
    assert reference < 0.6 * raw
    assert both < 0.35 * reference
    # the level of the background survives
    assert abs(np.nanmedian((rates["both"] - truth)[dark])) < 0.3 * abs(np.nanmedian((rates["raw"] - truth)[dark])) + 0.02


def test_charge_migration_gives_bright_stars_their_peaks_back():
    y, x = np.mgrid[:256, :256]
    peaks = np.linspace(2500.0, 9000.0, 16)[None, :]  # of the brightest pixel [e-/s]
    light = np.full((256, 256), 2.0)
    for column, peak in enumerate(peaks[0]):
        cx, cy = 8 + 16 * column, (y // 16) * 16 + 8
        light += peak * np.exp(-0.5 * ((x - cx) ** 2 + (y - cy) ** 2) / 0.7**2)
    effects = Effects(**{**vars(QUIET), "charge_migration": 0.08, "migration_level_e": 45000.0})
    ramp, refs, truth = take(light, 16, effects)
    plain = calibrate(ramp, refs)["rate"].data
    ramp, refs, truth = take(light, 16, effects)
    options = {"skip": False, "signal_threshold": 25000.0}
    corrected = calibrate(ramp, refs, charge_migration=options)["rate"].data
    centre = ((x % 16) == 8) & ((y % 16) == 8) & np.isfinite(truth) & np.isfinite(plain) & (truth > 3500)
    before, after = (np.median(image[centre] / truth[centre]) - 1 for image in (plain, corrected))
    assert before < -0.02
    assert abs(after) < 0.003


def test_persistence_flags_cover_what_traps_release(tmp_path):
    generator = np.random.default_rng(3)
    bright = generator.random((256, 256)) < 0.01
    first, refs, _ = take(np.where(bright, 60000.0, 5.0), 8)
    windows = str(tmp_path / "windows.asdf")
    options = {"skip": False, "persistence_time": 400, "save_persistence": windows, "persistence_dnu": True}
    saturated = calibrate(first, refs, persistence=options)["rate"]
    assert ((saturated.dq[bright] & dq.SATURATED) != 0).mean() > 0.95
    # traps give back 2 % of a full well over 200 s
    light = np.where(bright, 5.0 + 0.02 * 1e5 / 200.0, 5.0)
    faint = np.full(light.shape, 5.0)
    found = {}
    for name, given in (("off", {"skip": True}), ("on", options | {"persistence_array_file": windows})):
        ramp, refs, _ = take(light, 8, seed=2)
        ramp.primary["EXPSTART"] = 6e4 + 60 / 86400
        found[name] = calibrate(ramp, refs, persistence=given)["rate"]
    truth = take(faint, 1)[2]
    known = np.isfinite(truth)
    excess = {k: np.nanmean((v.data - truth)[known & bright]) / np.nanmean(truth[known]) for k, v in found.items()}
    assert excess["off"] > 0.5
    assert np.isfinite(found["on"].data[known & bright]).mean() < 0.05
    clean = known & ~ndimage.binary_dilation(bright, np.ones((3, 3)))  # saturation grows by a pixel
    assert np.isfinite(found["on"].data[clean]).mean() > 0.999

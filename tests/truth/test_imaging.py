"""A simulated program through our own pipelines recovers what was put in: slopes, fluxes and positions."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from astropy.table import Table

from jwstsm import tables
from jwstsm.calibrate import calibrate_exposure
from jwstsm.config import reference_types_of
from jwstsm.core.dq import DO_NOT_USE, JUMP_DET, SATURATED
from jwstsm.gather import run_association
from jwstsm.headers import parse_header
from jwstsm.products import read
from jwstsm.references import References
from jwstsm.references.select import Selector
from jwstsm.references.types import reference_types
from jwstsm.report.truth import compare_catalog
from jwstsm.sim import simulate_program
from jwstsm.sim.optics import filter_spread
from jwstsm.sim.presets import PRESETS
from jwstsm.sim.program import plan_exposures
from jwstsm.sim.psf import encircled_energy
from tests.photometry import star_ratios, stars_of

pytestmark = pytest.mark.filterwarnings("ignore")


def run(pipeline, file, out, selector):
    """Run one of our pipelines on a file of the simulated program."""
    header = parse_header(file)
    steps = tables.sequence(pipeline, header)
    files, _ = selector.select(header, reference_types([(pipeline, steps)], {s: reference_types_of(s) for s in steps}))
    paths = {k: f and selector.locate(f) for k, f in files.items() if not k.startswith("pars-")}
    return calibrate_exposure(pipeline, file, out, references=References(paths, None, selector.context))


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """Four dithers of a crowded field on a corner subarray with reference pixels, from ramps to a catalog."""
    folder = tmp_path_factory.mktemp("truth")
    (observation,) = PRESETS["medium"].observations
    observation = dataclasses.replace(observation, subarray="SUB320", aperture="SUB320")
    crowd = dataclasses.replace(PRESETS["medium"].crowd, stars_arcmin2=2500.0, star_mag=(17.5, 21.0), separation_arcsec=0.9)
    preset = dataclasses.replace(PRESETS["medium"], observations=(observation,), crowd=crowd)
    simulate_program(folder, preset, 4)
    context = next((folder / "crds_cache" / "mappings" / "jwst").glob("*.pmap")).name
    selector = Selector(context, folder / "crds_cache", server=None)
    rates, cals = [], []
    for uncal in sorted((folder / "uncal").glob("*_uncal.fits")):
        made = run("detector1", uncal, folder / "out", selector)
        rates.append(made["rate"])
        cals.append(run("image2", made["rate"], folder / "out", selector)["cal"])
    members = [{"expname": c.name, "exptype": "science"} for c in cals]
    asn = folder / "out" / "mosaic_asn.json"
    asn.write_text(json.dumps({"asn_id": "a3001", "products": [{"name": "mosaic", "members": members}]}))
    options = {"tweakreg": {"abs_refcat": str(folder / "truth" / "refcat.ecsv"), "abs_searchrad": 2.0}}
    options["tweakreg"] |= {"abs_tolerance": 0.2, "abs_minobj": 5, "abs_separation": 0.5}
    made = run_association("image3", asn, folder / "out", selector=selector, options=options)
    return {"folder": folder, "rates": rates, "mosaic": made["i2d"], "cat": made["cat"], "preset": preset}


def truth_of(program, rate):
    root = rate.name.removesuffix("_rate.fits")
    return np.load(program["folder"] / "truth" / f"{root}_truth.npz")


def test_slopes_are_unbiased_and_their_errors_are_their_scatter(program):
    """Mean deviation below 0.3 % of the slope (or 3 sigma), and chi within 10 % of 1, in bins of slope."""
    ours, truth, error = [], [], []
    for path in program["rates"]:
        slope, true = read(path), truth_of(program, path)["rate_dn_s"]
        good = (slope.dq & (DO_NOT_USE | SATURATED | JUMP_DET)) == 0
        good &= np.isfinite(slope.data) & (true > 0)
        offset = np.median((slope.data - true)[good & (true < np.percentile(true, 50))])
        ours.append((slope.data - offset)[good])
        truth.append(true[good])
        error.append(slope.err[good])
    ours, truth, error = map(np.concatenate, (ours, truth, error))
    for low, high in ((1, 10), (10, 30), (30, 100), (100, 300), (300, 1000)):
        use = (truth >= low) & (truth < high)
        if use.sum() < 50:
            continue
        deviation = (ours - truth)[use]
        mean, sigma = deviation.mean(), deviation.std() / np.sqrt(use.sum())
        assert abs(mean) < max(0.003 * truth[use].mean(), 3 * sigma), (low, mean, sigma)
        chi = np.std(deviation / error[use])
        assert 0.88 < chi < 1.12, (low, chi)


@pytest.fixture(scope="module")
def plan(program):
    """What the simulator knows of each exposure: its true camera and region."""
    return plan_exposures(program["preset"], 4)


def bright_stars(program):
    """Return the brightest 40 % of the true stars: positions [deg] and fluxes [Jy]."""
    stars = stars_of(program["folder"])
    stars = stars[stars["flux_F200W"] > np.quantile(stars["flux_F200W"], 0.6)]
    return np.asarray(stars["ra"]), np.asarray(stars["dec"]), np.asarray(stars["flux_F200W"])


def test_star_fluxes_in_calibrated_exposures_come_back_without_a_trend_across_the_field(program, plan):
    ra, dec, flux = bright_stars(program)
    ratios, columns = [], []
    for task in plan:
        cal = read(program["folder"] / "out" / f"{task.spec.file_root}_cal.fits")
        image = cal.data * cal.area * cal.sci["PIXAR_SR"] * 1e6
        x, y = task.true_camera.sky_to_pixel(ra, dec)
        x, y = x - task.region.x0, y - task.region.y0
        energy = encircled_energy(filter_spread(task.true_camera, task.spec.filter), resampled=False)
        for half in (x < 160, x >= 160):
            found = star_ratios(image, x[half], y[half], flux[half], energy)
            ratios.append(found)
            columns.append(np.full(len(found), float(half is not None and x[half].mean() > 160)))
    ratios, columns = np.concatenate(ratios), np.concatenate(columns)
    assert len(ratios) > 20
    assert np.median(ratios) == pytest.approx(1, abs=0.005)
    halves = [np.median(ratios[columns == k]) for k in (0, 1)]
    assert abs(halves[0] - halves[1]) < 0.01, halves


def test_star_fluxes_and_positions_in_the_mosaic_come_back(program, plan):
    """Fluxes within 0.5 %; positions within 0.05 pixel rms after tweakreg has taken out the injected pointing errors."""
    ra, dec, flux = bright_stars(program)
    mosaic = read(program["mosaic"])
    x, y = mosaic.wcs.invert(ra, dec, with_bounding_box=False)
    energy = encircled_energy(filter_spread(plan[0].true_camera, plan[0].spec.filter))
    ratios = star_ratios(mosaic.data * mosaic.sci["PIXAR_SR"] * 1e6, x, y, flux, energy)
    assert len(ratios) > 8
    assert np.median(ratios) == pytest.approx(1, abs=0.005)
    catalog = Table.read(program["cat"])
    offsets = []
    for star_x, star_y in zip(x, y, strict=True):
        distance = np.hypot(catalog["xcentroid"] - star_x, catalog["ycentroid"] - star_y)
        nearest = catalog[np.argmin(distance)]
        if distance.min() < 1.5 and not nearest["is_extended"]:
            offsets.append((nearest["xcentroid"] - star_x, nearest["ycentroid"] - star_y))
    offsets = np.array(offsets)
    assert len(offsets) > 10
    middle = np.median(offsets, axis=0)
    rms = 1.4826 * np.median(np.abs(offsets - middle), axis=0)
    assert (np.abs(middle) < 0.06).all(), middle
    assert (rms < 0.05).all(), rms


def test_catalog_fluxes_of_stars_come_back(program):
    """Total fluxes, from apertures of 70 % of the light and their correction, within 0.5 %."""
    compared = compare_catalog(read(program["mosaic"]), program["cat"], program["folder"] / "truth" / "sources.ecsv")
    assert abs(compared["flux_bias"]) < 0.005, compared["flux_bias"]
    assert compared["purity"] > 0.9


def test_cosmic_rays_are_found_and_few_good_groups_are_flagged(program):
    """Of hits above ten times the noise of a difference 9 in 10 are flagged; of untouched pixels fewer than 2 %."""
    found = total = false = clean = 0
    for path in program["rates"]:
        slope, truth = read(path), truth_of(program, path)
        hit = np.zeros(slope.data.shape)
        np.maximum.at(hit, (truth["cr_y"], truth["cr_x"]), truth["cr_electrons"])
        usable = (slope.dq & (DO_NOT_USE | SATURATED)) == 0
        flagged = (slope.dq & JUMP_DET) != 0
        near = np.zeros_like(flagged)
        y, x = np.nonzero(hit)
        for dy in range(-2, 3):
            for dx in range(-2, 3):
                near[np.clip(y + dy, 0, near.shape[0] - 1), np.clip(x + dx, 0, near.shape[1] - 1)] = True
        strong = usable & (hit > 500)
        found, total = found + np.sum(flagged & strong), total + strong.sum()
        untouched = usable & ~near
        false, clean = false + np.sum(flagged & untouched), clean + untouched.sum()
    assert total > 50
    assert found / total > 0.9, found / total
    assert false / clean < 0.02, false / clean

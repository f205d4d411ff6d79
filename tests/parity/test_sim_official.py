"""The official pipeline recovers the simulator's truth: slopes, fluxes and positions come back.

This judges the simulator, not our steps: it shows that ramps, headers and reference files mean to the official
package what they mean to us.
"""

from __future__ import annotations

import os
import subprocess

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from tests.parity.judge import JUDGE, crds_env, needs_judge
from tests.photometry import star_ratios, stars_of

pytestmark = [pytest.mark.parity, needs_judge, pytest.mark.filterwarnings("ignore")]

SEED = 4
DRIVER = """
import json, sys
from pathlib import Path
from jwst.pipeline import Detector1Pipeline, Image2Pipeline, Image3Pipeline

folder, out = Path(sys.argv[1]), Path(sys.argv[2])
for path in sorted((folder / "uncal").glob("*_uncal.fits")):
    Detector1Pipeline.call(str(path), output_dir=str(out), save_results=True)
    rate = out / path.name.replace("_uncal", "_rate")
    Image2Pipeline.call(str(rate), output_dir=str(out), save_results=True)
members = [{"expname": path.name, "exptype": "science"} for path in sorted(out.glob("*_cal.fits"))]
product = {"name": "mosaic", "members": members}
association = {"asn_type": "image3", "asn_id": "a3001", "asn_pool": "", "products": [product]}
(out / "asn.json").write_text(json.dumps(association))
absolute = {"abs_refcat": str(folder / "truth/refcat.ecsv"), "abs_searchrad": 2.0, "abs_tolerance": 0.2}
absolute |= {"abs_minobj": 5, "abs_separation": 0.5}
Image3Pipeline.call(str(out / "asn.json"), output_dir=str(out), save_results=True, steps={"tweakreg": absolute})
"""


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """Four dithers of a corner subarray with reference pixels, through detector1, image2 and image3."""
    import dataclasses

    from jwstsm.sim import simulate_program
    from jwstsm.sim.presets import PRESETS
    from jwstsm.sim.program import plan_exposures

    folder, out = (tmp_path_factory.mktemp(name) for name in ("program", "official"))
    (observation,) = PRESETS["medium"].observations
    observation = dataclasses.replace(observation, subarray="SUB320", aperture="SUB320")
    crowd = dataclasses.replace(PRESETS["medium"].crowd, stars_arcmin2=2500.0, star_mag=(17.5, 21.0), separation_arcsec=0.9)
    preset = dataclasses.replace(PRESETS["medium"], observations=(observation,), crowd=crowd)
    simulate_program(folder, preset, SEED)
    done = subprocess.run(
        [str(JUDGE), "-c", DRIVER, str(folder), str(out)],
        env=os.environ | crds_env(folder),
        cwd=out,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder, out, plan_exposures(preset, SEED)


def test_slopes_are_unbiased_and_errors_honest(judged):
    folder, out, tasks = judged
    chip = np.load(folder / "truth" / "nrcb1_sub320_chip.npz")
    difference, error, truth = [], [], []
    for task in tasks:
        root = task.spec.file_root
        with fits.open(out / f"{root}_rate.fits") as hdus:
            good = (hdus["DQ"].data == 0) & np.isfinite(hdus["SCI"].data) & (chip["flags"] == 0)
            true = np.load(folder / "truth" / f"{root}_truth.npz")["rate_dn_s"]
            residual = hdus["SCI"].data - true
            # what the few reference pixels leave of the amplifiers' drift is common to all pixels
            residual = residual - np.median(residual[good])
            difference.append(residual[good])
            error.append(hdus["ERR"].data[good])
            truth.append(true[good])
    difference, error, truth = (np.concatenate(a).astype(float) for a in (difference, error, truth))
    report = {}
    for low, high in ((0, 1), (3, 10), (10, 30), (30, 100), (100, 1000)):
        here = (truth >= low) & (truth < high)
        mean = difference[here].mean()
        report[f"{low}-{high}"] = (mean / truth[here].mean(), (difference[here] / error[here]).std())
        assert abs(mean) < 5 * error[here].mean() / np.sqrt(here.sum()) + 1e-3 * truth[here].mean() + 0.02, report
        assert report[f"{low}-{high}"][1] == pytest.approx(1, abs=0.12), report


def test_bad_pixels_of_the_chip_are_the_flags_of_the_product(judged):
    from jwstsm.core import dq

    folder, out, tasks = judged
    flags = np.load(folder / "truth" / "nrcb1_sub320_chip.npz")["flags"]
    product = fits.getdata(out / f"{tasks[0].spec.file_root}_cal.fits", "DQ")
    for name in ("DEAD", "HOT", "WARM", "LOW_QE", "RC", "OPEN", "ADJ_OPEN", "REFERENCE_PIXEL", "TELEGRAPH"):
        bit = dq.FLAGS[name].value
        np.testing.assert_array_equal((product & bit) != 0, (flags & bit) != 0, err_msg=name)


def test_star_fluxes_and_positions_in_calibrated_exposures(judged):
    from jwstsm.sim.optics import filter_spread
    from jwstsm.sim.psf import encircled_energy

    folder, out, tasks = judged
    stars = stars_of(folder)
    stars = stars[stars["flux_F200W"] > np.quantile(stars["flux_F200W"], 0.6)]
    ratios = []
    for task in tasks:
        with fits.open(out / f"{task.spec.file_root}_cal.fits") as hdus:
            image = hdus["SCI"].data * hdus["AREA"].data * hdus["SCI"].header["PIXAR_SR"] * 1e6
        x, y = task.true_camera.sky_to_pixel(stars["ra"], stars["dec"])
        x, y = x - task.region.x0, y - task.region.y0
        spread = filter_spread(task.true_camera, task.spec.filter)
        ratios.append(star_ratios(image, x, y, stars["flux_F200W"], encircled_energy(spread, resampled=False)))
    ratios = np.concatenate(ratios)
    assert len(ratios) > 20
    assert np.median(ratios) == pytest.approx(1, abs=0.005)


def test_official_wcs_of_the_header_is_ours(judged):
    import io

    import asdf

    _, out, tasks = judged
    x, y = (a.ravel() for a in np.meshgrid(np.linspace(0, 319, 9), np.linspace(0, 319, 9)))
    for task in tasks:
        with fits.open(out / f"{task.spec.file_root}_cal.fits") as hdus:
            block = hdus["ASDF"].data["ASDF_METADATA"].tobytes()
        with asdf.open(io.BytesIO(block)) as tree:
            ra, dec = tree["meta"]["wcs"](x, y, with_bounding_box=False)
        expected_ra, expected_dec = task.spec.camera.pixel_to_sky(x + task.region.x0, y + task.region.y0)
        np.testing.assert_allclose((ra - expected_ra) * np.cos(np.radians(dec)) * 3.6e6, 0, atol=0.01)
        np.testing.assert_allclose((dec - expected_dec) * 3.6e6, 0, atol=0.01)


def test_mosaic_has_the_stars_where_and_as_bright_as_they_are(judged):
    from astropy.wcs import WCS

    from jwstsm.sim.optics import filter_spread
    from jwstsm.sim.psf import encircled_energy

    folder, out, tasks = judged
    catalog = Table.read(out / "mosaic_cat.ecsv")
    stars = stars_of(folder)
    with fits.open(out / "mosaic_i2d.fits") as hdus:
        header, image = hdus["SCI"].header, hdus["SCI"].data
    x, y = WCS(header).all_world2pix(stars["ra"], stars["dec"], 0)
    spread = filter_spread(tasks[0].true_camera, tasks[0].spec.filter)
    bright = np.asarray(stars["flux_F200W"] > np.quantile(stars["flux_F200W"], 0.6))
    ratios = star_ratios(
        image * header["PIXAR_SR"] * 1e6,
        x[bright],
        y[bright],
        np.asarray(stars["flux_F200W"])[bright],
        encircled_energy(spread),
    )
    assert np.median(ratios) == pytest.approx(1, abs=0.005)
    offsets = []
    for star_x, star_y in zip(x[bright], y[bright], strict=True):
        distance = np.hypot(catalog["xcentroid"] - star_x, catalog["ycentroid"] - star_y)
        nearest = catalog[np.argmin(distance)]
        if distance.min() < 1.5:
            offsets.append((nearest["xcentroid"] - star_x, nearest["ycentroid"] - star_y))
    offsets = np.array(offsets)
    middle = np.median(offsets, axis=0)
    spread = 1.4826 * np.median(np.abs(offsets - middle), axis=0)
    assert len(offsets) > 10
    assert np.abs(middle).max() < 0.1
    assert spread.max() < 0.1

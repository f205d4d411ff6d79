"""Masks of sources projected from a mosaic on its exposures."""

from __future__ import annotations

import numpy as np
from astropy.io import fits

from jwstsm import cli
from jwstsm.core.frames import Stage3Inputs
from jwstsm.masks import project_sources
from jwstsm.products.fitsio import write
from jwstsm.stage3.resample import resample
from tests.unit.stage3.dithers import exposures, star_list


def test_sources_fall_where_the_exposure_has_them():
    """Where the mosaic is bright each exposure is masked, whatever its shift; elsewhere next to nothing is."""
    frames = exposures(4, noise=0.01, stars=star_list(6, 30))
    mosaic = resample(Stage3Inputs(frames), rotation=20.0)
    sources = mosaic.data > 0.5
    for frame in frames:
        background = project_sources(sources, mosaic.wcs, frame.wcs, frame.shape, grow=1)
        light = frame.read("data")
        assert not background[light > 1.0].any()
        assert background[light < 0.05].mean() > 0.95
        assert 0 < (~background).sum() < 0.5 * background.size


def test_where_the_mosaic_does_not_reach_is_background():
    frames = exposures(1, noise=0.01)
    mosaic = resample(Stage3Inputs(frames), output_shape=[20, 20])
    background = project_sources(np.ones((20, 20), bool), mosaic.wcs, frames[0].wcs, frames[0].shape, grow=0)
    assert 300 < (~background).sum() < 500


def test_the_command_writes_a_mask_for_each_exposure_under_its_name(tmp_path):
    frame = exposures(1, noise=0.01, stars=star_list(6, 30))[0]
    mosaic = resample(Stage3Inputs([frame]))
    for name, data in (("m_segm.fits", (mosaic.data > 0.5).astype(np.float32)), ("jw1_nrcb1_a3001_crf.fits", mosaic.data)):
        mosaic.data = data
        write(mosaic, tmp_path / name, "i2d")
    files = [str(tmp_path / n) for n in ("m_segm.fits", "jw1_nrcb1_a3001_crf.fits")]
    assert cli.main(["mask", *files, "--output-dir", str(tmp_path / "masks")]) == 0
    mask = fits.getdata(tmp_path / "masks" / "jw1_nrcb1_mask.fits", "SCI")
    assert mask.shape == mosaic.data.shape
    assert set(np.unique(mask)) == {0, 1}

"""NIRISS and FGS in the simulator: headers, windows, timing and references as the archive and CRDS have them."""

from __future__ import annotations

import dataclasses

import asdf
import numpy as np
import pytest
from astropy.io import fits

from jwstsm.sim.presets import PRESETS, Observation, Preset
from jwstsm.sim.program import plan_exposures, simulate_program

ACQUISITION = Observation(
    (("GUIDER1", "FGS"),),
    "128X128",
    readpatt="ACQ1",
    ngroups=2,
    nints=3,
    outputs=1,
    exp_type="FGS_ACQ1",
    window=(1018, 841, 128, 128),
)
AMI = PRESETS["niriss"].observations[1]


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """An interferometric exposure of NIRISS and a guide-star acquisition."""
    folder = tmp_path_factory.mktemp("niriss")
    ami = dataclasses.replace(AMI, ngroups=3, nints=2)
    return simulate_program(folder, Preset((ami, ACQUISITION), crowd=PRESETS["niriss"].crowd), seed=2)


def header_of(program, detector):
    (path,) = [p for p in program.uncal if detector in p.name]
    return fits.getheader(path), fits.getheader(path, "SCI")


def test_headers_name_the_wheels_the_window_and_the_type(program):
    nis, _ = header_of(program, "nis")
    assert [nis[k] for k in ("EXP_TYPE", "FILTER", "PUPIL", "SUBARRAY")] == ["NIS_AMI", "F480M", "NRM", "SUB80"]
    assert [nis[k] for k in ("SUBSTRT1", "SUBSTRT2", "SUBSIZE1", "SUBSIZE2")] == [925, 1969, 80, 80]
    assert nis["TFRAME"] == pytest.approx(0.07544)
    assert "MODULE" not in nis
    assert "CHANNEL" not in nis
    star, science = header_of(program, "guider1")
    assert (star["SUBSTRT1"], star["SUBSTRT2"], star["TGROUP"]) == (1018, 841, pytest.approx(2 * star["TFRAME"]))
    assert "FILTER" not in star
    assert science["NAXIS1"] == 128


def test_frame_time_of_a_strip_counts_rows_along_the_fast_axis():
    strip = plan_exposures(PRESETS["niriss"], 1)[-1].spec
    assert strip.aperture.shape == (256, 2048)
    assert strip.aperture.corner == (1, 1793)
    assert strip.readout.frame_s == pytest.approx(5.494)


def test_official_data_models_open_the_files_strictly(program):
    from stdatamodels.jwst import datamodels

    for path in program.uncal:
        with datamodels.open(path, strict_validation=True) as model:
            model.validate()


def test_references_are_found_by_what_crds_knows_of_the_instrument(program):
    files = program.crds_cache / "references" / "jwst"
    photom = fits.getdata(next((files / "fgs").glob("*_photom_*")), "PHOTOM")
    assert photom.dtype.names == ("photmjsr", "uncertainty")
    photom = fits.getdata(next((files / "niriss").glob("*_photom_*")), "PHOTOM")
    assert (photom["filter"] == "F480M")[photom["pupil"] == "NRM"].any()
    assert not list((files / "fgs").glob("*filteroffset*"))
    dark = fits.getheader(next((files / "niriss").glob("*_dark_*")))
    assert dark["READPATT"] == "NISRAPID"
    with asdf.open(next((files / "niriss").glob("*_distortion_*"))) as tree:
        x, y = tree["model"].inverse(*tree["model"](100.0, 1900.0))
        np.testing.assert_allclose([x, y], [100.0, 1900.0], atol=2e-3)

"""The reference files of a simulated program."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

from jwstsm.core import dq
from jwstsm.sim.chip import Region, build_chip

MODELS = {
    "mask": "MaskModel",
    "saturation": "SaturationModel",
    "superbias": "SuperBiasModel",
    "dark": "DarkModel",
    "linearity": "LinearityModel",
    "gain": "GainModel",
    "readnoise": "ReadnoiseModel",
    "ipc": "IPCModel",
    "flat": "FlatModel",
    "area": "PixelAreaModel",
    "photom": "NrcImgPhotomModel",
    "apcorr": "NrcImgApcorrModel",
    "abvegaoffset": "ABVegaOffsetModel",
    "filteroffset": "FilteroffsetModel",
    "distortion": "DistortionModel",
    "sirskernel": "SIRSKernelModel",
}


def _files(program, reftype):
    return sorted((program.crds_cache / "references/jwst/nircam").glob(f"jwst_nircam_{reftype}_*"))


@pytest.mark.parametrize("reftype", MODELS)
def test_reference_files_pass_the_official_models_strictly(program, reftype):
    datamodels = pytest.importorskip("stdatamodels.jwst.datamodels")
    paths = _files(program, reftype)
    assert paths
    for path in paths:
        with getattr(datamodels, MODELS[reftype])(path, strict_validation=True) as model:
            model.validate()
            assert model.meta.reftype.lower() == reftype


@pytest.mark.parametrize("reftype", ["mask", "saturation", "superbias", "dark", "flat"])
def test_quality_planes_speak_bits_of_their_own_and_translate_back(program, reftype):
    for path in _files(program, reftype):
        with fits.open(path) as hdus:
            coded, table, header = hdus["DQ"].data, hdus["DQ_DEF"].data, hdus[0].header
        region = Region(header["SUBSTRT1"] - 1, header["SUBSTRT2"] - 1, header["SUBSIZE1"], header["SUBSIZE2"])
        chip = build_chip(header["DETECTOR"], region, 1, 5)
        names = {str(row["NAME"]) for row in table}
        mask = sum(dq.FLAGS[name].value for name in names - {"DO_NOT_USE", "UNRELIABLE_FLAT"})
        np.testing.assert_array_equal(dq.translate(coded, table) & mask, chip.flags & mask)
        for row in table:
            assert row["VALUE"] == 1 << row["BIT"]
    if reftype == "mask":
        assert (coded != dq.translate(coded, table)).any()


def test_dark_reference_is_the_dark_current_in_single_frames(program):
    for path in _files(program, "dark"):
        with fits.open(path) as hdus:
            header, ramp = hdus[0].header, hdus["SCI"].data
        region = Region(header["SUBSTRT1"] - 1, header["SUBSTRT2"] - 1, header["SUBSIZE1"], header["SUBSIZE2"])
        chip = build_chip(header["DETECTOR"], region, 1, 5)
        assert len(ramp) == header["NGROUPS"]
        np.testing.assert_allclose(ramp[2], 3 * header["TFRAME"] * chip.dark / chip.gain, rtol=1e-5)


def test_ipc_kernel_undoes_the_coupling(program):
    (path,) = _files(program, "ipc")
    kernel = fits.getdata(path, "SCI").astype(float)
    alpha = build_chip("NRCBLONG", Region(0, 0, 8, 8), 1, 5).ipc
    coupling = np.zeros((3, 3))
    coupling[1] = coupling[:, 1] = alpha
    coupling[1, 1] = 1 - 4 * alpha
    point = np.zeros((11, 11))
    point[4:7, 4:7] = coupling
    restored = sum(kernel[j, i] * np.roll(point, (j - 2, i - 2), (0, 1)) for j in range(5) for i in range(5))
    expected = np.zeros((11, 11))
    expected[5, 5] = 1
    np.testing.assert_allclose(restored, expected, atol=2e-6)


def test_inverse_linearity_inverts(program):
    found = 0
    for path in _files(program, "linearity"):
        with fits.open(path) as hdus:
            if "INV_COEFFS" not in hdus:
                continue
            forward, backward = hdus["COEFFS"].data.astype(float), hdus["INV_COEFFS"].data.astype(float)
        found += 1
        valid = forward[1] == 1
        for counts in (100.0, 10000.0, 30000.0, 43000.0):
            linear = sum(c * counts**k for k, c in enumerate(forward))
            measured = sum(c * linear**k for k, c in enumerate(backward))
            np.testing.assert_allclose(measured[valid], counts, atol=2.0)
    assert found == 1


def test_aperture_corrections_are_those_of_the_point_spread(program):
    (path,) = _files(program, "apcorr")
    table = fits.getdata(path, "APCORR")
    assert set(np.char.strip(table["filter"])) == {"F444W", "F200W"}
    for name in ("F444W", "F200W"):
        rows = table[table["filter"] == name]
        assert (np.diff(rows["radius"]) > 0).all()
        assert (rows["apcorr"] * rows["eefraction"] >= 1).all()
        assert (rows["apcorr"] * rows["eefraction"] < 1.1).all()

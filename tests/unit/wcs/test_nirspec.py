"""NIRSpec images: through the real optics to the sky and back; without a sky to the shutters."""

from __future__ import annotations

import numpy as np
import pytest

from jwstsm.errors import ReferenceError_
from jwstsm.stage2.assign_wcs import assign_wcs
from jwstsm.wcs import codec, modes
from jwstsm.wcs.model import Wcs
from jwstsm.wcs.nirspec import EXPOSURES, spectral_range, wheel_angles
from jwstsm.wcs.sphere import CosinesToPlane, PlaneToCosines, WheelRotation
from jwstsm.wcs.transforms import Polynomial1D
from tests.unit.wcs.nirspec_case import POINTING, image, needs_optics, optics

GRID = np.meshgrid(*2 * [np.linspace(0, 2047, 7)])


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return optics(tmp_path_factory.mktemp("optics"))


@needs_optics
@pytest.mark.parametrize("detector", ["NRS1", "NRS2"])
def test_pixels_go_to_the_sky_and_back(files, detector):
    """The field of NIRSpec's detectors is within 3 arcmin of the reference point; pixels are 0.1 arcsec."""
    made = assign_wcs(*image(files, DETECTOR=detector))
    ra, dec = made.wcs(*GRID, with_bounding_box=False)
    away = np.hypot((ra - POINTING["RA_REF"]) * np.cos(np.radians(dec)), dec - POINTING["DEC_REF"]) * 3600
    assert away.max() < 400
    step = np.hypot((np.diff(ra) * np.cos(np.radians(dec[:, 1:]))), np.diff(dec)) * 3600 / np.diff(GRID[0])
    assert step.min() > 0.095
    assert step.max() < 0.115
    x, y = made.wcs.invert(ra, dec, with_bounding_box=False, refine=True)
    np.testing.assert_allclose([x, y], GRID, atol=1e-6)
    assert made.sci["S_REGION"].startswith("POLYGON ICRS")
    assert made.sci["SPORDER"] == 0


@needs_optics
def test_detectors_lie_side_by_side(files):
    """The second is read upside down, and the gap between them is 150 to 200 pixels of sky."""
    ends = []
    for detector in ("NRS1", "NRS2"):
        ra, dec = assign_wcs(*image(files, DETECTOR=detector)).wcs(np.array([0.0, 2047.0]), np.array([1024.0, 1024.0]))
        ends.append(np.stack([ra * np.cos(np.radians(27.8)), dec]) * 3600)
    gaps = [np.hypot(*(ends[0][:, i] - ends[1][:, j])) / 0.105 for i in (0, 1) for j in (0, 1)]
    assert 100 < min(gaps) < 250


@needs_optics
def test_a_window_sees_what_that_part_of_the_detector_sees(files):
    whole = assign_wcs(*image(files)).wcs
    part = assign_wcs(*image(files, 64, EXP_TYPE="NRS_TACQ", SUBSTRT1=513, SUBSTRT2=201)).wcs
    np.testing.assert_allclose(part(3.0, 5.0), whole(515.0, 205.0), atol=1e-12)


@needs_optics
def test_a_tilt_of_the_wheel_moves_the_image_and_a_missing_reading_does_not(files):
    """The readings of the reference's zero change nothing; others do."""
    zero = {"GWA_XTIL": 0.336739093065, "GWA_YTIL": 0.0333843045}
    at_zero = np.array(assign_wcs(*image(files, **zero)).wcs(1000.0, 1000.0))
    slope, refs = image(files)
    del slope.primary["GWA_XTIL"], slope.primary["GWA_YTIL"]
    np.testing.assert_allclose(assign_wcs(slope, refs).wcs(1000.0, 1000.0), at_zero, atol=1e-13)
    moved = np.array(assign_wcs(*image(files, GWA_XTIL=0.36)).wcs(1000.0, 1000.0))
    assert 1e-3 < np.hypot(*(moved - at_zero)) * 3600 < 10


@needs_optics
def test_behind_a_closed_filter_there_are_only_the_shutters(files):
    made = assign_wcs(*image(files, FILTER="OPAQUE", LAMP="TEST", EXP_TYPE="NRS_CONFIRM"))
    x, y, wavelength = made.wcs(1024.0, 1024.0)
    assert made.wcs.output_frame.name == "msa"
    assert max(abs(x), abs(y)) < 0.1
    assert wavelength == pytest.approx(2.95)
    assert "S_REGION" not in made.sci


@needs_optics
def test_the_chain_survives_storage(files):
    wcs = assign_wcs(*image(files)).wcs
    back = Wcs.from_tree(wcs.to_tree())
    assert back.available_frames == wcs.available_frames
    assert back(100.0, 200.0) == wcs(100.0, 200.0)
    assert back.bounding_box == wcs.bounding_box


@needs_optics
def test_a_missing_reference_is_named(files):
    slope, refs = image(files | {"collimator": None})
    with pytest.raises(ReferenceError_, match="collimator"):
        assign_wcs(slope, refs)


def test_all_types_of_images_are_known():
    assert set(EXPOSURES) <= set(modes.BUILDERS)


def test_wheel_rotations_keep_lengths_and_undo_each_other():
    rotation = WheelRotation([0.3, -0.2, 0.1, 24.0], "xyzy")
    u = PlaneToCosines()(np.array([0.1, -0.2]), np.array([0.05, 0.3]))
    turned = rotation(*u)
    np.testing.assert_allclose(sum(v**2 for v in turned), 1, rtol=1e-14)
    np.testing.assert_allclose(CosinesToPlane()(*rotation.inverse(*turned)), ([0.1, -0.2], [0.05, 0.3]), atol=1e-14)
    for transform in (rotation, PlaneToCosines(), CosinesToPlane()):
        assert type(codec.from_tree(codec.to_tree(transform))) is type(transform)


def test_readings_become_half_their_angle_about_the_other_axis():
    tilt = {"tilt_model": codec.to_tree(Polynomial1D([0.0, 7200.0])), "zeroreadings": [0.25]}
    disperser = {"theta_x": 1.0, "theta_y": 2.0, "theta_z": 3.0, "tilt_y": 4.0, "gwa_tiltx": tilt, "gwa_tilty": tilt}
    assert wheel_angles(disperser, 0.5, None) == pytest.approx([1.0, 2.25, 3.0, 4.0])
    assert wheel_angles(disperser, None, 0.75) == pytest.approx([1.5, 2.0, 3.0, 4.0])


def test_the_range_of_another_filter_with_the_same_grating_serves():
    table = {
        "waverange_selector": ["A_MIRROR", "B_PRISM"],
        "order": [0, 1],
        "wavelengthrange": [[1e-6, 2e-6], [3e-6, 4e-6]],
    }
    assert spectral_range(table, "A", "MIRROR") == (0, (1e-6, 2e-6))
    assert spectral_range(table, "X", "PRISM") == (1, (3e-6, 4e-6))
    assert spectral_range(table, "X", "G395H") == (-1, (0.6e-6, 5.3e-6))

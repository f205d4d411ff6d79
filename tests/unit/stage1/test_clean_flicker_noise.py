"""clean_flicker_noise takes row stripes out of the groups and leaves sky and sources."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

from jwstsm.core import scratch
from jwstsm.core.dq import DO_NOT_USE, JUMP_DET, NON_SCIENCE
from jwstsm.errors import InputError
from jwstsm.products import read, write
from jwstsm.stage1._flicker_autoparam import AUTO_LIMITS, Measures, decide
from jwstsm.stage1.clean_flicker_noise import clean_flicker_noise
from jwstsm.step import Skipped
from tests.builders import FakeReferences, make_ramp


def striped(ny=64, nx=64):
    """Return a ramp with a flat sky, a source, white noise and stripes along the fast axis; and the stripes."""
    made = make_ramp(1, 5, ny, nx, FASTAXIS=-1, SLOWAXIS=2)
    rng = np.random.default_rng(8)
    stripes = rng.normal(0, 2, (5, ny, 1))
    image = np.full((ny, nx), 3.0)
    image[30:34, 20:24] = 400.0
    made.data[0] = image * np.arange(5).reshape(-1, 1, 1) + rng.normal(0, 2, (5, ny, nx)) + stripes
    return made, image


def references(ny=64, nx=64):
    ones = np.ones((ny, nx), np.float32)
    return FakeReferences({"flat": None, "gain": {"SCI": 2 * ones}, "readnoise": {"SCI": 4 * ones}, "pastasoss": None})


def row_scatter(ramp):
    """Return the scatter from row to row of the differences of groups."""
    differences = np.diff(ramp.data[0, :, :, 40:].astype(float), axis=0)
    return float(np.std(differences.mean(axis=2) - differences.mean(axis=(1, 2))[:, None]))


def test_stripes_go_and_the_sky_stays():
    made, image = striped()
    before = row_scatter(made)
    out = clean_flicker_noise(made, references())
    assert before > 2
    assert row_scatter(out) < 0.4 * before
    sky = np.diff(out.data[0, :, :, 40:].astype(float), axis=0).mean()
    assert sky == pytest.approx(image[0, 0], abs=0.5)
    source = np.diff(out.data[0, :, 30:34, 20:24].astype(float), axis=0).mean()
    assert source == pytest.approx(400, abs=8)


def test_the_fourier_fit_is_for_spectrographs_only():
    made, _ = striped()
    before = made.data.copy()
    out = clean_flicker_noise(made, references(), fit_method="fft")
    assert isinstance(out, Skipped)
    assert "fft" in out.reason
    np.testing.assert_array_equal(made.data, before)


MIRI = {"INSTRUME": "MIRI", "DETECTOR": "MIRIMAGE", "EXP_TYPE": "MIR_IMAGE", "FASTAXIS": 1, "SLOWAXIS": 2}
NIRSPEC = {"INSTRUME": "NIRSPEC", "DETECTOR": "NRS1", "EXP_TYPE": "NRS_FIXEDSLIT", "FASTAXIS": 2, "SLOWAXIS": 1}


def plain(ny=32, nx=40, nints=1, ngroups=4, seed=0, **keywords):
    """Return a ramp of white noise about a slope of 5 DN per group, without stripes."""
    made = make_ramp(nints, ngroups, ny, nx, **keywords)
    rng = np.random.default_rng(seed)
    made.data[:] = 5 * np.arange(ngroups).reshape(1, -1, 1, 1) + rng.normal(0, 1, made.data.shape)
    return made


def save_mask(path, mask):
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(mask.astype("u1"), name="SCI")]).writeto(path)
    return str(path)


def test_the_first_group_stays_and_differences_lose_the_median_of_their_lines(tmp_path):
    made = plain()
    before = made.data.copy()
    mask = save_mask(tmp_path / "mask.fits", np.ones((32, 40)))
    out = clean_flicker_noise(made, references(), user_mask=mask, background_method=None)
    change = np.diff(before[0], axis=0)
    expected = before[0, 0] + np.cumsum(change - np.median(change, axis=2, keepdims=True), axis=0)
    np.testing.assert_array_equal(out.data[0, 0], before[0, 0])
    np.testing.assert_allclose(out.data[0, 1:], expected, atol=1e-4)


def test_each_exposure_takes_the_mask_of_its_own_name_or_makes_one(tmp_path, caplog):
    """A pattern with a file gives what the file itself gives; without one what no mask gives, with a warning."""

    def run(mask):
        made = plain()
        made.data[0, 1:] += np.random.default_rng(1).normal(0, 20, (3, 32, 40))[: made.data.shape[1] - 1]
        made.path = tmp_path / "jw1_nis_uncal.fits"
        return clean_flicker_noise(made, references(), user_mask=mask).data

    wanted = np.ones((32, 40))
    wanted[:, 10:30] = 0
    mask = save_mask(tmp_path / "jw1_nis_mask.fits", wanted)
    own = run(str(tmp_path / "{exposure}_mask.fits"))
    assert np.array_equal(own, run(mask))
    assert not np.array_equal(own, run(None))
    assert np.array_equal(run(str(tmp_path / "{exposure}_none.fits")), run(None))
    assert "jw1_nis_none.fits; one is made" in caplog.text


@pytest.mark.parametrize(("keywords", "axis"), [({}, 2), (NIRSPEC, 1), (MIRI, 1)])
def test_lines_run_along_the_fast_axis_and_in_miri_along_y(tmp_path, keywords, axis):
    made = plain(**keywords)
    shape = [3, 32, 40]
    shape[axis] = 1
    made.data[0, 1:] += np.random.default_rng(1).normal(0, 20, shape)
    mask = save_mask(tmp_path / "mask.fits", np.ones((32, 40)))
    out = clean_flicker_noise(made, references(), user_mask=mask, background_method=None)
    assert np.std(np.diff(out.data[0], axis=0).mean(axis=axis)) < 1.0


def test_jumps_bad_pixels_and_nan_are_inert_and_nan_stays(tmp_path):
    mask = save_mask(tmp_path / "mask.fits", np.ones((32, 40)))
    clean, spoilt = plain(), plain()
    for made in (clean, spoilt):
        made.groupdq[0, 2, 5, :8] = JUMP_DET
        made.groupdq[0, :, 6, :8] = DO_NOT_USE
        made.data[0, 2, 7, 3] = np.nan
    spoilt.data[0, 2:, 5, :8] += 1e4
    spoilt.data[0, 1:, 6, :8] += 1e4
    first, second = (clean_flicker_noise(m, references(), user_mask=mask).data for m in (clean, spoilt))
    same = np.ones(first.shape, bool)
    same[0, 1:, 5:7, :8] = False
    np.testing.assert_allclose(first[same], second[same], atol=2e-3)  # 10000 DN are known to 0.001 DN
    # once a group is NaN, the groups after it stand on it; only the difference itself is known
    assert np.isnan(first[0, 2:, 7, 3]).all()
    assert np.isfinite(np.delete(first.reshape(-1, 32 * 40), 7 * 40 + 3, axis=1)).all()


def test_a_group_without_background_stays_as_it_is(tmp_path):
    made = plain()
    made.groupdq[0, 2] = DO_NOT_USE
    before = made.data.copy()
    out = clean_flicker_noise(made, references(), user_mask=save_mask(tmp_path / "m.fits", np.ones((32, 40))))
    np.testing.assert_array_equal(out.data[0, 2], before[0, 2])
    assert (out.data[0, 3] != before[0, 3]).any()


def test_what_is_asked_for_is_made_beside_the_ramp(tmp_path):
    made, _ = striped()
    before = made.data.copy()
    out = clean_flicker_noise(made, references(), save_mask=True, save_noise=True, save_background=True)
    assert list(out) == ["ramp", "mask", "flicker_bkg", "flicker_noise"]
    assert not out["mask"].data[30:34, 20:24].any()
    assert out["mask"].data.mean() > 0.9
    np.testing.assert_allclose(out["flicker_noise"].data, out["ramp"].data - before, atol=1e-4)
    assert np.median(out["flicker_bkg"].data[0, 1:]) == pytest.approx(3, abs=0.5)
    assert (out["flicker_bkg"].data[0, 0] == 0).all()
    for suffix in list(out)[1:]:
        again = read(write(out[suffix], tmp_path / f"a_{suffix}.fits"))
        assert again.data.shape == out[suffix].data.shape


def test_each_integration_can_have_its_own_mask():
    made, _ = striped()
    moving = make_ramp(2, 5, 64, 64, FASTAXIS=-1, SLOWAXIS=2)
    moving.data[:] = made.data
    moving.data[1] = moving.data[1][:, :, ::-1]
    own = clean_flicker_noise(moving, references(), single_mask=False, save_mask=True)["mask"].data
    assert own.shape == (2, 64, 64)
    assert not own[0, 30:34, 20:24].any()
    assert not own[1, 30:34, 40:44].any()
    assert own[0, 30:34, 40:44].mean() > 0.8


def test_the_median_of_integrations_serves_as_background():
    rng = np.random.default_rng(3)
    made = make_ramp(9, 3, 64, 64, FASTAXIS=-1, SLOWAXIS=2)
    scene = rng.gamma(1, 200, (64, 64))
    stripes = rng.normal(0, 5, (9, 3, 64, 1))
    made.data[:] = 100 + scene * np.arange(1, 4).reshape(1, -1, 1, 1) + stripes + rng.normal(0, 1, made.data.shape)
    out = clean_flicker_noise(made, references(), background_method="median_image", n_sigma=0)
    left = (out.data - np.median(out.data, axis=0)).mean(axis=3)
    assert np.std(left - left.mean(axis=2, keepdims=True)) < 1.0  # of 5 DN, the first group included
    single = make_ramp(1, 3, 64, 64)
    assert isinstance(clean_flicker_noise(single, references(), background_method="median_image"), Skipped)


def test_time_series_need_a_light_curve_for_that():
    made = plain(nints=2, INSTRUME="NIRCAM", EXP_TYPE="NRC_TSIMAGE")
    with pytest.raises(InputError, match="light curve"):
        clean_flicker_noise(made, references(32, 40), background_method="median_image")


def test_the_flat_is_divided_out_for_the_fit_only():
    rng = np.random.default_rng(5)
    made, _ = striped()
    flat = rng.uniform(0.5, 1.5, (64, 64)).astype(np.float32)
    stripes = rng.uniform(-9, 9, (4, 64, 1))
    made.data[0] = 0
    made.data[0, 1:] = np.cumsum((50 + stripes) * flat + rng.normal(0, 0.1, (4, 64, 64)), axis=0)
    given = references()
    given._files["flat"] = "flat"
    given._open["flat"] = FakeReferences({"flat": {"SCI": flat}})["flat"]
    out = clean_flicker_noise(made, given, apply_flat_field=True, n_sigma=0)
    change = np.diff(out.data[0], axis=0)
    assert np.std(change / flat, axis=(1, 2)).max() < 1.0
    assert np.std(change, axis=(1, 2)).min() > 10


@pytest.mark.parametrize(
    ("exp_type", "instrument"),
    [("NRS_IFU", "NIRSPEC"), ("NRS_MSASPEC", "NIRSPEC"), ("NRS_FIXEDSLIT", "NIRSPEC"), ("NRS_BRIGHTOBJ", "NIRSPEC")],
)
def test_slits_and_slices_need_world_coordinates(exp_type, instrument):
    made = plain(INSTRUME=instrument, EXP_TYPE=exp_type, FASTAXIS=2, SLOWAXIS=1)
    with pytest.raises(InputError, match=r"slits or slices.*mask_science_regions: false.*user_mask"):
        clean_flicker_noise(made, references(32, 40), mask_science_regions=True)


def test_soss_traces_are_masked_where_the_pupil_wheel_puts_them():
    x = np.linspace(0, 39, 11)
    tree = {
        "meta": {"pwcpos_bounds": [245.4, 246.1], "pwcpos_cmd": 245.76, "subarray_ymin": 1792},
        "traces": [{"trace": np.stack((x, 40 + 0.1 * x), axis=1), "pivot_x": 20.0, "pivot_y": 42.0}],
    }
    given = references(96, 40)
    given._files["pastasoss"] = "pastasoss"
    given._open["pastasoss"] = FakeReferences({"pastasoss": {"tree": tree}})["pastasoss"]
    keywords = {"INSTRUME": "NIRISS", "EXP_TYPE": "NIS_SOSS", "FASTAXIS": -2, "SLOWAXIS": -1, "SUBSTRT2": 1803}

    def mask(angle):
        made = plain(96, 40, PWCPOS=angle, **keywords)
        return clean_flicker_noise(made, given, mask_science_regions=True, n_sigma=0, save_mask=True)["mask"].data

    straight = mask(245.76)
    # the window begins ten rows above that of the traces; 16 rows on either side
    assert np.flatnonzero(straight[:, 0] == 0).tolist() == list(range(14, 47))
    turned = mask(246.0)
    assert not (turned == straight).all()
    with pytest.raises(InputError, match=r"PWCPOS.*245.4 to 246.1"):
        mask(250.0)
    with pytest.raises(InputError, match="override_pastasoss"):
        clean_flicker_noise(plain(96, 40, PWCPOS=245.8, **keywords), references(96, 40), mask_science_regions=True)


def test_what_is_no_science_area_of_miri_is_masked_by_the_flat():
    flat = np.ones((32, 40), np.float32)
    flat[:, :6] = np.nan
    flags = np.where(np.arange(40) > 33, np.uint32(NON_SCIENCE), np.uint32(0))
    given = references(32, 40)
    given._files["flat"] = "flat"
    content = {"SCI": flat, "DQ": np.broadcast_to(flags, (32, 40))}
    given._open["flat"] = FakeReferences({"flat": content})["flat"]
    out = clean_flicker_noise(plain(**MIRI), given, mask_science_regions=True, save_mask=True, n_sigma=0)
    assert np.flatnonzero(out["mask"].data[10]).tolist() == list(range(6, 34))


def test_masks_that_do_not_fit_and_spectroscopy_of_miri_are_refused(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        clean_flicker_noise(plain(), references(), user_mask=str(tmp_path / "none.fits"))
    small = save_mask(tmp_path / "small.fits", np.ones((3, 4)))
    with pytest.raises(InputError, match=r"shape \(3, 4\)"):
        clean_flicker_noise(plain(), references(), user_mask=small)
    assert isinstance(clean_flicker_noise(plain(**MIRI | {"EXP_TYPE": "MIR_MRS"}), references()), Skipped)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (Measures(0.01, 0.1, 1e-3, 2.0, 0.0), ("median", True)),
        (Measures(0.2, 0.0, 1e-4, 2.0, 1.0), ("model", False)),
        (Measures(0.2, 0.0, 1e-6, 2.0, 1.0), ("median", False)),
        (Measures(0.2, 0.1, 5e-5, 2.0, 1.0), ("median", False)),
        (Measures(0.2, 0.1, 5e-4, 2.0, 1.0), ("model", False)),
        (Measures(0.01, 0.0, 5e-4, 9.0, 1.0), ("model", False)),
        (Measures(0.01, 0.01, 5e-5, 4.0, 0.1), ("model", True)),
        (Measures(0.01, 0.01, 5e-5, 6.0, 0.001), ("median", False)),
        (Measures(0.01, 0.01, 1e-6, 2.0, 0.1), ("median", True)),
    ],
)
def test_parameters_are_chosen_by_crowding_steps_and_tilt(found, expected):
    assert decide(found, AUTO_LIMITS["NIS_IMAGE"]) == expected


def test_parameters_can_be_chosen_from_the_data():
    made, _ = striped(192, 192)
    made.data[0] += np.arange(192) * np.arange(5).reshape(-1, 1, 1) * 0.1  # a steep background
    out = clean_flicker_noise(made, references(192, 192), autoparam=True, save_background=True)
    assert np.std(out["flicker_bkg"].data[0, 2], axis=1).mean() > 3


def test_a_long_exposure_is_cleaned_in_little_memory(monkeypatch):
    whole, mapped = (plain(nints=3) for _ in range(2))
    monkeypatch.setenv("JWSTSM_MEMORY_LIMIT", "20000")
    array = scratch.allocate(mapped.data.shape, np.float32)
    array[:] = mapped.data
    mapped.data = array
    expected = clean_flicker_noise(whole, references(32, 40)).data
    np.testing.assert_array_equal(clean_flicker_noise(mapped, references(32, 40)).data, expected)


def test_it_is_off_by_default():
    assert clean_flicker_noise.step.parameters["skip"].default is True


def halo(seed=4):
    """Return a ramp with stripes and a halo that is fainter than the noise of a pixel, and its light per group."""
    made = make_ramp(1, 5, 128, 128, FASTAXIS=-1, SLOWAXIS=2)
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:128, :128]
    light = 3 + 2.5 * np.exp(-0.5 * ((x - 64) ** 2 + (y - 64) ** 2) / 20.0**2)
    noise = rng.normal(0, 4, (5, 128, 128)) + rng.normal(0, 3, (5, 128, 1))
    made.data[0] = light * np.arange(5).reshape(-1, 1, 1) + noise
    return made, light


def test_light_that_only_many_pixels_show_can_be_left_out_of_the_background():
    found = {}
    for scale in (0, 8):
        made, light = halo()
        out = clean_flicker_noise(made, references(128, 128), extended_scale=scale, save_mask=True)
        change = np.diff(out["ramp"].data[0].astype(float), axis=0).mean(axis=0) - light
        middle = change[52:77].mean() - change[np.r_[:15, 113:128]].mean()
        found[scale] = middle, out["mask"].data[52:77, 52:77].mean(), out["mask"].data[:15].mean()
    assert found[0][0] < -0.5  # of 1.2 in these rows
    assert abs(found[8][0]) < 0.5 * abs(found[0][0])
    assert found[0][1] > 0.8
    assert found[8][1] < 0.3
    assert found[8][2] > 0.6


def test_crowded_fields_can_be_left_alone():
    made, _ = striped()
    made.data[0, :, :, ::3] += 300 * np.arange(5).reshape(-1, 1, 1)
    before = made.data.copy()
    out = clean_flicker_noise(made, references(), max_sources=0.2)
    assert isinstance(out, Skipped)
    assert "crowded" in out.reason
    np.testing.assert_array_equal(made.data, before)
    sparse, _ = striped()
    assert not isinstance(clean_flicker_noise(sparse, references(), max_sources=0.2), Skipped)

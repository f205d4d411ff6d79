"""What holds of drizzling whatever the image: flux kept, results independent of tiles and threads, bad pixels inert."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from jwstsm.core.drizzle import KERNELS, Coadd, coadd_image, context_planes, fill_value
from tests.properties.maps import distorted_map

SHAPE, OUT = (40, 44), (150, 160)
CONSERVING = ("square", "point", "turbo")
ON_AVERAGE = {"gaussian": 0.08, "lanczos2": 0.05, "lanczos3": 0.05}  # relative, in the sum over many pixels


def scene(seed=5):
    rng = np.random.default_rng(seed)
    sci, weight = rng.normal(10, 3, SHAPE).astype("f4"), rng.uniform(0.5, 2.0, SHAPE).astype("f4")
    weight[rng.random(SHAPE) < 0.05] = 0
    return sci, weight


@pytest.mark.parametrize("bend", [0.0, 0.03])
@pytest.mark.parametrize("pixfrac", [1.0, 0.5, 0.0])
@pytest.mark.parametrize("scale", [0.4, 1.0, 2.0])
@pytest.mark.parametrize("kernel", KERNELS)
def test_flux_is_conserved(kernel, scale, pixfrac, bend):
    """The sum of WHT x SCI is that of the weighted pixels; kernels that keep it only on average are marked so."""
    if kernel not in CONSERVING:
        if kernel == "gaussian" and pixfrac == 0.5 and scale >= 1:
            pytest.xfail("a Gaussian much narrower than the output pixel is not sampled: flux is not conserved")
        if kernel.startswith("lanczos") and scale == 2:
            pytest.xfail("a Lanczos function as narrow as the output pixel is not sampled: flux is not conserved")
    sci, weight = scene()
    pixmap = distorted_map(SHAPE, OUT, scale=scale, angle=0.5, bend=bend)
    data, wht = coadd_image(sci, pixmap, OUT, weight=weight, kernel=kernel, pixfrac=pixfrac, scale=scale)
    found, wanted = np.nansum(data * wht.astype(float)), np.sum(sci * weight, dtype=float)
    if kernel.startswith("lanczos"):
        found *= scale**2  # its shares are not normalised by the area of a pixel
    is_point = pixfrac == 0.0 and not kernel.startswith("lanczos")
    assert np.isclose(found, wanted, rtol=1e-6 if kernel in CONSERVING or is_point else ON_AVERAGE[kernel])


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("scale", [0.4, 1.0, 2.0])
def test_a_flat_field_stays_flat(kernel, scale):
    """Surface brightness is a weighted mean: whatever the kernel, a constant comes out as that constant."""
    pixmap = distorted_map(SHAPE, OUT, scale=scale, angle=0.5, bend=0.02)
    data, wht = coadd_image(np.full(SHAPE, 7.0), pixmap, OUT, kernel=kernel, scale=scale)
    assert (wht > 0).sum() > 100
    assert np.allclose(data[wht > 1e-3], 7.0, rtol=1e-5)


@pytest.mark.parametrize("kernel", KERNELS)
def test_windows_bands_and_threads_change_no_bit(kernel):
    """The output in one piece, cut into windows, and by one thread or two: equal bit for bit."""
    sci, weight = scene()
    pixmap = distorted_map(SHAPE, OUT, scale=0.5, angle=0.3, bend=0.02)
    values = np.stack([sci, np.sqrt(np.abs(sci)), weight], axis=-1)

    def run(shape, origin, threads):
        before = numba.get_num_threads()
        numba.set_num_threads(threads)
        try:
            coadd = Coadd(shape, origin, nvar=2, inputs=1)
            coadd.add(values, weight, pixmap, kernel=kernel, scale=0.5)
        finally:
            numba.set_num_threads(before)
        return coadd.totals, coadd.con[0]

    whole, con = run(OUT, (0, 0), 1)
    two, _ = run(OUT, (0, 0), min(2, numba.config.NUMBA_NUM_THREADS))
    assert np.array_equal(whole, two)
    for y0, y1, x0, x1 in ((0, 47, 0, 160), (47, 90, 0, 160), (90, 150, 0, 33), (90, 150, 33, 160)):
        part, part_con = run((y1 - y0, x1 - x0), (x0, y0), 1)
        assert np.array_equal(part, whole[y0:y1, x0:x1])
        assert np.array_equal(part_con, con[y0:y1, x0:x1])


def test_rows_in_several_calls_add_up_to_the_same_bits():
    """Ranges of rows with one neighbour on each side give what the whole image gives, where the sums are linear."""
    sci, weight = scene()
    pixmap = distorted_map(SHAPE, OUT, scale=0.5, angle=0.0, bend=0.02)
    whole, parts = Coadd(OUT), Coadd(OUT)
    whole.add(sci[..., None], weight, pixmap)
    for first, last in ((0, 13), (13, 30), (30, 40)):
        low, high = max(0, first - 1), min(SHAPE[0], last + 1)
        part = sci[low:high, :, None], weight[low:high], np.ascontiguousarray(pixmap[low:high])
        parts.add(*part, rows=(first - low, last - low))
    assert np.allclose(parts.totals, whole.totals, rtol=1e-13, atol=0)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("poison", [np.nan, np.inf, 1e30])
def test_masked_pixels_are_inert(kernel, poison):
    """What stands in a pixel without weight never reaches the output."""
    sci, weight = scene()
    pixmap = distorted_map(SHAPE, OUT, scale=0.7, angle=0.2)
    other = np.where(weight > 0, sci, np.float32(poison))
    results = []
    for values in (sci, other):
        coadd = Coadd(OUT)
        coadd.add(values[..., None], weight, pixmap, kernel=kernel, scale=0.7)
        results.append(coadd.totals)
    assert np.array_equal(*results)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("case", ["no weight", "no map", "off the output", "nan weight"])
def test_empty_input_survives(kernel, case):
    """An input that contributes nothing leaves fill values, no weight and no context bit."""
    sci, weight = scene()
    pixmap = distorted_map(SHAPE, OUT)
    if case == "no weight":
        weight[:] = 0
    elif case == "nan weight":
        weight[:] = np.nan
    elif case == "no map":
        pixmap[:] = np.nan
    else:
        pixmap += 1e5
    coadd = Coadd(OUT, nvar=1, inputs=1)
    coadd.add(np.stack([sci, sci], axis=-1), weight, pixmap, kernel=kernel)
    out = {n: np.empty(OUT, np.float32) for n in ("data", "wht", "err")} | {"variances": np.empty((1, *OUT), np.float32)}
    coadd.finish(out, fillval=-9.0)
    assert (out["data"] == -9).all()
    assert (out["wht"] == 0).all()
    assert np.isnan(out["err"]).all()
    assert not coadd.con.any()


def test_a_pixel_beside_a_hole_in_the_map_is_left_out_by_the_square_kernel():
    """Its corners are not known there; pixels further away are not touched."""
    pixmap = distorted_map((9, 9), OUT)
    pixmap[4, 4] = np.nan
    coadd = Coadd(OUT)
    coadd.add(np.ones((9, 9, 1), np.float32), np.ones((9, 9), np.float32), pixmap)
    assert np.isclose(coadd.totals[..., 0].sum(), 81 - 9)


def test_context_bits_tell_the_inputs_apart():
    """Input 31 is the sign bit of the first plane, input 32 the first bit of the second."""
    assert [context_planes(n) for n in (1, 32, 33, 64, 65)] == [1, 1, 2, 2, 3]
    ones, weight = np.ones((4, 4, 1), np.float32), np.ones((4, 4), np.float32)
    coadd = Coadd((40, 40), inputs=40)
    for number, shift in ((0, 0), (31, 8), (32, 16)):
        coadd.add(ones, weight, distorted_map((4, 4), (8, 8), shift=(shift, shift)), number=number)
    found = coadd.con.view(np.uint32)
    assert set(np.unique(found[0])) == {0, 1, 1 << 31}
    assert set(np.unique(found[1])) == {0, 1}
    assert (coadd.con[1] != 0).sum() == (coadd.con[0] == 1).sum()


def test_dq_of_contributing_pixels_is_joined():
    """With DQ asked for, an output pixel has the bits of all inputs in it, and of no others."""
    ones, weight = np.ones((4, 4, 1), np.float32), np.ones((4, 4), np.float32)
    dq = np.zeros((4, 4), np.uint32)
    dq[1, 1], dq[2, 2] = 4, 2048
    weight[2, 2] = 0
    coadd = Coadd((8, 8), with_dq=True)
    coadd.add(ones, weight, distorted_map((4, 4), (8, 8), shift=(0.0, 0.0)), dq=dq)
    assert np.argwhere(coadd.dq).tolist() == [[3, 3]]
    assert coadd.dq[3, 3] == 4


def test_exact_variance_equals_the_scatter_of_many_noise_images():
    """Claimed variance over scatter is 1 within its own error; the official formula claims more."""
    rng = np.random.default_rng(11)
    shape, out = (30, 30), (34, 34)
    variance, weight = np.full(shape, 4.0, np.float32), np.ones(shape, np.float32)
    maps = [distorted_map(shape, out, angle=0.02, shift=s) for s in ((0.3, 0.2), (-0.2, 0.4), (0.1, -0.4))]
    trials = 300
    samples = np.empty((trials, *out))
    for t in range(trials):
        coadd = Coadd(out)
        for pixmap in maps:
            coadd.add(rng.normal(0, 2, (*shape, 1)).astype("f4"), weight, pixmap)
        with np.errstate(invalid="ignore"):
            samples[t] = coadd.totals[..., 1] / coadd.totals[..., 0]
    claimed = {}
    for mode, value in (("exact", variance), ("official", np.sqrt(variance))):
        coadd = Coadd(out, nvar=1, variance=mode)
        for pixmap in maps:
            coadd.add(np.stack([np.zeros_like(value), value], axis=-1), weight, pixmap)
        result = {n: np.empty(out, np.float32) for n in ("data", "wht", "err")}
        coadd.finish(result | {"variances": np.empty((1, *out), np.float32)})
        claimed[mode] = result["err"][8:-8, 8:-8] ** 2
    scatter = samples.var(axis=0)[8:-8, 8:-8]
    assert np.isclose(np.mean(claimed["exact"] / scatter), 1.0, atol=0.03)
    assert np.mean(claimed["official"] / scatter) > 1.5


@pytest.mark.parametrize(("text", "value"), [("NAN", np.nan), ("INDEF", np.nan), ("-1.5", -1.5), (None, np.nan), (0, 0.0)])
def test_fill_values_are_read_as_users_write_them(text, value):
    assert np.array_equal(fill_value(text), value, equal_nan=True)


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="do not fit"):
        Coadd(OUT).add(np.ones((4, 4, 2), np.float32), np.ones((4, 4), np.float32), distorted_map((4, 4), OUT))
    with pytest.raises(ValueError, match="variance must be"):
        Coadd(OUT, variance="none")

"""Files written in pieces are, byte for byte, those that astropy writes."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

from jwstsm.core import scratch
from jwstsm.products import stream

DTYPES = ["f4", "f8", "u1", "u2", "i2", "u4", "i4"]


def table() -> fits.BinTableHDU:
    return fits.BinTableHDU(np.array([(1, 2.5), (3, 4.5)], [("a", "i4"), ("b", "f8")]), name="GROUP")


@pytest.mark.parametrize("piece", [64, 1 << 20])
def test_bytes_are_those_of_astropy(tmp_path, monkeypatch, piece):
    monkeypatch.setattr(stream, "_PIECE", piece)
    rng = np.random.default_rng(3)
    arrays = {f"A{k}": rng.integers(0, 250, (2, 9, 37)).astype(t) for k, t in enumerate(DTYPES)}
    header = fits.Header([("BUNIT", "MJy/sr", "unit"), ("LONG", "x" * 90)])

    def listed(make):
        return fits.HDUList(
            [fits.PrimaryHDU(header=fits.Header({"FILENAME": "a"})), *(make(a, n) for n, a in arrays.items()), table()]
        )

    listed(lambda a, n: fits.ImageHDU(a, header=header.copy(), name=n)).writeto(tmp_path / "theirs.fits")
    stream.write_hdus(tmp_path / "ours.fits", listed(lambda a, n: stream.image_hdu(a, header.copy(), n)))
    assert (tmp_path / "ours.fits").read_bytes() == (tmp_path / "theirs.fits").read_bytes()


def test_arrays_on_a_scratch_file_are_written_whole_and_stay_what_they_are(tmp_path):
    values = np.random.default_rng(4).normal(size=(300, 70)).astype("f4")
    array = scratch.allocate(values.shape, "f4", limit=0)
    array[:] = values
    stream.write_hdus(tmp_path / "a.fits", fits.HDUList([fits.PrimaryHDU(), stream.image_hdu(array, fits.Header(), "SCI")]))
    assert np.array_equal(fits.getdata(tmp_path / "a.fits", "SCI"), values)
    assert np.array_equal(array, values)

"""Extensions of an uncal file besides the counts: group times, integration times, the ASDF block."""

from __future__ import annotations

import io

import numpy as np
from astropy.io import fits
from astropy.time import Time

from jwstsm.sim.headers import BARYCENTRE_DELAY_S, DAY_S, ExposureSpec

__all__ = ["asdf_block", "group_table", "int_times_table"]


def group_table(spec: ExposureSpec) -> fits.BinTableHDU:
    """Return the GROUP extension: one row per group with its end time."""
    readout = spec.readout
    count = readout.nints * readout.ngroups
    dtype = [
        ("integration_number", ">i2"),
        ("group_number", ">i2"),
        ("end_day", ">i2"),
        ("end_milliseconds", ">i4"),
        ("end_submilliseconds", ">i2"),
        ("group_end_time", "S26"),
        ("number_of_columns", ">i2"),
        ("number_of_rows", ">i2"),
        ("number_of_gaps", ">i2"),
        ("completion_code_number", ">i2"),
        ("completion_code_text", "S36"),
        ("bary_end_time", ">f8"),
        ("helio_end_time", ">f8"),
    ]
    table = np.zeros(count, dtype)
    table["integration_number"] = np.repeat(np.arange(1, readout.nints + 1), readout.ngroups)
    table["group_number"] = np.tile(np.arange(1, readout.ngroups + 1), readout.nints)
    start = np.repeat(spec.integration_times_mjd()[:, 0], readout.ngroups)
    first = readout.nframes * readout.frame_s
    end = start + (first + (table["group_number"] - 1) * readout.group_s) / DAY_S
    table["end_day"] = (end - Time("2000-01-01").mjd).astype(int)
    milliseconds = (end % 1) * DAY_S * 1e3
    table["end_milliseconds"] = milliseconds.astype(int)
    table["end_submilliseconds"] = (milliseconds % 1 * 1e3).astype(int)
    table["group_end_time"] = Time(end, format="mjd", precision=6).isot
    table["number_of_columns"] = spec.aperture.shape[1]
    table["number_of_rows"] = spec.aperture.shape[0]
    table["completion_code_text"] = "COMPLETE"
    table["bary_end_time"] = table["helio_end_time"] = end + BARYCENTRE_DELAY_S / DAY_S
    return fits.BinTableHDU(table, name="GROUP")


def int_times_table(spec: ExposureSpec) -> fits.BinTableHDU:
    """Return the INT_TIMES extension: start, middle and end of each integration, UTC and barycentric."""
    times = spec.integration_times_mjd()
    names = [f"int_{when}_{scale}" for scale in ("MJD_UTC", "BJD_TDB") for when in ("start", "mid", "end")]
    table = np.zeros(len(times), [("integration_number", ">i4"), *((name, ">f8") for name in names)])
    table["integration_number"] = np.arange(1, len(times) + 1)
    for name, column in zip(names[:3], times.T, strict=True):
        table[name] = column
    for name, column in zip(names[3:], times.T, strict=True):
        table[name] = column + BARYCENTRE_DELAY_S / DAY_S
    return fits.BinTableHDU(table, name="INT_TIMES")


def asdf_block(spec: ExposureSpec) -> fits.BinTableHDU:
    """Return the ASDF extension, which readers of archive files expect; the headers hold the same facts and more."""
    import asdf

    tree = {
        "meta": {
            "model_type": "Level1bModel",
            "telescope": "JWST",
            "filename": f"{spec.file_root}_uncal.fits",
            "instrument": {"name": spec.row.instrument, "detector": spec.row.name},
        }
    }
    buffer = io.BytesIO()
    asdf.AsdfFile(tree).write_to(buffer)
    content = np.frombuffer(buffer.getvalue(), np.uint8)
    column = fits.Column("ASDF_METADATA", f"{len(content)}B", array=content[None, :])
    return fits.BinTableHDU.from_columns([column], name="ASDF")

"""Guide-star exposures with flight headers and simulated pixels, and the CRDS cache that calibrates them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from astropy.io import fits

from jwstsm.core import dq
from jwstsm.sim import program_references
from jwstsm.sim.crds_cache import CacheBuilder
from jwstsm.sim.reference_files import dq_hdus, reference_header, write_fits

__all__ = ["DATA", "FLIGHT", "HEADERS", "MODES", "write_cache", "write_exposure"]

DATA = Path(os.environ.get("JWSTSM_TEST_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
HEADERS = DATA / "headers"
FLIGHT = DATA / "science" / "jw01019001001_gs-acq1_2022117003102_uncal.fits"

#: mode -> (name in the archive, integrations simulated)
MODES = {
    "id-image": ("gs-id_1_image", 2),
    "id-stack": ("gs-id_1_stacked", 2),
    "acq1": ("gs-acq1_2022142180746", 6),
    "acq2": ("gs-acq2_2022142180746", 5),
    "track": ("gs-track_2022142181204", 12),
    "fineguide": ("gs-fg_2022142181505", 40),
}

TYPES = "FGS_ID-IMAGE|FGS_ACQ1|FGS_ACQ2|FGS_TRACK|FGS_FINEGUIDE"
SIZE, STACK_COLUMNS = 2048, 2304


def write_exposure(folder: Path, mode: str, detector: str = "guider1") -> Path:
    """Write the uncal file of a mode: the flight header, a star, noise, and tables of the guidance sensor."""
    name, nints = MODES[mode]
    generator = np.random.default_rng([ord(c) for c in mode + detector])
    with fits.open(HEADERS / f"fgs_{mode}_{detector}.fits") as hdus:
        primary, science, tree = hdus[0].header.copy(), hdus["SCI"].header.copy(), hdus["ASDF"].copy()
    ny, nx, ngroups = primary["SUBSIZE2"], primary["SUBSIZE1"], primary["NGROUPS"]
    y, x = np.mgrid[:ny, :nx].astype(np.float32)
    rate = 4e4 * np.exp(-0.5 * ((x - 0.4 * nx) ** 2 + (y - 0.6 * ny) ** 2) / 1.1**2)
    data = np.empty((nints, ngroups, ny, nx), np.uint16)
    for i in range(nints):
        for g in range(ngroups):
            level = 1000 + rate * (g + 1) * primary["TGROUP"] + 12 * generator.standard_normal((ny, nx), np.float32)
            data[i, g] = np.clip(np.rint(level), 0, 65535)
    data[0, 1, ny // 2, nx // 2] = 40000  # a particle
    primary["NINTS"] = nints
    primary["FILENAME"] = f"jw01029001001_{name}_uncal.fits"
    stars = np.zeros(2, [("reference_star_id", "S2"), ("id_x", ">f8"), ("id_y", ">f8"), ("count_rate", ">f8")])
    stars["id_x"], stars["count_rate"] = [11.5, 700.25], [4e4, 1e4]
    tables = [fits.BinTableHDU(stars, name="Flight Reference Stars")]
    if mode in ("track", "fineguide"):
        tables.append(fits.BinTableHDU(_centroids(), name="FGS Centroid Packet"))
    path = folder / primary["FILENAME"]
    image = fits.ImageHDU(data, name="SCI")
    for keyword in science:
        if keyword not in image.header and keyword not in ("", "COMMENT", "HISTORY", "BSCALE", "BZERO"):
            image.header[keyword] = science[keyword]
    fits.HDUList([fits.PrimaryHDU(header=primary), image, *tables, tree]).writeto(path, overwrite=True)
    return path


def _centroids() -> np.ndarray:
    """Return a table of centroids as the guidance sensor sends them."""
    text, number, whole = "S23", ">f8", ">i4"
    dtype = [("observatory_time", text), ("centroid_time", text)]
    dtype += [(n, number) for n in ("guide_star_position_x", "guide_star_position_y")]
    dtype += [("guide_star_instrument_counts_per_sec", number), ("signal_to_noise_current_frame", number)]
    dtype += [("delta_signal", number), ("delta_noise", number), ("psf_width_x", whole), ("psf_width_y", whole)]
    dtype += [("data_quality", whole), ("bad_pixel_flag", "S4"), ("bad_centroid_dq_flag", "S12")]
    dtype += [(n, "S5") for n in ("cosmic_ray_hit_flag", "sw_subwindow_loc_change_flag")]
    dtype += [("guide_star_at_detector_subwindow_boundary_flag", "S5"), ("subwindow_out_of_FOV_flag", "S5")]
    table = np.zeros(3, dtype)
    table["guide_star_position_x"] = [0.1, 0.2, 0.3]
    table["centroid_time"] = b"2022-05-22 18:12:17.320"
    return table


def write_cache(root: Path) -> None:
    """Write mask, gain, read noise and flat of both guiders, with bad pixels, and the rules that select them."""
    builder = CacheBuilder(root)
    for number, detector in enumerate(("GUIDER1", "GUIDER2")):
        generator = np.random.default_rng(number)
        # the official package makes all errors of stacked strips NaN of one NaN in the gain: only the other guider has some
        maps = _maps(generator, SIZE, no_gain=(0.0, np.nan)[number])
        place = {"DETECTOR": detector, "SUBSTRT1": 1, "SUBSTRT2": 1, "SUBSIZE1": SIZE, "SUBSIZE2": SIZE}
        place |= {"SUBARRAY": "FULL", "FASTAXIS": -2 if number == 0 else 2, "SLOWAXIS": -1}
        _add(builder, "mask", {"DETECTOR": detector, "EXP_TYPE": TYPES}, place, *dq_hdus(maps["dq"], "mask"))
        stack = place | {"SUBSIZE1": STACK_COLUMNS}
        bad = _maps(generator, SIZE, STACK_COLUMNS)["dq"]
        _add(builder, "mask", {"DETECTOR": detector, "EXP_TYPE": "FGS_ID-STACK"}, stack, *dq_hdus(bad, "mask"))
        _add(builder, "gain", {"DETECTOR": detector}, place, ("SCI", maps["gain"]))
        _add(builder, "readnoise", {"DETECTOR": detector}, place, ("SCI", maps["noise"]))
        planes = (("SCI", maps["flat"]), ("ERR", maps["flat_err"]), *dq_hdus(maps["flat_dq"], "flat"))
        _add(builder, "flat", {"DETECTOR": detector}, place, *planes)
    absent = program_references._OTHER_TYPES.split()
    builder.write(absent + [f"pars-{name}" for name in program_references._STEP_CLASSES.split()])


def _add(builder: CacheBuilder, kind: str, match: dict, place: dict, *planes) -> None:
    models = {"mask": "MaskModel", "gain": "GainModel", "readnoise": "ReadnoiseModel", "flat": "FlatModel"}
    path = write_fits(builder.path("FGS", kind, "fits"), reference_header(kind, models[kind], "FGS", **place), *planes)
    builder.add("FGS", kind, match, path.name)


def _maps(generator, ny: int, nx: int | None = None, no_gain: float = 0.0) -> dict[str, np.ndarray]:
    """Return gain, read noise, flat and flags with everything that can be wrong with them."""
    shape = (ny, nx or ny)
    draw = generator.random(shape, np.float32)
    bad = np.zeros(shape, np.uint32)
    bad[draw < 3e-3] = dq.DO_NOT_USE | dq.HOT
    bad[(draw > 0.5) & (draw < 0.503)] = dq.WARM
    flat = (1 + 0.02 * generator.standard_normal(shape)).astype(np.float32)
    flat[draw > 0.999] = np.nan
    flat[(draw > 0.998) & (draw < 0.9985)] = 0
    flat_dq = np.where((draw > 0.99) & (draw < 0.992), np.uint32(dq.NO_FLAT_FIELD), np.uint32(0))
    flat_dq |= np.where((draw > 0.98) & (draw < 0.982), np.uint32(dq.UNRELIABLE_FLAT), np.uint32(0))
    gain = (1.75 + 0.02 * generator.standard_normal(shape)).astype(np.float32)
    gain[(draw > 0.2) & (draw < 0.2005)] = no_gain
    noise = (13 + 0.5 * generator.standard_normal(shape)).astype(np.float32)
    return {
        "dq": bad,
        "flat": flat,
        "flat_dq": flat_dq,
        "flat_err": 0.002 * np.ones_like(flat),
        "gain": gain,
        "noise": noise,
    }

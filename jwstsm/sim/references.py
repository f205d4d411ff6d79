"""The reference files that undo the simulated effects, one function per type.

Every function takes a :class:`Setup` and a path and writes the file; :data:`WRITERS` is the table of them. The files
hold the exact maps the simulator used, so that what is left after calibration is noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jwstsm.core import dq
from jwstsm.products.stripes import Stripes
from jwstsm.sim.chip import Chip
from jwstsm.sim.crds_cache import PARKEYS
from jwstsm.sim.detector import Effects
from jwstsm.sim.geometry import ARCSEC, Camera
from jwstsm.sim.instruments import DETECTORS, FILTERS, INSTRUMENTS, FilterRow, InstrumentRow
from jwstsm.sim.multistripe import cut_lines
from jwstsm.sim.optics import filter_spread, flat_field
from jwstsm.sim.psf import encircled_energy
from jwstsm.sim.reference_files import dq_hdus, reference_header, write_asdf, write_fits

__all__ = ["WRITERS", "Setup"]

ENCIRCLED = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
SKY_ANNULUS = {"SHORT": (15.0, 22.0), "LONG": (12.0, 18.0), "": (12.0, 18.0)}


@dataclass(frozen=True)
class Setup:
    """What a reference file is made for."""

    chip: Chip
    camera: Camera
    filter: FilterRow
    subarray: str
    readpatt: str
    frames: int
    """Frames a dark must hold."""
    frame_s: float
    """Time between frames [s]."""
    averaged: bool
    """Whether any exposure averages frames, which linearity then undoes with the inverse polynomial."""
    effects: Effects
    exp_type: str
    views: tuple[tuple[FilterRow, Camera], ...] = ()
    """Every filter of the program with a camera it is seen through."""
    stripes: Stripes | None = None
    """Lines that are read, where that is not all of them."""

    @property
    def instrument(self) -> str:
        """INSTRUME."""
        return self.chip.row.instrument

    @property
    def kind(self) -> InstrumentRow:
        """What the instrument's files are called."""
        return INSTRUMENTS[self.instrument]

    def header(self, reftype: str, model: str, **keywords):
        """Header with the detector and the place of the array on it."""
        region = self.chip.region
        return reference_header(
            reftype,
            model,
            self.instrument,
            DETECTOR=self.chip.row.name,
            SUBARRAY=self.subarray,
            SUBSTRT1=region.x0 + 1,
            SUBSTRT2=region.y0 + 1,
            SUBSIZE1=region.nx,
            SUBSIZE2=region.ny,
            FASTAXIS=self.chip.row.fast_axis,
            SLOWAXIS=self.chip.row.slow_axis,
            **keywords,
        )

    @property
    def imaging(self) -> bool:
        """Whether the exposures are images of the sky."""
        return self.exp_type in self.kind.imaging_types.split("|")

    def elements(self, row: FilterRow) -> tuple[str, ...]:
        """Return the words by which photometric tables know a filter."""
        return tuple(getattr(row, name) if hasattr(row, name) else self.subarray for name in self.kind.elements)

    def flags(self, *names: str) -> np.ndarray:
        """The chip's flags cut down to some names, uint32."""
        mask = np.uint32(sum(dq.FLAGS[name].value for name in names))
        return self.chip.flags & mask


def write_mask(setup: Setup, path: Path) -> Path:
    """Bad pixels."""
    flags = setup.chip.flags & ~np.uint32(dq.NO_LIN_CORR | dq.NO_SAT_CHECK | dq.NO_FLAT_FIELD)
    return write_fits(path, setup.header("mask", "MaskModel"), *dq_hdus(flags, "mask"))


def write_saturation(setup: Setup, path: Path) -> Path:
    """Raw counts at which a pixel is saturated [DN]."""
    level = setup.chip.saturation_dn.astype(np.float32)
    flags = setup.flags("NO_SAT_CHECK")
    level[flags != 0] = np.nan
    return write_fits(path, setup.header("saturation", "SaturationModel"), ("SCI", level), *dq_hdus(flags, "saturation"))


def write_superbias(setup: Setup, path: Path) -> Path:
    """Level after reset [DN]; pixels with an unreliable bias are wrong by design and flagged."""
    bias = setup.chip.bias.copy()
    flags = setup.flags("UNRELIABLE_BIAS")
    bias[flags != 0] -= 400.0
    error = np.full_like(bias, 0.5)
    return write_fits(
        path,
        setup.header("superbias", "SuperBiasModel", READPATT=setup.readpatt),
        ("SCI", bias),
        ("ERR", error),
        *dq_hdus(flags, "superbias"),
    )


def write_dark(setup: Setup, path: Path) -> Path:
    """Dark ramp in single frames [DN]."""
    chip, frame = setup.chip, setup.frame_s
    current = (chip.dark / chip.gain).astype(np.float32) if setup.effects.dark else np.zeros_like(chip.dark)
    flags = setup.flags("HOT", "WARM")
    if setup.stripes is not None:
        # unlike other references it is not cut out of a full frame
        current, flags = (cut_lines(plane, setup.stripes, chip.row.slow_axis) for plane in (current, flags))
    ramp = np.empty((setup.frames, *current.shape), np.float32)
    for k in range(setup.frames):
        np.multiply(current, np.float32((k + 1) * frame), out=ramp[k])
    header = setup.header(
        "dark",
        "DarkModel",
        READPATT=setup.readpatt if "READPATT" in PARKEYS[setup.instrument, "dark"] else "RAPID",
        EXP_TYPE=setup.kind.dark_type,
        NOUTPUTS=chip.outputs,
        NINTS=1,
        NGROUPS=setup.frames,
        NFRAMES=1,
        GROUPGAP=0,
        TFRAME=frame,
        TGROUP=frame,
        AVDRKCUR=chip.row.dark_e_s if setup.effects.dark and chip.row.channel == "LONG" else None,
    )
    header["SUBSIZE1"], header["SUBSIZE2"] = current.shape[::-1]
    return write_fits(path, header, ("SCI", ramp), *dq_hdus(flags, "dark"))


def write_linearity(setup: Setup, path: Path) -> Path:
    """Polynomial from measured to linear counts, and its inverse for averaged frames."""
    chip = setup.chip
    q, c = (chip.quadratic, chip.cubic) if setup.effects.nonlinearity else (0 * chip.quadratic, 0 * chip.cubic)
    zero, one = np.zeros_like(q), np.ones_like(q)
    coefficients = np.stack([zero, one, q, c, zero]).astype(np.float32)
    flags = setup.flags("NO_LIN_CORR")
    coefficients[:, flags != 0] = 0.0
    extensions = [("COEFFS", coefficients)]
    if setup.averaged:
        extensions.append(("INV_COEFFS", _inverse_linearity(chip) if setup.effects.nonlinearity else coefficients))
    return write_fits(
        path, setup.header("linearity", "LinearityModel"), *extensions, *dq_hdus(flags, "linearity", shuffle=False)
    )


def _inverse_linearity(chip: Chip) -> np.ndarray:
    """Polynomial from linear to measured counts, exact at Chebyshev nodes up to the full well; (6, ny, nx) float32."""
    top = 1.05 * float((chip.full_well / chip.gain).max())
    nodes = top * 0.5 * (1 - np.cos(np.pi * (np.arange(5) + 0.5) / 5))
    measured = np.stack([chip.measured(np.full(chip.region.shape, node)) for node in nodes])
    solve = np.linalg.inv((nodes[:, None] / top) ** np.arange(1, 6)) / top ** np.arange(1, 6)[:, None]
    coefficients = np.zeros((6, *chip.region.shape), np.float32)
    coefficients[1:] = np.tensordot(solve, measured, axes=1)
    return coefficients


def write_gain(setup: Setup, path: Path) -> Path:
    """Conversion [e-/DN]."""
    return write_fits(path, setup.header("gain", "GainModel", GAINFACT=1.0), ("SCI", setup.chip.gain))


def write_readnoise(setup: Setup, path: Path) -> Path:
    """Noise of the difference of two reads [DN], electronic 1/f noise included."""
    chip, effects = setup.chip, setup.effects
    white = effects.read_noise * chip.read_noise / chip.gain
    flicker = effects.flicker_dn**2 + effects.common_flicker_dn**2
    noise = np.sqrt(2.0 * (white**2 + flicker)).astype(np.float32)
    header = setup.header("readnoise", "ReadnoiseModel", READPATT=setup.readpatt, BUNIT="DN")
    return write_fits(path, header, ("SCI", noise))


def write_ipc(setup: Setup, path: Path) -> Path:
    """Deconvolution kernel of inter-pixel capacitance: the inverse of the coupling, cut to 5 x 5."""
    alpha = setup.chip.ipc if setup.effects.ipc else 0.0
    coupling = np.zeros((33, 33))
    coupling[0, 0] = 1 - 4 * alpha
    coupling[[0, 0, 1, -1], [1, -1, 0, 0]] = alpha
    inverse = np.fft.fftshift(np.real(np.fft.ifft2(1 / np.fft.fft2(coupling))))[14:19, 14:19]
    return write_fits(path, setup.header("ipc", "IPCModel"), ("SCI", (inverse / inverse.sum()).astype(np.float32)))


def write_flat(setup: Setup, path: Path) -> Path:
    """Response of each pixel to uniform light."""
    flat = flat_field(setup.chip, setup.camera, setup.filter)
    flags = setup.flags("NO_FLAT_FIELD", "LOW_QE")
    flat[setup.chip.reference_pixels] = 1.0
    flat[(flags & dq.NO_FLAT_FIELD) != 0] = np.nan
    dead = (setup.chip.flags & dq.DEAD) != 0
    flat[dead] = 1.0
    flags = flags | np.where(dead, np.uint32(dq.UNRELIABLE_FLAT | dq.DO_NOT_USE), np.uint32(0))
    return write_fits(
        path,
        setup.header("flat", "FlatModel", FILTER=setup.filter.filter or None, PUPIL=setup.filter.pupil or None),
        ("SCI", flat),
        ("ERR", np.full_like(flat, 8e-4)),
        *dq_hdus(flags, "flat"),
    )


def write_area(setup: Setup, path: Path) -> Path:
    """Relative pixel area over the full frame."""
    area = setup.camera.pixel_area_arcsec2
    header = reference_header(
        "area",
        "PixelAreaModel",
        setup.instrument,
        DETECTOR=setup.chip.row.name,
        FILTER=setup.filter.filter or None,
        PUPIL=setup.filter.pupil or None,
        PIXAR_SR=area * ARCSEC**2,
        PIXAR_A2=area,
    )
    return write_fits(path, header, ("SCI", setup.camera.relative_area()))


def _filters(setup: Setup) -> list[FilterRow]:
    channel = setup.filter.channel
    return [f for f in FILTERS.values() if f.instrument == setup.instrument and f.channel == channel]


def write_photom(setup: Setup, path: Path) -> Path:
    """Surface brightness of one DN/s [MJy/sr] for every filter of the detector's channel."""
    rows = _filters(setup)
    elements = [(name, "S17") for name in setup.kind.elements]
    table = np.zeros(len(rows), [*elements, ("photmjsr", ">f4"), ("uncertainty", ">f4")])
    for record, row in zip(table, rows, strict=True):
        for name, word in zip(setup.kind.elements, setup.elements(row), strict=True):
            record[name] = word
        record["photmjsr"], record["uncertainty"] = row.photmjsr, 0.02 * row.photmjsr
    area = setup.camera.pixel_area_arcsec2
    header = reference_header(
        "photom",
        setup.kind.photom_model,
        setup.instrument,
        DETECTOR=setup.chip.row.name,
        PIXAR_SR=area * ARCSEC**2,
        PIXAR_A2=area,
    )
    return write_fits(path, header, ("PHOTOM", table))


def write_apcorr(setup: Setup, path: Path) -> Path:
    """Radii of encircled energy in drizzled images [pixel] and corrections with the light in the sky annulus."""
    names = ("eefraction", "radius", "apcorr", "skyin", "skyout")
    records = []
    for row, camera in setup.views:
        radius, energy = encircled_energy(filter_spread(camera, row))
        inner, outer = SKY_ANNULUS[row.channel]
        ring = np.diff(np.interp([inner, outer], radius, energy))[0] / (np.pi * (outer**2 - inner**2))
        for share in ENCIRCLED:
            reach = float(np.interp(share, energy, radius))
            correction = 1.0 / (share - ring * np.pi * reach**2)
            records.append((*setup.elements(row), share, reach, correction, inner, outer))
    elements = [(name, "S17") for name in setup.kind.elements]
    table = np.array(records, [*elements, *((name, ">f4") for name in names)])
    header = reference_header("apcorr", setup.kind.apcorr_model, setup.instrument, EXP_TYPE=setup.kind.exp_type)
    return write_fits(path, header, ("APCORR", table))


def write_abvegaoffset(setup: Setup, path: Path) -> Path:
    """AB minus Vega magnitude of every filter."""
    from astropy.table import Table

    rows = [f for f in FILTERS.values() if f.instrument == setup.instrument]
    chosen = {name: [getattr(f, name) for f in rows] for name in setup.kind.elements if hasattr(rows[0], name)}
    if not chosen:  # a camera without filters has one row for each detector
        detectors = [row.name for row in DETECTORS.values() if row.instrument == setup.instrument]
        rows, chosen = rows[:1] * len(detectors), {"detector": detectors}
    table = Table(
        {
            **chosen,
            "abvega_offset": np.array([f.ab_minus_vega for f in rows], np.float32),
        }
    )
    return write_asdf(path, "abvegaoffset", setup.instrument, {"abvega_offset": table})


def write_filteroffset(setup: Setup, path: Path) -> Path:
    """Shift of each filter against the reference filter [pixel]."""
    rows = [
        {"filter": f.filter, "pupil": f.pupil or "N/A", "column_offset": f.column_offset, "row_offset": f.row_offset}
        for f in _filters(setup)
    ]
    meta = {"instrument": {name: getattr(setup.chip.row, name) for name in setup.kind.parts}}
    return write_asdf(path, "filteroffset", setup.instrument, {"filters": rows}, meta)


def write_distortion(setup: Setup, path: Path) -> Path:
    """Pixel (0-based, full frame) -> V2, V3 [arcsec], with an inverse fitted to a thousandth of a pixel."""
    from jwstsm.sim.distortion import distortion_model

    row = setup.chip.row
    meta = {
        "instrument": {
            "detector": row.name,
            **{name: getattr(row, name) for name in setup.kind.parts},
            **({"p_pupil": setup.kind.pupils} if setup.kind.pupils else {}),
        },
        "exposure": {"type": setup.kind.exp_type, "p_exptype": f"{setup.kind.imaging_types}|"},
        "input_units": "pixel",
        "output_units": "arcsec",
    }
    return write_asdf(path, "distortion", setup.instrument, {"model": distortion_model(setup.camera.full)}, meta)


def write_sirskernel(setup: Setup, path: Path) -> Path:
    """Kernels of the optimal reference subtraction: a mild low-pass on both sides, half the weight each."""
    size = setup.chip.row.size
    frequency = np.arange(size + 1) / size
    response = 0.5 / (1 + (frequency / 0.04) ** 1.2)
    kernels = np.tile(response.astype(np.complex64), (4, 1))
    tree = {
        name.lower(): {"gamma": kernels.copy(), "zeta": kernels.copy()}
        for name, row in DETECTORS.items()
        if row.instrument == setup.instrument
    }
    return write_asdf(path, "sirskernel", setup.instrument, tree)


WRITERS = {
    "mask": write_mask,
    "saturation": write_saturation,
    "superbias": write_superbias,
    "dark": write_dark,
    "linearity": write_linearity,
    "gain": write_gain,
    "readnoise": write_readnoise,
    "ipc": write_ipc,
    "flat": write_flat,
    "area": write_area,
    "photom": write_photom,
    "apcorr": write_apcorr,
    "abvegaoffset": write_abvegaoffset,
    "filteroffset": write_filteroffset,
    "distortion": write_distortion,
    "sirskernel": write_sirskernel,
}

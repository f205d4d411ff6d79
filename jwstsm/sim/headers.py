"""Headers of uncal files as the archive writes them: keywords, times, pointing, tables.

The order and the comments of the keywords are a table, :data:`PRIMARY` and :data:`SCIENCE`; the values come from an
:class:`ExposureSpec`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy.io import fits
from astropy.time import Time

from jwstsm.sim.detector import Readout
from jwstsm.sim.geometry import LIGHT_SPEED_KM_S, Aperture, Camera, unit_vector
from jwstsm.sim.header_rows import PRIMARY, SCIENCE
from jwstsm.sim.instruments import INSTRUMENTS, DetectorRow, FilterRow

__all__ = ["ExposureSpec", "primary_header", "science_header", "velocity_scale"]

DAY_S = 86400.0
VELOCITY_KM_S = (23.783657891, -16.396430073, -7.287797330)
"""Barycentric velocity of the telescope, kept the same in all simulated exposures."""
POSITION_KM = (-91195651.953, -112806171.342, -48838153.412)
BARYCENTRE_DELAY_S = -340.573


@dataclass(frozen=True)
class ExposureSpec:
    """One exposure of one detector, before it is taken."""

    program: int
    observation: int
    visit: int
    group: str
    sequence: str
    activity: str
    exposure: int
    row: DetectorRow
    filter: FilterRow
    subarray: str
    aperture: Aperture
    camera: Camera
    """Nominal pointing: what the header says."""
    readout: Readout
    readpatt: str
    outputs: int
    start_mjd: float
    visit_start_mjd: float
    visit_end_mjd: float
    visit_exposures: int
    dither: int
    dithers: int
    offset: tuple[float, float]
    """Dither offset in the ideal frame [arcsec]."""
    target: tuple[str, float, float]
    """Name, right ascension and declination [deg]."""
    exp_type: str
    keywords: tuple[tuple[str, object], ...] = ()
    """Keywords of the primary header that differ from the tables; None leaves one out."""

    @property
    def file_root(self) -> str:
        """File name without suffix: ``jwpppppooovvv_ggsaa_eeeee_detector``."""
        visit = f"jw{self.program:05d}{self.observation:03d}{self.visit:03d}"
        return f"{visit}_{self.group}{self.sequence}{self.activity}_{self.exposure:05d}_{self.row.name.lower()}"

    @property
    def resets_s(self) -> float:
        """Time between the last read of an integration and the next reset's end [s]."""
        return self.readout.frame_s

    @property
    def duration_s(self) -> float:
        """Wall-clock time of the exposure [s]."""
        r = self.readout
        return r.nints * r.integration_s + (r.nints - 1) * self.resets_s

    @property
    def end_mjd(self) -> float:
        """End of the exposure."""
        return self.start_mjd + self.duration_s / DAY_S

    def integration_times_mjd(self) -> np.ndarray:
        """Start, middle and end of each integration, (nints, 3) UTC MJD."""
        r = self.readout
        start = self.start_mjd + np.arange(r.nints) * (r.integration_s + self.resets_s) / DAY_S
        return np.column_stack([start, start + r.integration_s / 2 / DAY_S, start + r.integration_s / DAY_S])


def velocity_scale(ra: float, dec: float) -> float:
    """Return the factor by which aberration stretches the field at a position [deg]."""
    beta = np.array(VELOCITY_KM_S) / LIGHT_SPEED_KM_S
    gamma = 1 / np.sqrt(1 - beta @ beta)
    return float(gamma * (1 + beta @ unit_vector(np.radians(ra), np.radians(dec))))


def _stamp(mjd: float, separator: str = "T") -> str:
    return Time(mjd, format="mjd", precision=3).isot.replace("T", separator)


def _linear_wcs(spec: ExposureSpec) -> dict:
    """The simple tangent-plane WCS and the footprint of the uncal header, from the nominal pointing."""
    x, y = (r - 1 for r in spec.aperture.full_frame_reference)
    ra, dec = spec.camera.pixel_to_sky(np.array([x, x + 1, x]), np.array([y, y, y + 1]))
    east = ((ra[1:] - ra[0] + 180) % 360 - 180) * np.cos(np.radians(dec[0]))
    cd = np.array([east, dec[1:] - dec[0]])
    scale = np.hypot(*cd)
    ny, nx = spec.aperture.shape
    x0, y0 = (c - 1 for c in spec.aperture.corner)
    corner_x = np.array([x0, x0 + nx - 1, x0 + nx - 1, x0])
    corner_y = np.array([y0, y0, y0 + ny - 1, y0 + ny - 1])
    corners = np.column_stack(spec.camera.pixel_to_sky(corner_x, corner_y))
    pc = cd / scale
    return {
        "WCSAXES": 2,
        "CRPIX1": spec.aperture.reference[0],
        "CRPIX2": spec.aperture.reference[1],
        "CRVAL1": float(ra[0]),
        "CRVAL2": float(dec[0]),
        "CTYPE1": "RA---TAN",
        "CTYPE2": "DEC--TAN",
        "CUNIT1": "deg",
        "CUNIT2": "deg",
        "CDELT1": float(scale[0]),
        "CDELT2": float(scale[1]),
        "PC1_1": float(pc[0, 0]),
        "PC1_2": float(pc[0, 1]),
        "PC2_1": float(pc[1, 0]),
        "PC2_2": float(pc[1, 1]),
        "S_REGION": "POLYGON ICRS  " + " ".join(f"{v:.9f}" for v in corners.ravel()),
    }


def _program_values(spec: ExposureSpec) -> dict:
    """Values about the file, the program and the observation."""
    visit = f"{spec.program:05d}{spec.observation:03d}{spec.visit:03d}"
    activity = f"{spec.group}{spec.sequence}{spec.activity}"
    return {
        "DATE": "2026-01-01T00:00:00.000",
        "ORIGIN": "STSCI",
        "TIMESYS": "UTC",
        "TIMEUNIT": "s",
        "FILENAME": f"{spec.file_root}_uncal.fits",
        "SDP_VER": "2025_4",
        "PRD_VER": "PRDOPSSOC-075",
        "OSS_VER": "8.4.12",
        "DATAMODL": "Level1bModel",
        "TELESCOP": "JWST",
        "HGA_MOVE": False,
        "COMPRESS": False,
        "TITLE": "Simulated program of known truth",
        "PI_NAME": "Simulator",
        "CATEGORY": "GO",
        "SUBCAT": spec.row.instrument,
        "SCICAT": "Stellar Populations",
        "CONT_ID": 0,
        "DATE-OBS": _stamp(spec.start_mjd)[:10],
        "TIME-OBS": _stamp(spec.start_mjd)[11:],
        "DATE-BEG": _stamp(spec.start_mjd),
        "DATE-END": _stamp(spec.end_mjd),
        "OBS_ID": f"V{visit}P00000000{activity}",
        "VISIT_ID": visit,
        "PROGRAM": f"{spec.program:05d}",
        "OBSERVTN": f"{spec.observation:03d}",
        "VISIT": f"{spec.visit:03d}",
        "VISITGRP": spec.group,
        "SEQ_ID": spec.sequence,
        "ACT_ID": spec.activity,
        "EXPOSURE": str(spec.exposure),
        "BKGDTARG": False,
        "TEMPLATE": INSTRUMENTS[spec.row.instrument].template,
        "OBSLABEL": f"{spec.filter.filter} {activity}",
    }


def _visit_values(spec: ExposureSpec) -> dict:
    """Values about the visit, the target and the guide star."""
    name, target_ra, target_dec = spec.target
    return {
        "ENG_QUAL": "OK",
        "ENGQLPTG": "CALCULATED_TR_202105",
        "VISITYPE": "PRIME_TARGETED_FIXED",
        "VSTSTART": _stamp(spec.visit_start_mjd, " "),
        "VISITSTA": "SUCCESSFUL",
        "NEXPOSUR": spec.visit_exposures,
        "INTARGET": False,
        "TARGOOPP": False,
        "TSOVISIT": False,
        "EXP_ONLY": False,
        "CROWDFLD": False,
        "TARGPROP": name,
        "TARGNAME": name,
        "TARGTYPE": "FIXED",
        "TARG_RA": target_ra,
        "TARG_DEC": target_dec,
        "TARGURA": 0.1,
        "TARGUDEC": 0.1,
        "MU_RA": 0.0,
        "MU_DEC": 0.0,
        "MU_EPOCH": "2000-01-01 00:00:00.0000000",
        "PROP_RA": target_ra,
        "PROP_DEC": target_dec,
        "VA_RA": target_ra,
        "VA_DEC": target_dec,
        "GS_ORDER": 1,
        "GSSTRTTM": _stamp(spec.visit_start_mjd, " "),
        "GSENDTIM": _stamp(spec.start_mjd, " "),
        "GDSTARID": "S0000000001",
        "GS_RA": target_ra,
        "GS_DEC": target_dec,
        "GS_MAG": 14.5,
        "GS_V3_PA": spec.camera.attitude.roll_at(0.0, 0.0),
        "PCS_MODE": "FINEGUIDE",
        "VISITEND": _stamp(spec.visit_end_mjd, " "),
    }


def _exposure_values(spec: ExposureSpec) -> dict:
    """Values about instrument, exposure and times."""
    readout = spec.readout
    start, middle, end = spec.start_mjd, (spec.start_mjd + spec.end_mjd) / 2, spec.end_mjd
    delay = BARYCENTRE_DELAY_S / DAY_S
    return {
        "INSTRUME": spec.row.instrument,
        "DETECTOR": spec.row.name,
        "MODULE": spec.row.module or None,
        "CHANNEL": spec.row.channel or None,
        "FILTER": spec.filter.filter or None,
        "PUPIL": spec.filter.pupil or None,
        "PILIN": False,
        "EXPCOUNT": spec.exposure,
        "EXPRIPAR": "PRIME",
        "EXP_TYPE": spec.exp_type,
        "EXPSTART": start,
        "EXPMID": middle,
        "EXPEND": end,
        "OSF_FILE": f"{_stamp(start)[:4]}001T000000000_001_osf.xml",
        "READPATT": spec.readpatt,
        "NOUTPUTS": spec.outputs,
        "NINTS": readout.nints,
        "NGROUPS": readout.ngroups,
        "NFRAMES": readout.nframes,
        "FRMDIVSR": readout.nframes,
        "GROUPGAP": readout.groupgap,
        "DRPFRMS1": 0,
        "DRPFRMS3": 0,
        "NSAMPLES": 1,
        "TSAMPLE": 10.0,
        "TFRAME": readout.frame_s,
        "TGROUP": readout.group_s,
        "EFFINTTM": readout.integration_s,
        "EFFEXPTM": readout.nints * readout.integration_s,
        "DURATION": spec.duration_s,
        "NRSTSTRT": 1,
        "NRESETS": 1,
        "ZEROFRAM": readout.zero_frame,
        "DATAPROB": False,
        "SCA_NUM": spec.row.sca,
        "DATAMODE": 33,
        "SCTARATE": 0.0,
        "IS_PSF": False,
        "SELFREF": False,
        "BARTDELT": BARYCENTRE_DELAY_S,
        "BSTRTIME": start + delay,
        "BENDTIME": end + delay,
        "BMIDTIME": middle + delay,
    }


def _layout_values(spec: ExposureSpec) -> dict:
    """Values about subarray, dither and aperture."""
    ny, nx = spec.aperture.shape
    return {
        "SUBARRAY": spec.subarray,
        "SUBSTRT1": spec.aperture.corner[0],
        "SUBSTRT2": spec.aperture.corner[1],
        "SUBSIZE1": nx,
        "SUBSIZE2": ny,
        "FASTAXIS": spec.row.fast_axis,
        "SLOWAXIS": spec.row.slow_axis,
        "PATTTYPE": "INTRAMODULEBOX" if spec.dithers > 1 else "NONE",
        "PRIDTYPE": "INTRAMODULEBOX" if spec.dithers > 1 else "NONE",
        "PRIDTPTS": spec.dithers,
        "PATT_NUM": spec.dither + 1,
        "NUMDTHPT": spec.dithers,
        "SUBPXPTS": 1,
        "SUBPXPAT": "NONE",
        "XOFFSET": spec.offset[0],
        "YOFFSET": spec.offset[1],
        "APERNAME": spec.aperture.name,
        "PPS_APER": spec.aperture.name,
    }


def _science_values(spec: ExposureSpec) -> dict:
    """Values of the SCI header: times, ephemeris, pointing, WCS."""
    attitude = spec.camera.attitude
    v2, v3 = spec.aperture.v2_ref, spec.aperture.v3_ref
    ra_v1, dec_v1 = attitude.to_sky(0.0, 0.0)
    ra_ref, dec_ref = attitude.to_sky(v2, v3)
    roll = attitude.roll_at(v2, v3)
    delay = BARYCENTRE_DELAY_S / DAY_S
    middle = (spec.start_mjd + spec.end_mjd) / 2
    along = np.array(VELOCITY_KM_S) @ unit_vector(np.radians(ra_ref), np.radians(dec_ref))
    values = {
        "MJD-BEG": spec.start_mjd,
        "MJD-AVG": middle,
        "MJD-END": spec.end_mjd,
        "TDB-BEG": spec.start_mjd + delay,
        "TDB-MID": middle + delay,
        "TDB-END": spec.end_mjd + delay,
        "XPOSURE": spec.readout.nints * spec.readout.integration_s,
        "TELAPSE": spec.duration_s,
        "REFFRAME": "EME2000",
        "EPH_TYPE": "Definitive",
        "EPH_TIME": middle,
        "PA_APER": (roll + spec.aperture.v3_ideal_y_deg) % 360,
        "VA_SCALE": spec.camera.va_scale,
        "BUNIT": "DN",
        "RADESYS": "ICRS",
        "RA_V1": float(ra_v1),
        "DEC_V1": float(dec_v1),
        "PA_V3": attitude.roll_at(0.0, 0.0),
        "V2_REF": v2,
        "V3_REF": v3,
        "VPARITY": spec.aperture.parity,
        "V3I_YANG": spec.aperture.v3_ideal_y_deg,
        "RA_REF": float(ra_ref),
        "DEC_REF": float(dec_ref),
        "ROLL_REF": roll,
        "VELOSYS": -1000.0 * float(along),
    }
    values |= {f"JWST_{axis}": value for axis, value in zip("XYZ", POSITION_KM, strict=True)}
    values |= {f"JWST_D{axis}": value for axis, value in zip("XYZ", VELOCITY_KM_S, strict=True)}
    return values | _linear_wcs(spec)


def _header(rows, values: dict) -> fits.Header:
    """Order the values by the table; a row without keyword is a heading."""
    header = fits.Header()
    for keyword, comment in rows:
        if not keyword:
            header.add_blank()
            header.add_blank(f"       {comment}")
        elif values.get(keyword) is not None:
            # a footprint fills its card
            header[keyword] = (values[keyword], comment) if keyword != "S_REGION" else values[keyword]
    missing = set(values) - {keyword for keyword, _ in rows}
    if missing:
        raise KeyError(f"no row in the header table for {sorted(missing)}")
    return header


def primary_header(spec: ExposureSpec) -> fits.Header:
    """Return the primary header of the uncal file."""
    values = _program_values(spec) | _visit_values(spec) | _exposure_values(spec) | _layout_values(spec)
    values |= dict(spec.keywords)
    return _header(PRIMARY, values)


def science_header(spec: ExposureSpec) -> fits.Header:
    """Return the header of the SCI extension."""
    return _header(SCIENCE, _science_values(spec))

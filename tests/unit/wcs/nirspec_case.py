"""A NIRSpec image with the real references of its optics, as far as they are at hand, for tests here and in parity."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from jwstsm.references import References, Window
from tests.builders import make_slope

DATA = Path(__file__).resolve().parents[4] / "shared" / "data" / "refs" / "nirspec"
NUMBERS = {"fpa": 5, "camera": 4, "collimator": 4, "fore": 28, "ote": 5, "wavelengthrange": 4}
POINTING = {
    "V2_REF": 378.77,
    "V3_REF": -428.16,
    "RA_REF": 53.1,
    "DEC_REF": -27.8,
    "ROLL_REF": 33.3,
    "VA_SCALE": 1.00004,
    "V3I_YANG": 138.8,
    "VPARITY": -1,
}
needs_optics = pytest.mark.skipif(not DATA.is_dir(), reason="the references of NIRSpec's optics are not beside the project")


def optics(folder: Path) -> dict[str, str]:
    """Return the reference files; the mirror is the prism's entry of the wheel turned to where a mirror would be."""
    text = (DATA / "jwst_nirspec_disperser_0034.asdf").read_text()
    mirror = folder / "jwst_nirspec_disperser_0000.asdf"
    mirror.write_text(re.sub(r"(?m)^tilt_y: .*$", "tilt_y: 0.0", text))
    return {k: str(DATA / f"jwst_nirspec_{k}_{n:04d}.asdf") for k, n in NUMBERS.items()} | {"disperser": str(mirror)}


def image(files: dict[str, str], size: int = 2048, **keywords):
    """Return a rate image and its references."""
    base = {"INSTRUME": "NIRSPEC", "DETECTOR": "NRS1", "GRATING": "MIRROR", "FILTER": "CLEAR", "EXP_TYPE": "NRS_IMAGE"}
    slope = make_slope(size, size, **(base | {"GWA_XTIL": 0.34, "GWA_YTIL": 0.031} | keywords))
    for word, value in POINTING.items():
        slope.sci[word] = value
    slope.sci["WCSAXES"] = 2
    return slope, References(dict(files), Window.of(slope.readout), "jwst_test.pmap")

"""NIRSpec images through the real optics: the same positions as the official package, to a millionth of an arcsecond."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from jwstsm.products.fitsio import write
from jwstsm.stage2.assign_wcs import assign_wcs
from tests.parity.judge import JUDGE, needs_judge
from tests.unit.wcs.nirspec_case import image, needs_optics, optics

pytestmark = [pytest.mark.parity, needs_judge, needs_optics, pytest.mark.filterwarnings("ignore")]

CASES = {
    "acquisition": {"EXP_TYPE": "NRS_TACQ", "FILTER": "F140X"},
    "window": {"EXP_TYPE": "NRS_WATA", "FILTER": "F110W", "SUBSTRT1": 513, "SUBSTRT2": 201},
    "focus": {"EXP_TYPE": "NRS_MIMF", "FILTER": "F110W"},
    "closed": {"EXP_TYPE": "NRS_CONFIRM", "FILTER": "OPAQUE", "LAMP": "TEST"},
}


@pytest.mark.parametrize("detector", ["NRS1", "NRS2"])
@pytest.mark.parametrize("case", sorted(CASES))
def test_positions_agree(tmp_path, case, detector):
    files = optics(tmp_path)
    size = 256 if case == "window" else 2048
    slope, refs = image(files, size, DETECTOR=detector, **CASES[case])
    write(slope, tmp_path / "a_rate.fits", "rate")
    command = [JUDGE, Path(__file__).with_name("official_wcs.py"), "a_rate.fits", json.dumps(files), "out.npz"]
    subprocess.run([str(c) for c in command], cwd=tmp_path, check=True, capture_output=True)
    official = np.load(tmp_path / "out.npz")
    made = assign_wcs(slope, refs)
    grid = np.meshgrid(*2 * [np.linspace(0, size - 1, 9)])
    np.testing.assert_allclose(made.wcs(*grid, with_bounding_box=False), official["position"], rtol=0, atol=3e-13)
    assert made.wcs.available_frames == list(official["frames"])
    words = [str(made.sci.get(k)) for k in ("S_REGION", "WAVSTART", "WAVEND", "SPORDER")]
    assert words[1:] == list(official["words"][1:])
    assert words[0].split() == str(official["words"][0]).split()

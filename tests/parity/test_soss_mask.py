"""Where SOSS traces are masked for clean_flicker_noise, for turns of the pupil wheel and windows."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from jwstsm.products import Slope
from jwstsm.stage1._scene_mask import science_regions
from tests.builders import FakeReferences, make_ramp
from tests.parity.judge import JUDGE, needs_judge

pytestmark = [pytest.mark.parity, needs_judge]

#: PWCPOS, subarray, rows, first row of the window (1-based)
CASES = [(245.76, "SUBSTRIP256", 256, 1793), (245.9, "SUBSTRIP256", 256, 1793), (245.6, "SUBSTRIP96", 96, 1803)]


def reference_tree():
    """Return traces of two orders that bend, with what the official function needs to know of their wavelengths."""
    x = np.linspace(2, 2045, 400)
    rows = (70 + 25 * ((x - 900) / 1000) ** 2, 90 + 45 * ((x - 400) / 1000) ** 2)
    # wavelengths fall with the column
    models = [{"coefficients": [2.9, -2.0, 0.0], "scale_extents": [[0, -0.25], [2047, 0.25]]}] * 2
    return {
        "meta": {
            "pwcpos_bounds": [245.5, 246.1], "pwcpos_cmd": 245.76, "subarray_ymin": 1792, "soss_xdim": 2048,
            "soss_ydim": 300, "wavemap_wlmin": 0.5, "wavemap_wlmax": 5.5, "wavemap_nwl": 5001,
        },
        "traces": [
            {"spectral_order": n + 1, "pivot_x": 1024.0, "pivot_y": 80.0, "trace": np.stack((x, y), axis=1).tolist()}
            for n, y in enumerate(rows)
        ],
        "wavecal_models": models,
    }  # fmt: skip


def ours(tree, angle, ny, first):
    arrays = {**tree, "traces": [{**t, "trace": np.array(t["trace"])} for t in tree["traces"]]}
    keywords = {"INSTRUME": "NIRISS", "EXP_TYPE": "NIS_SOSS", "SUBSTRT2": first, "PWCPOS": angle, "FASTAXIS": -2}
    ramp = make_ramp(1, 2, ny, 2048, SLOWAXIS=-1, **keywords)
    plane = np.zeros((ny, 2048), np.float32)
    names = ("data", "err", "var_poisson", "var_rnoise")
    rate = Slope(**ramp.headers_copy(), suffix="rate", dq=plane.astype(np.uint32), **dict.fromkeys(names, plane))
    return science_regions(rate, FakeReferences({"pastasoss": {"tree": arrays}}))


def test_traces_are_masked_where_the_official_step_does(tmp_path):
    tree = reference_tree()
    script = Path(__file__).with_name("official_soss.py")
    out = tmp_path / "masks.npz"
    cases = json.dumps([case[:3] for case in CASES])
    subprocess.run([str(JUDGE), str(script), json.dumps(tree), cases, str(out)], check=True, cwd=tmp_path)
    with np.load(out) as masks:
        for k, (angle, name, ny, first) in enumerate(CASES):
            lit, judge = ours(tree, angle, ny, first), ~masks[str(k)]
            assert 0.1 < judge.mean() < 0.9
            # traces are interpolated on another grid: single pixels at the border
            assert (lit == judge).mean() > 0.9995, (name, angle, (lit != judge).sum())

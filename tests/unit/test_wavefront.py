"""Wavefront-sensing pairs from their association to files, and what the workflow plans for them."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

from jwstsm.errors import InputError
from jwstsm.plan import Plan
from jwstsm.products import read
from jwstsm.products.fitsio import write
from jwstsm.wavefront import run_pairs
from tests.builders import make_slope
from tests.unit.stage3.dithers import plain_wcs

NAME = "jw00001-o001_t001_nircam_f212n-nrca3_{suffix}-01"
FILE = NAME.format(suffix="wfscmb")


def association(folder, members: list[str]) -> str:
    product = {"name": NAME, "members": [{"expname": m, "exptype": "science"} for m in members]}
    path = folder / "wfs_asn.json"
    path.write_text(json.dumps({"asn_type": "wfs-image3", "asn_id": "o001", "products": [product]}))
    return path


@pytest.fixture
def members(tmp_path):
    names = []
    for k in range(2):
        slope = make_slope(40, 40)
        slope.data, slope.err = np.full((40, 40), 2.0 + 2 * k, np.float32), np.ones((40, 40), np.float32)
        slope.dq, slope.wcs = np.zeros((40, 40), np.uint32), plain_wcs((40, 40))
        names.append(f"jw00001001001_02101_0000{k + 1}_nrca3_cal.fits")
        write(slope, tmp_path / names[-1], "cal")
    return names


def test_a_pair_becomes_one_file(tmp_path, members):
    (made,) = run_pairs(association(tmp_path, members), tmp_path / "out", record=tmp_path / "record.json").values()
    assert made.name == f"{FILE}.fits"
    product = read(made)
    assert np.array_equal(product.data, np.full((40, 40), 3.0, np.float32))
    assert product.primary["S_WFSCOM"] == "COMPLETE"
    assert product.primary["ASNTABLE"] == "wfs_asn.json"
    assert product.wcs is not None
    assert json.loads((tmp_path / "record.json").read_text())["pipeline"] == "wfs-image3"


def test_a_pair_of_one_is_refused(tmp_path, members):
    with pytest.raises(InputError, match="two images"):
        run_pairs(association(tmp_path, members[:1]), tmp_path)


def test_the_plan_makes_pairs_and_mosaics_apart():
    def entry(pipeline, name):
        product = {"name": name, "members": [{"expname": f"e{k}_cal.fits", "exptype": "science"} for k in (1, 2)]}
        return {"level": 3, "pipeline": pipeline, "id": "o001", "file": "x_asn.json", "products": [product]}

    program = SimpleNamespace(lock_of=lambda name, pipeline: f"references/{name}_{pipeline}.json")
    plan = Plan(program, [entry("image3", "mosaic"), entry("wfs-image3", NAME), entry("spec3", "other")])
    assert list(plan.mosaics) == ["mosaic"]
    assert list(plan.pairs) == [FILE]
    assert plan.pair_files(FILE) == ["stage2/e1_cal.fits", "stage2/e2_cal.fits"]
    assert plan.pair_lock(FILE) == "references/e1_wfs-image3.json"
    assert plan.pair_association(FILE) == {"product": FILE, "acid": "o001", "file": "x_asn.json"}

"""Pools with the associations that the official generator makes of them, where they are installed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

DATA = Path(os.environ.get("JWSTSM_TEST_DATA", Path(__file__).resolve().parents[4] / "shared" / "data"))
POOLS = DATA / "pools"
NAMES = [
    "jw00632_dups",
    "jw09505_20251216t202003_pool",
    "pool_001_candidates",
    "pool_002_image_miri",
    "pool_003_image_nircam",
    "pool_004_wfs",
    "pool_006_spec_nirspec",
    "pool_007_spec_miri",
    "pool_010_spec_nirspec_lv2bkg",
    "pool_013_coron_nircam",
    "pool_017_spec_nirspec_lv2imprint",
    "pool_018_all_exptypes",
    "pool_019_niriss_wfss",
    "pool_020_00009_image_miri",
    "pool_023_nirspec_msa_3nod",
    "pool_024_nirspec_fss_nods",
    "pool_024b_nirspec_fss_nods",
    "pool_duplicate",
]


def pool_path(name: str) -> Path:
    """Return the path of a pool; skip the test if it is not here."""
    path = POOLS / f"{name}.csv"
    if not path.exists():
        pytest.skip(f"no test pools in {POOLS}; JWSTSM_TEST_DATA names the folder that has them")
    return path

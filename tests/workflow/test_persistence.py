"""Persistence follows the exposures of a detector through time, where it is switched on."""

from __future__ import annotations

import json

import numpy as np
import pytest
from astropy.io import fits

from jwstsm.cli import main
from jwstsm.core.dq import DO_NOT_USE
from jwstsm.sim import simulate_program
from tests.workflow.conftest import planned, snakemake

pytestmark = pytest.mark.filterwarnings("ignore")

OPTIONS = {"skip": "false", "persistence_time": "3000", "dn_threshold": "15", "persistence_dnu": "true"}
ON = ", ".join(f"{name}: {value}" for name, value in OPTIONS.items())
ON = f"overrides: [{{match: {{DETECTOR: NRCBLONG}}, steps: {{persistence: {{{ON}}}}}}}]"


def test_each_exposure_hands_its_persistence_to_the_next_of_its_detector(tmp_path):
    """With the option off there is no such edge; with it on, the second exposure starts with the windows of the first."""
    simulate_program(tmp_path, "tiny", 4, dithers=((0.0, 0.0), (0.4, 0.3)))
    context = next((tmp_path / "crds_cache" / "mappings" / "jwst").glob("*.pmap")).name
    main(["init", str(tmp_path), "--context", context, "--crds-path", str(tmp_path / "crds_cache"), "--crds-server", ""])
    config = tmp_path / "config.yaml"
    config.write_text(config.read_text().replace("stages: [1, 2, 3]", "stages: [1]"))
    first, second = sorted(p.name.removesuffix("_uncal.fits") for p in (tmp_path / "uncal").iterdir())
    assert snakemake(tmp_path, "references/lock.json").returncode == 0
    assert planned(tmp_path, "stage1")["detector1"] == 2
    config.write_text(config.read_text().replace("overrides: []", ON))
    assert planned(tmp_path, "stage1")["detector1_in_turn"] == 2
    done = snakemake(tmp_path, "stage1")
    assert done.returncode == 0, done.stderr[-3000:]
    windows = [tmp_path / "stage1" / f"{name}_persistence.asdf" for name in (first, second)]
    assert all(path.exists() for path in windows)
    assert windows[0].stat().st_mtime < windows[1].stat().st_mtime
    record = json.loads((tmp_path / "logs" / "detector1" / f"{second}.json").read_text())
    assert {s["name"]: s["status"] for s in record["steps"]}["persistence"] == "COMPLETE"
    together = _flagged(tmp_path / "stage1" / f"{second}_rate.fits")
    uncal = tmp_path / "uncal" / f"{second}_uncal.fits"
    options = [
        "--persistence.skip",
        "false",
        "--persistence.persistence_time",
        "3000",
        "--persistence.dn_threshold",
        "3000",
    ]
    main(["run", "detector1", str(uncal), "--output-dir", str(tmp_path / "alone"), "--config", str(config), *options])
    alone = _flagged(tmp_path / "alone" / f"{second}_rate.fits")
    assert together[alone].all()
    assert together.sum() > alone.sum()


def _flagged(path) -> np.ndarray:
    with fits.open(path) as hdus:
        return (hdus["DQ"].data & DO_NOT_USE) > 0

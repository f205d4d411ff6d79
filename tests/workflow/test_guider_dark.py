"""Guide-star data and darks that lie among the exposures of a program are calibrated by their own pipelines."""

from __future__ import annotations

import json

import pytest
from astropy.io import fits

from jwstsm.cli import write_config
from jwstsm.products import Guider, Ramp, read
from jwstsm.sim.presets import PRESETS, Observation, Preset
from jwstsm.sim.program import simulate_program
from tests.workflow.conftest import planned, snakemake

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

STAR = Observation(
    (("GUIDER1", "FGS"),),
    "128X128",
    readpatt="ACQ1",
    ngroups=2,
    nints=6,
    outputs=1,
    exp_type="FGS_ACQ1",
    window=(1018, 841, 128, 128),
)
DARK = Observation(
    (("NIS", "F150W"),), "SUB64", "SUB64", readpatt="NISRAPID", ngroups=4, nints=2, outputs=1, exp_type="NIS_DARK"
)
ACQUISITION = "jw09001002001_gs-acq1_2023305010203"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An image, an acquisition under the archive's name and a dark, planned but not run."""
    folder = tmp_path_factory.mktemp("mixed")
    tiny = PRESETS["tiny"]
    paths = simulate_program(folder, Preset((*tiny.observations, STAR, DARK), crowd=tiny.crowd), seed=3)
    (star,) = [p for p in paths.uncal if "guider1" in p.name]
    star.rename(star.with_name(f"{ACQUISITION}_uncal.fits"))
    write_config(folder / "config.yaml", "jwst_9001.pmap", "crds_cache", "")
    (folder / "Snakefile").write_text("from jwstsm.workflow import snakefile\ninclude: snakefile()\n")
    return folder


def test_each_goes_through_its_own_pipeline(folder):
    jobs = planned(folder, "stage1")
    assert (jobs["guider"], jobs["dark"], jobs["detector1"]) == (1, 1, 1)


def test_their_products_are_made_and_open_in_the_official_models(folder):
    from stdatamodels.jwst import datamodels

    done = snakemake(folder, "all")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    star = read(folder / "stage1" / f"{ACQUISITION}_cal.fits")
    assert isinstance(star, Guider)
    assert star.data.shape == (6, 128, 128)
    (path,) = (folder / "stage1").glob("*_nis_dark.fits")
    dark = read(path)
    assert isinstance(dark, Ramp)
    assert dark.data.shape == (2, 4, 64, 64)
    for file, model in ((star.path, datamodels.GuiderCalModel), (path, datamodels.RampModel)):
        with datamodels.open(file, strict_validation=True) as opened:
            assert isinstance(opened, model)
            opened.validate()
    record = json.loads((folder / "logs" / "guider" / f"{ACQUISITION}.json").read_text())
    assert [step["name"] for step in record["steps"]] == ["dq_init", "guider_cds", "flat_field"]
    assert fits.getval(path, "S_LINEAR") == "COMPLETE"
    assert "S_DARK" not in fits.getheader(path)

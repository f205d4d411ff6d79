"""One exposure that fails does not take the others with it, and the page says so until it is mended."""

from __future__ import annotations

import shutil

from tests.workflow.conftest import snakemake


def test_the_report_shows_what_is_there_and_what_failed(program):
    """With --keep-going the good exposure is calibrated and reported; once the bad one is mended the page is whole."""
    good = next((program / "uncal").glob("*_uncal.fits"))
    bad = good.with_name(good.name.replace("_00001_", "_00002_"))
    bad.write_bytes(good.read_bytes()[:-20000])
    done = snakemake(program, "--keep-going")
    page = program / "report" / "index.html"
    text = page.read_text()
    assert done.returncode == 1
    assert f"report of what is done: {page}" in done.stderr
    assert (program / "stage2" / good.name.replace("_uncal", "_cal")).exists()
    assert "the run did not finish" in text
    assert f"detector1 {bad.name.removesuffix('_uncal.fits')} failed" in text
    assert good.name.replace("_uncal", "_cal") in text
    assert bad.name.replace("_uncal", "_cal") not in text

    shutil.copy(good, bad)
    done = snakemake(program)
    assert done.returncode == 0, done.stderr[-3000:]
    text = page.read_text()
    assert "the run did not finish" not in text
    assert bad.name.replace("_uncal", "_cal") in text

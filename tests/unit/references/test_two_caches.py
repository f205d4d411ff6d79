"""Two CRDS caches that name their contexts alike do not mix."""

from __future__ import annotations

from jwstsm.cli import main
from jwstsm.headers import parse_header
from jwstsm.references.select import Selector


def test_the_same_context_of_another_cache_is_read_anew(tmp_path):
    """A selector of a second cache gives its references, and one of the first cache, asked again, those of the first."""
    selected = {}
    for name, preset in (("a", "tiny"), ("b", "miri_sub256"), ("again", "tiny")):
        folder = tmp_path / ("a" if name == "again" else name)
        if not folder.exists():
            main(["demo", str(folder), "--preset", preset])
        header = parse_header(next((folder / "uncal").glob("*_uncal.fits")))
        selector = Selector("jwst_9001.pmap", folder / "crds_cache", server=None)
        files, missing = selector.select(header, ["mask", "gain"])
        assert not missing
        selected[name] = files["mask"]
    assert "nircam" in selected["a"]
    assert "miri" in selected["b"]
    assert selected["again"] == selected["a"]

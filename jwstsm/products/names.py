"""File names of products."""

from __future__ import annotations

from pathlib import Path

__all__ = ["LOCK_PROBLEMS", "lock_file", "pair_file", "split_name"]


def split_name(path: str | Path) -> tuple[str, str]:
    """Split ``.../jw..._nrca1_rate.fits`` into ``("jw..._nrca1", "rate")``; the suffix is "" if there is none."""
    stem = Path(path).name.removesuffix(".gz").removesuffix(".fits").removesuffix(".asdf")
    base, _, suffix = stem.rpartition("_")
    return (base, suffix) if base else (stem, "")


LOCK_PROBLEMS = "problems.txt"
"""Beside the program's lock of references, if exposures that lack some were let pass."""


def lock_file(exposure: str, pipeline: str) -> str:
    """Return the name of the file that says which references serve a pipeline on an exposure."""
    return f"{exposure}_{pipeline}.json"


def pair_file(product: str) -> str:
    """Return the file name of a combined wavefront-sensing pair, whose product name has a place for the suffix in it."""
    return product.format(suffix="wfscmb") + ".fits" if "{suffix}" in product else f"{product}_wfscmb.fits"

"""Headers of a mosaic from the headers of its inputs, and the table that keeps the inputs' own (``HDRTAB``).

The rules are a table, ``blend_rules.yaml``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from typing import Any

import numpy as np
from astropy.io import fits

from jwstsm.files import parse_yaml

__all__ = ["apply_blended", "blend", "header_table", "rules"]

_BAD_WHEEL, _GOOD_WHEEL = "outside calibration tolerance", "within commanded tolerance"


@functools.cache
def rules() -> dict:
    """Return the table of rules."""
    return parse_yaml(resources.files("jwstsm.core").joinpath("blend_rules.yaml").read_text())


def _multi(values: Sequence) -> Any:
    return values[0] if all(v == values[0] for v in values) else "MULTIPLE"


def _wheel(values: Sequence) -> str:
    return _BAD_WHEEL if _BAD_WHEEL in values else _GOOD_WHEEL


_FUNCTIONS: dict[str, Callable[[Sequence], Any]] = {
    "min": min,
    "max": max,
    "mean": lambda values: float(np.mean(values)),
    "sum": lambda values: float(np.sum(values)),
    "multi": _multi,
    "wheeltol": _wheel,
}


def blend(headers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the keywords of the mosaic that are not simply those of the first input.

    Parameters
    ----------
    headers : list of mapping
        Keywords of each input. Inputs that lack a keyword do not count for it.
    """
    out = {}
    for rule, keywords in rules()["rules"].items():
        for keyword in keywords:
            values = [h[keyword] for h in headers if h.get(keyword) is not None]
            if values:
                out[keyword] = _FUNCTIONS[rule](values)
    return out


def apply_blended(primary: fits.Header, sci: fits.Header, headers: Sequence[Mapping[str, Any]]) -> None:
    """Bring the headers of the first input up to date for the mosaic, in place."""
    for keyword, value in blend(headers).items():
        for header in (primary, sci):
            if keyword in header:
                header[keyword] = value
    for keyword in rules()["dropped"]:
        for header in (primary, sci):
            header.remove(keyword, ignore_missing=True)


def header_table(headers: Sequence[Mapping[str, Any]]) -> np.recarray:
    """Return the table of the inputs' keywords, one row per input.

    Returns
    -------
    recarray
        Integers, reals, truth values and texts keep their kind; what an input lacks is NaN, among texts ``nan``.
    """
    arrays, names = [], []
    for keyword in rules()["table"]:
        values = [h.get(keyword) for h in headers]
        if any(v is not None for v in values):
            arrays.append(np.array([np.nan if v is None else v for v in values]))
            names.append(keyword)
    return np.rec.fromarrays(arrays, names=names)

"""Facts about one exposure that the rules ask for but the pool does not say directly.

An `Exposure` wraps a pool row: its defined values, its role in an association, whether it is a time series or a
wavefront visit, and whether its light falls on its detector. The tables behind these answers (``lists``,
``roles``, ``light``) are in ``rules.yaml``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import yaml

from jwstsm.associations.pool import UNDEFINED


@dataclass(frozen=True)
class Vocabulary:
    """The tables of ``rules.yaml`` that describe exposures."""

    lists: Mapping[str, frozenset[str]]
    role_of: Mapping[str, str]
    light: Mapping[str, Mapping[str, frozenset[str]]]


@lru_cache(maxsize=1)
def rule_file() -> dict:
    """Return the parsed ``rules.yaml``."""
    text = Path(__file__).with_name("rules.yaml").read_text(encoding="utf-8")
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


@lru_cache(maxsize=1)
def vocabulary() -> Vocabulary:
    """Return the exposure tables, with lists of lists flattened."""
    table = rule_file()
    raw = table["lists"]

    def flat(names) -> frozenset[str]:
        return frozenset(kind for name in names for kind in (flat(raw[name]) if name in raw else {name}))

    return Vocabulary(
        lists={name: flat(members) for name, members in raw.items()},
        role_of={kind: role for role, kinds in table["roles"].items() for kind in kinds},
        light={name: {key: frozenset(v) for key, v in part.items()} for name, part in table["light"].items()},
    )


class Exposure:
    """One row of a pool with everything the rules want to know about it.

    Attributes
    ----------
    row : mapping
        The pool row as read (text, undefined values included).
    values : dict
        Column -> value for the defined columns only, plus the facts ``tso wfsc nonscience_image lit_slit lit_ifu
        lit_lamp lit_mask`` (bool).
    role : str
        science, psf, imprint, background, target_acquisition, dark, flat, ...
    """

    __slots__ = ("filename", "index", "is_science_pointing", "role", "row", "values")

    def __init__(self, row: Mapping[str, str], index: int = 0) -> None:
        words = vocabulary()
        self.row, self.index, self.filename = row, index, row["filename"]
        values: dict = {name: value for name, value in row.items() if value not in UNDEFINED}
        self.values = values
        kind = values.get("exp_type")
        pointing = values.get("pntgtype", "science")
        self.role = _role(values, kind, pointing, words)
        self.is_science_pointing = pointing == "science" and kind not in words.lists["acquisition"]
        tso_kind = kind in words.lists["always_tso"]
        values["tso"] = pointing == "science" and (values.get("tsovisit") == "t" or tso_kind)
        values["wfsc"] = "wfsc" in values.get("visitype", "")
        values["nonscience_image"] = _is_nonscience_image(values, kind, self.role, words)
        values["lit_slit"] = _slit_is_lit(values, words)
        values["lit_ifu"] = _ifu_is_lit(values, words)
        values["lit_lamp"] = _lamp_is_lit(values, words)
        values["lit_mask"] = _mask_is_lit(values, words)

    def keeps_integrations(self, *, in_tso: bool, coron_as_image: bool) -> bool:
        """Return whether its slope product keeps the integrations apart (``rateints``, ``calints``)."""
        if not self.is_science_pointing:
            return False
        lists, kind = vocabulary().lists, self.values.get("exp_type")
        coron = kind in lists["coron"] and not coron_as_image and not self._misses_mask()
        tso = in_tso or self.values.get("tsovisit") == "t" or kind in lists["always_tso"]
        return coron or tso or kind in lists["ami"]

    def _misses_mask(self) -> bool:
        values = self.values
        masks = vocabulary().light["no_mask"]
        full_coron = values.get("exp_type") == "nrc_coron" and values.get("subarray") == "full"  # MIRI has one detector
        return full_coron and values.get("detector") in masks.get(values.get("pupil"), ())


def _role(values: Mapping, kind: str | None, pointing: str, words: Vocabulary) -> str:
    """Return the role: the pointing decides, then the kind, then the flags psf, imprint, background in this order."""
    if pointing != "science":
        return pointing
    if kind in words.role_of:
        return words.role_of[kind]
    for flag, role in (("is_psf", "psf"), ("is_imprt", "imprint"), ("bkgdtarg", "background")):
        if flag in values:
            return role
    return "science"


def _is_nonscience_image(values: Mapping, kind: str | None, role: str, words: Vocabulary) -> bool:
    if role == "target_acquisition" or kind in words.lists["image2_other"]:
        return True
    # An MSA exposure through the mirror with all shutters open is an image of the field.
    return (kind, values.get("msastate"), values.get("grating")) == (
        "nrs_msaspec",
        "primarypark_allopen",
        "mirror",
    )


def _slit_is_lit(values: Mapping, words: Vocabulary) -> bool:
    slit = values.get("fxd_slit")
    if slit is None:
        return False
    path = f"{'s200b1' if slit == 's200b1' else 'a'} {values.get('grating')} {values.get('filter')}"
    return values.get("detector") in words.light["slit"].get(path, ())


def _ifu_is_lit(values: Mapping, words: Vocabulary) -> bool:
    if values.get("exp_type") != "nrs_ifu":  # the question only arises for the NIRSpec IFU
        return True
    return values.get("detector") in words.light["ifu"].get(f"{values.get('grating')} {values.get('filter')}", ())


def _lamp_is_lit(values: Mapping, words: Vocabulary) -> bool:
    detector, grating, mode, lamp = (values.get(name) for name in ("detector", "grating", "opmode", "lamp"))
    if detector is None or grating is None:
        return False
    if mode == "msaspec":
        return True
    if mode == "ifu" and lamp is not None:
        dark_half = (grating, lamp, detector) == ("g140h", "flat4", "nrs2")
        return detector in words.light["ifu_lamp"].get(grating, ()) and not dark_half
    if mode == "fixedslit":
        return lamp in words.light["slit_lamp"].get(grating, ()) and detector in ("nrs1", "nrs2")
    return False


def _mask_is_lit(values: Mapping, words: Vocabulary) -> bool:
    if not {"detector", "subarray", "pupil"} <= values.keys():
        return False
    return values["subarray"] != "full" or values["detector"] not in words.light["no_mask"].get(values["pupil"], ())

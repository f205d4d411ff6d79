"""The two tables that say what is done to an exposure: exposure types and step sequences."""

from __future__ import annotations

import csv
import fnmatch
import functools
from collections.abc import Mapping
from importlib import resources
from typing import Any, NamedTuple

from jwstsm.errors import InputError
from jwstsm.files import parse_yaml

__all__ = [
    "ExposureType",
    "exposure_type",
    "is_tso",
    "matches",
    "pipeline_input",
    "pipeline_of",
    "sequence",
    "sequences",
    "stage_of",
]


class ExposureType(NamedTuple):
    """One row of ``exposure_types.csv``."""

    exp_type: str
    stage1: str
    stage2: str
    stage2_input: str
    stage3: str
    tso: str


@functools.cache
def _exposure_types() -> dict[str, ExposureType]:
    text = resources.files("jwstsm").joinpath("exposure_types.csv").read_text()
    return {row["exp_type"]: ExposureType(**row) for row in csv.DictReader(text.splitlines())}


@functools.cache
def sequences() -> dict[str, dict]:
    """Return ``sequences.yaml``."""
    return parse_yaml(resources.files("jwstsm").joinpath("sequences.yaml").read_text())


def exposure_type(header: Mapping[str, Any], name: str = "exposure") -> ExposureType:
    """Return the row of an exposure.

    Raises
    ------
    InputError
        If ``EXP_TYPE`` is missing or is in no row.
    """
    value = header.get("EXP_TYPE")
    if value is None:
        raise InputError(f"{name}: keyword EXP_TYPE is missing; the file is not an archive product, download it again")
    row = _exposure_types().get(str(value).strip().upper())
    if row is None:
        raise InputError(
            f"{name}: EXP_TYPE is '{value}', which is no exposure type of JWST; correct the keyword, "
            "or take the file out of the uncal folder"
        )
    return row


def is_tso(header: Mapping[str, Any]) -> bool:
    """Whether an exposure is a time series: by its type, its visit, or its number of integrations."""
    row = _exposure_types().get(str(header.get("EXP_TYPE", "")).strip().upper())
    visit = str(header.get("TSOVISIT", False)).upper() in ("T", "TRUE")
    rule = row.tso if row else "never"
    if rule == "integrations":
        return visit or int(header.get("NINTS", 1)) > 1
    return rule == "always" or (rule == "visit" and visit)


def pipeline_input(header: Mapping[str, Any]) -> str:
    """Return which product of stage 1 goes into stage 2: ``rate`` or ``rateints``."""
    row = exposure_type(header)
    return "rateints" if is_tso(header) else row.stage2_input


def matches(rule: Mapping[str, Any], header: Mapping[str, Any]) -> bool:
    """Whether every keyword of ``rule`` has one of the wanted values in ``header``.

    Values are compared as texts, without regard to case; ``*`` and ``?`` are wildcards. ``TSO`` is worked out.
    """
    for keyword, wanted in rule.items():
        value = is_tso(header) if keyword == "TSO" and "TSO" not in header else header.get(keyword)
        if value is None:
            return False
        text = str(value).strip().upper()
        options = wanted if isinstance(wanted, (list, tuple)) else [wanted]
        if not any(fnmatch.fnmatchcase(text, str(option).strip().upper()) for option in options):
            return False
    return True


def stage_of(pipeline: str, step: str = "") -> str:
    """Return the room that holds the steps of a pipeline, such as ``stage1``, or one step that comes from elsewhere."""
    whole = sequences()[pipeline]
    for order in whole["orders"] if step else ():
        for entry in order["steps"]:
            if isinstance(entry, dict) and step in entry:
                return entry[step].get("stage", whole["stage"])
    return whole["stage"]


def pipeline_of(step: str, header: Mapping[str, Any]) -> str:
    """Return a pipeline that has a step, preferring one whose order for this header has it."""
    having = [pipeline for pipeline in sequences() if step in sequence(pipeline)]
    if not having:
        raise InputError(f"there is no step '{step}'")
    return next((pipeline for pipeline in having if step in sequence(pipeline, header)), having[0])


def sequence(pipeline: str, header: Mapping[str, Any] | None = None) -> list[str]:
    """Return the ordered steps of a pipeline for a header (None: every step it can have, in order)."""
    orders = sequences()[pipeline]["orders"]
    found: list[str] = []
    for order in orders:
        if header is not None and not matches(order.get("when", {}), header):
            continue
        for entry in order["steps"]:
            name, rule = (entry, {}) if isinstance(entry, str) else next(iter(entry.items()))
            if header is not None:
                if not matches(rule.get("only", {}), header):
                    continue
                if rule.get("never") and matches(rule["never"], header):
                    continue
            if name not in found:
                found.append(name)
        if header is not None:
            break
    return found

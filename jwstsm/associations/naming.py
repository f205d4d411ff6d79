"""Names: of members (the files an association reads) and of products (the files it makes).

Source: the file naming section of the specification.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

from jwstsm.associations.engine import Group
from jwstsm.associations.facts import Exposure, vocabulary

# Form of the product name by the `name` field of a rule. {source_id}, {slit_name} and {suffix} stay in the name
# and are filled by the stage 3 steps, which know the sources.
FORMS = {
    "default": "jw{program}-{acid}_{target}_{instrument}_{optics}{slit}{subarray}",
    "no_optics": "jw{program}-{acid}_{target}_{instrument}",
    "no_subarray": "jw{program}-{acid}_{target}_{instrument}_{optics}",
    "sources": "jw{program}-{acid}_{{source_id}}_{instrument}_{optics}{slit}{subarray}",
    "fixed_slit": "jw{program}-{acid}_{target}-{{source_id}}_{instrument}_{optics}-{{slit_name}}{subarray}",
    "coron_image": "jw{program}-{acid}_{target}_{instrument}_{optics}{subarray}-image3",
    "wfs_pair": "jw{program}-{acid}_{target}_{instrument}_{optics}{slit}{subarray}-{detector}_{{suffix}}-{activity:0>2}",
}

_UNCAL = re.compile(r"(?P<root>.+)_uncal(?P<extension>\..+)$")
_OPTICAL = frozenset({"filter", "pupil", "grating"})
_SUFFIX = re.compile(
    r"^(?P<root>.+?)(?:[_-](?:uncal|ramp|rate|rateints|bsub|bsubints|cal|calints|crf|crfints|i2d|s2d|s3d|x1d|x1dints|"
    r"c1d|cat|segm|dark|phot|whtlt|wfscmb|psfstack|psfalign|psfsub|ami-oi|aminorm-oi|median|blot))?$"
)


def exposure_root(filename: str) -> str:
    """Return the name of an exposure without path, extension and product suffix."""
    match = _SUFFIX.match(PurePosixPath(filename).stem)
    return match["root"] if match else filename


def slope_name(exposure: Exposure, *, integrations: bool) -> str:
    """Return the name of the stage 1 product of an uncal file; other names are kept."""
    return _renamed(exposure.filename, "rateints" if integrations else "rate")


def calibrated_name(exposure: Exposure, role: str, *, integrations: bool) -> str:
    """Return the name of the stage 2 product of an uncal file that is a member in a given role."""
    if role == "background":
        suffix = "x1d"
    else:
        suffix = "cal" if exposure.values.get("exp_type") in vocabulary().lists["calibrated"] else "rate"
    return _renamed(exposure.filename, suffix + ("ints" if integrations else ""))


def _renamed(filename: str, suffix: str) -> str:
    match = _UNCAL.match(filename)
    return f"{match['root']}_{suffix}{match['extension']}" if match else filename


def target_name(group: Group) -> str:
    """Return ``t`` and the target number; ``t000`` where the rule does not look at the target."""
    return f"t{group.value('targetid') or '':0>3}"


def optics_name(values: Iterable[str | None]) -> str:
    """Return the optical elements in alphabetical order, ``clear`` if there are none."""
    return "-".join(sorted(value for value in values if value)) or "clear"


def product_name(group: Group, acid: str, form: str, optics: str | None = None) -> str:
    """Return the name of the stage 3 product of a group.

    Parameters
    ----------
    group : Group
        Its shared values and slits are used.
    acid : str
        Candidate identifier.
    form : str
        Key of `FORMS`.
    optics : str, optional
        Optical elements, if not those of the group (direct image of a grism exposure).
    """
    fields = _shared(group)
    subarray = fields.get("subarray")
    slits = "-".join(sorted(group.slits))
    return FORMS[form].format(
        program=program_text(group.entries[0].exposure),
        acid=acid,
        target=target_name(group),
        instrument=fields.get("instrume") or "",
        optics=optics or optics_name(value for name, value in fields.items() if name in _OPTICAL),
        slit=f"-{slits}" if slits else "",
        subarray=f"-{subarray}" if subarray and subarray != "full" else "",
        detector=fields.get("detector"),
        activity=fields.get("act_id") or "",
    )


def program_text(exposure: Exposure) -> str:
    """Return the program number with five digits."""
    return f"{exposure.row['program']:0>5}"


def _shared(group: Group) -> Mapping[str, str | None]:
    """Return column -> shared value; of alternatives, the column that has one."""
    shared: dict[str, str | None] = {}
    for slot, value in zip(group.rule.slots, group.key, strict=True):
        if value is not None and len(slot.columns) > 1:
            column, _, value = value.partition(":")
        else:
            column = slot.columns[0]
        shared[column] = value
    return shared


def shared_text(group: Group) -> str:
    """Return the shared values as one line for the reader of the association file."""
    pairs = [f"{column}={value}" for column, value in _shared(group).items() if value is not None]
    return "; ".join(pairs)

"""Small pools built in memory."""

from __future__ import annotations

from jwstsm.associations import Association, Pool

_COMMON = {
    "obs_id": "null", "program": "1234", "obs_num": "1", "visitype": "prime_targeted_fixed", "act_id": "01",
    "exp_type": "nrc_image", "instrume": "nircam", "detector": "nrca1", "channel": "null", "targetid": "1",
    "pntgtype": "science", "expspcin": "1", "dithptin": "1", "mostilno": "1", "filter": "null", "pupil": "null",
    "patttype": "null", "numdthpt": "null", "subpxpts": "null", "patt_num": "null", "subarray": "full",
    "grating": "null", "fxd_slit": "null", "band": "null", "exposerr": "null", "is_psf": "f", "is_imprt": "f",
    "bkgdtarg": "f", "tsovisit": "f", "msastate": "null", "msametfl": "null", "opmode": "null", "lamp": "null",
    "dms_note": "null", "nints": "5",
}  # fmt: skip

MODES = {
    "nircam": {"exp_type": "nrc_image", "instrume": "nircam", "detector": "nrca1", "channel": "short",
               "filter": "f200w", "pupil": "clear"},
    "miri": {"exp_type": "mir_image", "instrume": "miri", "detector": "mirimage", "filter": "f770w"},
    "mrs": {"exp_type": "mir_mrs", "instrume": "miri", "detector": "mirifulong", "band": "short", "channel": "34"},
    "lrs": {"exp_type": "mir_lrs-fixedslit", "instrume": "miri", "detector": "mirimage", "filter": "p750l"},
    "slit": {"exp_type": "nrs_fixedslit", "instrume": "nirspec", "detector": "nrs1", "filter": "f290lp",
             "grating": "g395m", "fxd_slit": "s400a1", "numdthpt": "3", "subpxpts": "1"},
    "msa": {"exp_type": "nrs_msaspec", "instrume": "nirspec", "detector": "nrs1", "filter": "clear", "grating": "prism",
            "msametfl": "a_msa.fits", "numdthpt": "3", "subpxpts": "1"},
    "ifu": {"exp_type": "nrs_ifu", "instrume": "nirspec", "detector": "nrs1", "filter": "f290lp", "grating": "g395h",
            "patttype": "cycling"},
    "wfss": {"exp_type": "nis_wfss", "instrume": "niriss", "detector": "nis", "filter": "gr150r", "pupil": "f200w"},
    "niriss": {"exp_type": "nis_image", "instrume": "niriss", "detector": "nis", "filter": "clear", "pupil": "f200w"},
    "coron": {"exp_type": "mir_4qpm", "instrume": "miri", "detector": "mirimage", "filter": "f1065c",
              "subarray": "mask1065"},
    "soss": {"exp_type": "nis_soss", "instrume": "niriss", "detector": "nis", "filter": "clear", "pupil": "gr700xd",
             "subarray": "substrip256", "tsovisit": "t"},
}  # fmt: skip


def row(mode: str, number: int, **values: str) -> dict[str, str]:
    """Return a pool row of a mode; ``candidates`` adds (id, type) pairs to the observation."""
    more = values.pop("candidates", [])
    made = _COMMON | MODES[mode] | {name: str(value) for name, value in values.items()}
    observation = (f"o{int(made['obs_num']):03d}", "observation")
    program = int(made["program"])
    made["filename"] = f"jw{program:05d}{observation[0][1:]}001_02101_{number:05d}_{made['detector']}_uncal.fits"
    made["asn_candidate"] = str([observation, *more])
    return made


def pool(*rows: dict[str, str]) -> Pool:
    """Return a pool of rows."""
    return Pool(list(rows), ["filename", *_COMMON, "asn_candidate"])


def members(association: Association) -> dict[str, list[str]]:
    """Return role -> short member names (exposure number, detector cut off, suffix kept)."""
    found: dict[str, list[str]] = {}
    for member in association.products[0].members:
        found.setdefault(member.exptype, []).append(member.expname)
    return found


def by_rule(associations: list[Association], rule: str) -> list[Association]:
    """Return the associations of a rule, given without ``Asn_``."""
    return [association for association in associations if association.rule.endswith(f"_Asn_{rule}")]

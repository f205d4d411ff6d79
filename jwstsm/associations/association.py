"""What an association is, and how it is written and read.

The JSON layout is the archive's, so that the files work in the official package and in archive tools; it is
checked against ``association.schema.json`` (our own words) before it is written and after it is read.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from jwstsm import __version__
from jwstsm.associations.pool import UNDEFINED
from jwstsm.errors import InputError

FINE = "No known degraded exposures in association."
DEGRADED = (
    "One or more members have an error associated with them."
    "\nDetails can be found in the member.exposerr attribute."
)  # these two texts are the archive's vocabulary: tools compare them


class AssociationError(InputError):
    """An association file or definition cannot be used; the message says which file, which part and what to do."""


@dataclass
class Member:
    """One input of a product.

    Attributes
    ----------
    expname : str
        File name of the input.
    exptype : str
        Its role: science, background, psf, imprint, target_acquisition, direct_image, sourcecat, segmap, ...
    exposerr : str or None
        What is known to be wrong with the exposure.
    candidate : str or None
        Candidates of the exposure as text (level 3 only).
    described : bool
        Whether the member is an exposure of the pool; catalogues and the like have no error or candidate entry.
    """

    expname: str
    exptype: str = "science"
    exposerr: str | None = None
    candidate: str | None = None
    described: bool = True

    def to_dict(self) -> dict[str, str | None]:
        """Return the JSON form."""
        entry: dict[str, str | None] = {"expname": self.expname, "exptype": self.exptype}
        if self.described:
            entry["exposerr"] = self.exposerr
        if self.candidate is not None:
            entry["asn_candidate"] = self.candidate
        return entry


@dataclass
class Product:
    """An output and the members it is made from."""

    name: str
    members: list[Member] = field(default_factory=list)

    def with_role(self, *roles: str) -> list[str]:
        """Return the file names of the members that have one of these roles."""
        return [member.expname for member in self.members if member.exptype in roles]


@dataclass
class Association:
    """A group of exposures that are reduced together.

    Attributes
    ----------
    level : int
        2 (rate -> cal) or 3 (cal -> combined).
    rule, type : str
        Official rule name (``candidate_Asn_Lv3Image``) and association type (``image3``), which names the pipeline.
    asn_id, candidate_type : str
        Candidate it was made for (``o001``, ``c1000``; ``a3001`` if discovered) and the type of that candidate.
    program, target, pool : str
        Program number (5 digits), target identifier, pool file name.
    products : list of Product
        One, unless associations were merged.
    sequence : int
        Number among the associations of the same candidate and type.
    constraints : str
        The values that its members share, for the reader.
    file : str or None
        File name if it was read from a file or named by hand.
    """

    level: int
    rule: str
    type: str
    asn_id: str
    candidate_type: str
    program: str
    target: str
    products: list[Product]
    pool: str = "none"
    sequence: int = 1
    version_id: str | None = None
    constraints: str = ""
    file: str | None = None

    @property
    def filename(self) -> str:
        """Name of the JSON file."""
        if self.file:
            return self.file
        stamp = f"_{self.version_id}" if self.version_id else ""
        return f"jw{self.program}-{self.asn_id}{stamp}_{self.type}_{self.sequence:05d}_asn.json".lower()

    @property
    def is_degraded(self) -> bool:
        """Whether something is known to be wrong with a member."""
        return any(
            m.exposerr is not None and str(m.exposerr).lower() not in UNDEFINED for p in self.products for m in p.members
        )

    def to_dict(self) -> dict:
        """Return the JSON form."""
        return {
            "asn_type": self.type,
            "asn_rule": self.rule,
            "version_id": self.version_id,
            "code_version": __version__,
            "degraded_status": DEGRADED if self.is_degraded else FINE,
            "program": self.program,
            "constraints": self.constraints,
            "asn_id": self.asn_id,
            "target": self.target,
            "asn_pool": self.pool,
            "products": [
                {"name": product.name, "members": [member.to_dict() for member in product.members]}
                for product in self.products
            ],
        }


@lru_cache(maxsize=1)
def _validator():
    import jsonschema  # heavy; only needed when files are written or read

    schema = json.loads(Path(__file__).with_name("association.schema.json").read_text(encoding="utf-8"))
    return jsonschema.Draft202012Validator(schema)


def validate(content: Mapping, where: str) -> None:
    """Check the JSON form of an association.

    Raises
    ------
    AssociationError
        If it does not follow the schema; the message names the place.
    """
    error = next(iter(sorted(_validator().iter_errors(content), key=lambda e: list(map(str, e.absolute_path)))), None)
    if error is not None:
        place = "/".join(str(part) for part in error.absolute_path) or "top level"
        raise AssociationError(f"{where}: not a valid association at {place}: {error.message}")


def write(associations: Iterable[Association], folder: str | os.PathLike[str]) -> list[Path]:
    """Write associations as JSON files; each file appears complete or not at all.

    Returns
    -------
    list of Path
        The files, in the order of the associations.
    """
    folder = os.fspath(folder)
    os.makedirs(folder, exist_ok=True)
    paths = []
    for association in associations:
        content = association.to_dict()
        name = association.filename
        path = os.path.join(folder, name)
        if not _is_sound(association):  # the schema takes ten times longer; it finds the words
            validate(content, path)
        partial = os.path.join(folder, f".{name}.{os.getpid()}")
        with open(partial, "w", encoding="utf-8") as stream:
            stream.write(json.dumps(content, indent=4) + "\n")
        os.replace(partial, path)
        paths.append(Path(path))
    return paths


def _is_sound(association: Association) -> bool:
    """Return whether an association surely follows the schema: all texts are there and of the right type."""
    texts = [association.type, association.rule, association.pool, association.program, association.target]
    members = [member for product in association.products for member in product.members]
    texts += [text for product in association.products for text in (product.name,)]
    texts += [text for member in members for text in (member.expname, member.exptype)]
    optional = [association.version_id, *(member.exposerr for member in members)]
    return (
        bool(association.products)
        and all(product.members for product in association.products)
        and association.asn_id.isalnum()
        and all(type(text) is str and text for text in texts)
        and all(text is None or type(text) is str for text in optional)
        and all(member.candidate is None or type(member.candidate) is str for member in members)
    )


def read(path: str | os.PathLike[str]) -> Association:
    """Read an association file, ours, the archive's or hand-written.

    Only ``products`` with their members are needed; what else is missing gets a neutral value. The level follows
    from the members: uncal and rate files make level 2.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise AssociationError(f"{path}: no such association file") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise AssociationError(f"{path}: not a JSON file ({error})") from None
    validate(content, str(path))
    products = [_read_product(entry, path, number) for number, entry in enumerate(content["products"])]
    kind = content.get("asn_type", "")
    return Association(
        level=_level(kind, products, path),
        rule=content.get("asn_rule", "user_built"),
        type=kind or "user_built",
        asn_id=content.get("asn_id", "a3001"),
        candidate_type="user",
        program=content.get("program", "noprogram"),
        target=content.get("target", "none"),
        products=products,
        pool=content.get("asn_pool", "none"),
        version_id=content.get("version_id"),
        constraints=content.get("constraints", ""),
        file=path.name,
    )


def _read_product(entry: Mapping, path: Path, number: int) -> Product:
    members = [
        Member(m["expname"], m["exptype"].lower(), m.get("exposerr"), m.get("asn_candidate"), "exposerr" in m)
        for m in entry["members"]
    ]
    science = next((m.expname for m in members if m.exptype == "science"), None)
    if science is None:
        raise AssociationError(f"{path}: product {number} has no member with exptype 'science'; mark at least one")
    from jwstsm.associations.naming import exposure_root

    return Product(entry.get("name") or exposure_root(science), members)


def _level(kind: str, products: list[Product], path: Path) -> int:
    for level in (2, 3):
        if str(level) in kind:
            return level
    science = [name for product in products for name in product.with_role("science")]
    if all("_rate" in name for name in science):
        return 2
    if all("_cal" in name or "_x1d" in name for name in science):
        return 3
    raise AssociationError(f"{path}: cannot tell the level; give asn_type (image2, spec2, image3, spec3, tso3, ...)")

"""Whether a product still matches what it was made of: checksums of inputs and references, computed again.

Each product carries, for each pipeline that led to it, the checksums of its inputs and reference files (see
:mod:`jwstsm.products.provenance`). They are looked for by name and compared; inputs that are products themselves are
followed down to the uncal files.
"""

from __future__ import annotations

import dataclasses
import functools
import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jwstsm
from jwstsm.errors import InputError, JwstsmError
from jwstsm.files import parse_yaml
from jwstsm.products.provenance import content_sha1

__all__ = ["Finding", "read_runs", "say_verified", "verify_product"]


@dataclasses.dataclass(frozen=True)
class Finding:
    """What was found about one file that a product was made of.

    Attributes
    ----------
    product : str
        The product that recorded it.
    kind : str
        ``input``, or the type of a reference.
    file : str
    state : str
        ``same``, ``changed``, or ``missing``.
    recorded, found : str
        Checksums; ``found`` is empty where the file is missing.
    """

    product: str
    kind: str
    file: str
    state: str
    recorded: str
    found: str = ""


def read_runs(path: str | Path) -> list[dict[str, Any]]:
    """Return the records of the runs that led to a product; empty for files of others.

    Raises
    ------
    InputError
        If there is no such file, or it is damaged.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file")
    if path.suffix == ".ecsv":
        lines = [line[2:] for line in path.read_text().splitlines() if line.startswith('# - {"runs":')]
        return parse_yaml(lines[0])[0]["runs"] if lines else []
    if ".fits" not in path.suffixes:
        return []
    from astropy.io import fits

    from jwstsm.products import asdf_block

    try:
        with fits.open(path) as hdus:
            return list(asdf_block.read_record(hdus["ASDF"]).get("runs", [])) if "ASDF" in hdus else []
    except OSError as error:
        raise InputError(f"{path.name}: cannot be read as FITS ({error}); make it again") from error


class _Places:
    """Where inputs and references are looked for: beside a product, in its program, in folders that were named."""

    def __init__(self, product: Path, folders: Sequence[str | Path], crds_path: str | Path | None) -> None:
        self.folders = [Path(f).expanduser() for f in folders]
        self.program = product.resolve().parent.parent
        self.crds_path = crds_path

    @functools.cached_property
    def _config(self) -> dict[str, Any]:
        from jwstsm import config

        path = self.program / "config.yaml"
        try:
            return config.load(path) if path.exists() else {}
        except JwstsmError:
            return {}

    @functools.cached_property
    def _uncal(self) -> dict[str, Path]:
        patterns = self._config.get("uncal", [])
        patterns = [patterns] if isinstance(patterns, str) else patterns
        return {Path(f).name: Path(f) for p in patterns for f in glob.glob(str(self.program / os.path.expanduser(p)))}

    def input(self, name: str, beside: Path) -> Path | None:
        """Return an input file, or None."""
        named = [folder / name for folder in self.folders]
        near = [beside.parent / name, self._uncal.get(name), *sorted(self.program.glob(f"*/{name}"))]
        return next((p for p in [*named, *near] if p and p.exists()), None)

    def reference(self, name: str) -> Path | None:
        """Return a reference file in the CRDS cache (or in a named folder), or None."""
        crds = (self._config.get("crds") or {}).get("path")
        caches = [self.crds_path, self.program / os.path.expanduser(crds) if crds else None, os.environ.get("CRDS_PATH")]
        folders = [Path(c).expanduser() / "references" / "jwst" for c in caches if c]
        near = (p for folder in folders for p in [folder / name, *sorted(folder.glob(f"*/{name}"))])
        return next((p for p in [*(f / name for f in self.folders), *near] if p.exists()), None)


def verify_product(
    path: str | Path, folders: Sequence[str | Path] = (), crds_path: str | Path | None = None
) -> list[Finding]:
    """Compute the checksums of everything a product was made of again.

    Parameters
    ----------
    path : path
        A product (FITS, or the ECSV catalog).
    folders : sequence of path
        Where to look first for inputs and for references of one's own.
    crds_path : path, optional
        CRDS cache; default that of the program's ``config.yaml``, or ``CRDS_PATH``.

    Returns
    -------
    list of Finding
        One per file, those of the product itself first, then those of its inputs.

    Raises
    ------
    InputError
        If the product has no record of its inputs.
    """
    path = Path(path)
    if not read_runs(path):
        raise InputError(
            f"{path.name}: has no record of its inputs (not made by jwstsm {jwstsm.__version__} or later); "
            "there is nothing to verify it against"
        )
    places = _Places(path, folders, crds_path)
    sums: dict[Path, str] = {}
    seen: set[tuple[str, str]] = set()
    waiting, out = [path], []
    while waiting:
        product = waiting.pop(0)
        for finding, found in _compare(product, places, sums):
            if (finding.file, finding.recorded) in seen:
                continue
            seen.add((finding.file, finding.recorded))
            out.append(finding)
            if found is not None and finding.kind == "input":
                waiting.append(found)
    return out


def _compare(product: Path, places: _Places, sums: dict[Path, str]) -> Iterator[tuple[Finding, Path | None]]:
    """Yield what became of each file that a product recorded, and where it is if it is the same."""
    try:
        runs = read_runs(product)
    except InputError:
        return  # an input that is as it was, and no product: it ends the walk
    for kind, file, recorded in _recorded(runs):
        found = places.input(file, product) if kind == "input" else places.reference(file)
        if found is None:
            yield Finding(product.name, kind, file, "missing", recorded), None
            continue
        if found not in sums:
            sums[found] = content_sha1(found) if kind == "input" else _plain_sha1(found)
        same = sums[found] == recorded
        yield (
            Finding(product.name, kind, file, "same" if same else "changed", recorded, sums[found]),
            found if same else None,
        )


def _plain_sha1(path: Path) -> str:
    from jwstsm.references.select import checksum

    return checksum(path)


def _recorded(runs: Iterable[dict[str, Any]]) -> Iterator[tuple[str, str, str]]:
    for run in runs:
        for file, sha1 in run["inputs"].items():
            yield "input", file, sha1
        for kind, entry in run["references"].items():
            yield kind, entry["file"], entry["sha1"]


def say_verified(
    path: str | Path, folders: Sequence[str | Path] = (), crds_path: str | Path | None = None
) -> tuple[str, bool]:
    """Return what :func:`verify_product` found as text, and whether everything is the same."""
    findings = verify_product(path, folders, crds_path)
    name = Path(path).name
    width, wide = max(len(f.file) for f in findings), max(len(f.kind) for f in findings)
    lines = []
    for finding in findings:
        note = ""
        if finding.state == "changed":
            note = f"  was {finding.recorded}, is {finding.found}"
        elif finding.state == "missing":
            note = f"  was {finding.recorded}; name its folder with --look-in"
        if finding.product == name or note:
            of = "" if finding.product == name else f"  (for {finding.product})"
            lines.append(f"  {finding.state:<8} {finding.kind:<{wide}} {finding.file:<{width}}{note}{of}".rstrip())
    count = {state: sum(f.state == state for f in findings) for state in ("same", "changed", "missing")}
    versions = sorted({run["software"]["jwstsm"] for run in read_runs(path)})
    lines.append(
        f"made by jwstsm {', '.join(versions)}"
        + ("" if versions == [jwstsm.__version__] else f"; this is {jwstsm.__version__}, which may give other results")
    )
    if count["changed"] or count["missing"]:
        words = [f"{n} {state}" for state, n in count.items() if n and state != "same"]
        lines.append(f"{name} cannot be confirmed: {' and '.join(words)} of {len(findings)} files it was made of")
    else:
        lines.append(f"{name} matches the {len(findings)} files it was made of")
    return "\n".join(lines) + "\n", not (count["changed"] or count["missing"])

"""The members of an association as files with their corrections, and what the steps that combine them share."""

from __future__ import annotations

import functools
import json
import logging
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jwstsm import config, tables
from jwstsm.core.frames import FitsFrame, Stage3Inputs
from jwstsm.errors import InputError
from jwstsm.products.provenance import describe_run
from jwstsm.references import References
from jwstsm.references.used import used_references
from jwstsm.step import Skipped, Step, load_step

__all__ = ["Association", "Context"]

log = logging.getLogger(__name__)


class Association:
    """The members of one stage 3 product, as files, with the sidecars that have been made so far.

    Parameters
    ----------
    product : str
        Name of the product, without suffix.
    members : sequence of path
        Calibrated exposures, in the order of the association.
    acid : str
        Candidate, such as ``o001``; part of the names of the cleaned exposures.
    alignment, sky : path, optional
        Sidecars of tweakreg and skymatch; their corrections are applied as the members are read.
    name : str
        File name of the association, for headers.
    """

    def __init__(
        self,
        product: str,
        members: Sequence[str | Path],
        acid: str = "",
        *,
        alignment: str | Path | None = None,
        sky: str | Path | None = None,
        name: str = "",
    ) -> None:
        self.product, self.acid, self.name = product, acid, name
        self.members = [Path(m) for m in members]
        self.sidecars = [Path(p) for p in (alignment, sky) if p is not None]
        self._alignment = self._sky = None
        if alignment is not None:
            from jwstsm.stage3.alignment import Alignment

            self._alignment = Alignment.read(alignment)
        if sky is not None:
            from jwstsm.stage3.skymatch import SkyLevels

            self._sky = SkyLevels.read(sky)

    @classmethod
    def read(cls, path: str | Path) -> Association:
        """Read an association file; members are looked for beside it.

        Raises
        ------
        InputError
            If it is not an association, or a member is missing.
        """
        path = Path(path)
        try:
            content = json.loads(path.read_text())
            product = content["products"][0]
            names = [m["expname"] for m in product["members"] if m["exptype"] == "science"]
        except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
            raise InputError(
                f"{path}: is not an association ({error}); give the JSON file that names the members"
            ) from None
        members = [path.parent / name for name in names]
        missing = [m.name for m in members if not m.exists()]
        if missing:
            raise InputError(f"{path.name}: members are not beside it: {', '.join(missing)}")
        return cls(product["name"], members, content.get("asn_id", ""), name=path.name)

    def frames(self) -> list[FitsFrame]:
        """Return the members as frames, with corrected WCS and pending sky level."""
        return [self._frame(path) for path in self.members]

    def _frame(self, path: Path) -> FitsFrame:
        frame = FitsFrame(path, self.corrected_wcs)
        if self._sky is not None:
            frame.sky_level = self._sky.levels.get(path.name)
        return frame

    def corrected_wcs(self, path: Path):
        """Return the WCS of a member, with its correction if there is one."""
        wcs = _wcs_of(path, path.stat().st_mtime_ns)
        return wcs if self._alignment is None else self._alignment.corrected(path.name, wcs)

    @property
    def target(self) -> dict[str, float] | None:
        """Mean position of the moving target that the exposures follow [deg]; None if they follow none."""
        return None if self._alignment is None else self._alignment.target

    def alignment_status(self, name: str) -> dict[str, Any]:
        """Return the record of the alignment of a member: status, and what was found or why it was not."""
        if self._alignment is None:
            return {"status": "SKIPPED", "reason": "not aligned"}
        if self._alignment.status != "COMPLETE":
            return {"status": "SKIPPED", "reason": self._alignment.reason}
        found = next((e for e in self._alignment.exposures if e.name == name), None)
        status = found.status if found else "SKIPPED"
        if status not in ("SUCCESS", "REFERENCE"):
            return {"status": "SKIPPED", "reason": status}
        return {"status": "COMPLETE", "parameters": {"result": status, "sources": found.sources}}

    def apply_sky(self, product) -> None:
        """Record (and if asked subtract) the sky level of a member in its product."""
        if self._sky is None:
            return
        self._sky.apply(product)
        level = self._sky.levels.get(product.name)
        status = "SKIPPED" if level is None else "COMPLETE"
        product.history.append({"name": "skymatch", "status": status, "parameters": {"level": level}})

    def inputs(self) -> Stage3Inputs:
        """Return what a gathering step takes."""
        return Stage3Inputs(self.frames(), self.product, self.name)


@functools.lru_cache(maxsize=1024)
def _wcs_of(path: Path, mtime_ns: int):
    """Read the WCS of a file; every step of an association asks for it."""
    from jwstsm.products.fitsio import read_wcs

    return read_wcs(path)


class Context:
    """What the gathering steps of one association share: references, resolved parameters, a record of what ran.

    Parameters
    ----------
    association : Association
    references : References
    options : mapping
        What the user set, ``{step: {parameter: value}}``.
    pars : mapping
        What CRDS parameter references set.
    preset : str
    pipeline : str
    locked : mapping, optional
        ``files`` of the lock, for the checksums of the references.
    """

    def __init__(
        self,
        association: Association,
        references: References,
        *,
        options: Mapping[str, Mapping[str, Any]] | None = None,
        pars: Mapping[str, Mapping[str, Any]] | None = None,
        preset: str = "official",
        pipeline: str = "image3",
        locked: Mapping[str, Any] | None = None,
    ) -> None:
        self.association, self.references, self.pipeline = association, references, pipeline
        header = FitsFrame(association.members[0]).header
        self.resolved = config.resolve(pipeline, header, preset=preset, pars=pars, options=options)
        self.records: list[dict] = []
        self.preset, self.locked = preset, locked or {}

    def add_run(self, product, inputs: Mapping[str, str], records: Sequence[Mapping]) -> None:
        """Put the record of this run (checksums of inputs and references) into a product, behind the earlier ones."""
        used = used_references(records, self.references.paths(), self.locked, self.pipeline)
        product.runs = [*product.runs, describe_run(self.pipeline, self.preset, self.references.context, inputs, used)]

    def step(self, name: str) -> tuple[Step, dict[str, Any]]:
        """Return a step and its checked parameters."""
        one = load_step(tables.stage_of(self.pipeline), name)
        given = {k: v for k, v in self.resolved.get(name, {}).items() if k in one.parameters}
        return one, {**{k: p.default for k, p in one.parameters.items()}, **one.check(given, name)}

    def run(self, name: str, call: Callable[[dict], Any]) -> tuple[Any, dict]:
        """Call a step's function with its parameters; return its result and the record for the product.

        The result is None when the step is switched off.
        """
        _, options = self.step(name)
        record: dict[str, Any] = {"name": name, "status": "SKIPPED", "reason": "switched off"}
        result, seconds = None, 0.0
        if not options.pop("skip"):
            start = time.perf_counter()
            self.references.used = {}
            result = call(options)
            seconds = time.perf_counter() - start
            record = {
                "name": name,
                "status": "COMPLETE",
                "parameters": options,
                "references": dict(self.references.used),
            }
            if isinstance(result, Skipped):
                record = {"name": name, "status": "SKIPPED", "reason": result.reason}
                result = result.product
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        self.records.append(
            {k: record.get(k, "") for k in ("name", "status", "reason")} | {"seconds": seconds, "peak_mb": round(peak)}
        )
        log.info(
            "%s %s %s in %.2f s %s", self.association.product, name, record["status"], seconds, record.get("reason", "")
        )
        return result, record

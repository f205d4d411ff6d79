"""The gathering steps of stage 3 between files: each reads products and sidecars and writes a product or a sidecar.

One function per rule of ``rules/image3.smk``; :func:`run_association` calls them one after the other in one process.
"""

from __future__ import annotations

import functools
import json
import logging
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jwstsm import config, tables
from jwstsm.calibrate import write_record
from jwstsm.core.compiled import set_threads
from jwstsm.core.frames import FitsFrame, Stage3Inputs, merged_header
from jwstsm.errors import ConfigError, InputError
from jwstsm.files import atomic
from jwstsm.products import read
from jwstsm.products.fitsio import write
from jwstsm.products.names import split_name
from jwstsm.products.provenance import Inputs, describe_run
from jwstsm.references import References
from jwstsm.references.select import load_lock
from jwstsm.references.used import used_references
from jwstsm.step import Skipped, Step, load_step
from jwstsm.warmup import ensure_kernels

__all__ = ["Association", "run_association"]

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


def align(context: Context, output: str | Path) -> None:
    """Write the alignment sidecar (rule tweakreg)."""
    from jwstsm.stage3.alignment import Alignment, ExposureAlignment

    inputs = context.association.inputs()
    # a moving target takes the place of the stars
    name = tables.sequence(context.pipeline, inputs.frames[0].header)[0]
    one, _ = context.step(name)
    result, record = context.run(name, lambda options: one(inputs, context.references, options))
    if result is None:
        exposures = [ExposureAlignment(f.name, f.group_id) for f in inputs.frames]
        result = Alignment(context.association.product, "SKIPPED", record["reason"], exposures=exposures)
    Path(output).parent.mkdir(parents=True, exist_ok=True)
    if record.get("parameters", {}).get("save_catalogs"):
        result.write_catalogs(Path(output).parent, record["parameters"]["catalog_format"])
    result.write(output)


def match_sky(context: Context, output: str | Path) -> None:
    """Write the sidecar of sky levels (rule skymatch)."""
    from jwstsm.stage3.skymatch import SkyLevels

    one, _ = context.step("skymatch")
    inputs = context.association.inputs()
    result, record = context.run("skymatch", lambda options: one(inputs, context.references, options))
    if result is None or record["status"] == "SKIPPED":
        result = SkyLevels("none", False, dict.fromkeys((f.name for f in inputs.frames), None))
    with atomic(output) as part:
        result.write(part)


def make_median(context: Context, output: str | Path) -> None:
    """Write the median image that outliers are looked for with (rule outlier_median); empty if there is none."""
    from astropy.io import fits

    from jwstsm.products import asdf_block
    from jwstsm.stage3 import outlier_detection as room

    association = context.association
    made_of = Inputs([*association.members, *association.sidecars])
    inputs = association.inputs()
    names = ("resample_data", "weight_type", "pixfrac", "kernel", "fillval", "maskpt", "good_bits")

    def call(options):
        if len(inputs.frames) < 2:
            return Skipped(None, "one image only: there is nothing to compare it with")
        return room.make_median(inputs, **{k: options[k] for k in names})

    median, record = context.run("outlier_detection", call)
    with atomic(output) as part:
        if median is None:
            fits.PrimaryHDU(header=fits.Header({"REASON": record["reason"][:68]})).writeto(part, overwrite=True)
        else:
            median.write(part)
            # the median is thrown away once the exposures are cleaned; they keep what it was made of
            members = asdf_block.encode(None, {"inputs": made_of.sums()})
            members.name = "MEMBERS"
            fits.append(part, members.data, members.header)


def _set_alignment(slope, context: Context, member: Path) -> None:
    """Give a product the WCS that the alignment found, and say so in its header."""
    from jwstsm.wcs.keywords import update_sky_keywords

    association = context.association
    aligned = association.alignment_status(member.name)
    name = tables.sequence(context.pipeline, merged_header(slope.primary, slope.sci))[0]
    if aligned["status"] == "COMPLETE":
        slope.wcs = association.corrected_wcs(member)
        options = None
        if association.target is not None:
            slope.sci["MT_AVRA"] = (association.target["ra"], "[deg] mean RA of the moving target in the association")
            slope.sci["MT_AVDEC"] = (association.target["dec"], "[deg] mean Dec of the moving target in the association")
        elif context.step(name)[1]["sip_approx"]:
            names = ("max_pix_error", "degree", "max_inv_pix_error", "inv_degree", "npoints")
            options = {key: context.step(name)[1][f"sip_{key}"] for key in names}
        update_sky_keywords(slope, sip_options=options)
    keyword = {"assign_mtwcs": "S_MTWCS"}.get(name, "S_TWKREG")
    slope.primary[keyword] = (aligned["status"], f"Status of step {name}")
    slope.history.append({"name": name, **aligned})


def clean_exposure(context: Context, member: str | Path, median: str | Path, output: str | Path) -> None:
    """Write one exposure with corrected WCS, sky level and outliers flagged (rule outlier_detection, product crf)."""
    from astropy.io import fits

    from jwstsm.products import asdf_block
    from jwstsm.stage3 import outlier_detection as room

    association = context.association
    member = Path(member)
    slope = read(member)
    _set_alignment(slope, context, member)
    association.apply_sky(slope)
    inputs = Inputs([member, *association.sidecars])
    with fits.open(median) as hdus:
        reason = hdus[0].header.get("REASON")
        made_of = {} if "MEMBERS" not in hdus else asdf_block.read_record(hdus["MEMBERS"])["inputs"]

    def call(options):
        if reason:
            return Skipped(slope, reason)
        room.flag_frame(
            slope, room.MedianImage.read(median), snr=options["snr"], scale=options["scale"], backg=options["backg"]
        )
        return slope

    _, record = context.run("outlier_detection", call)
    slope.primary["S_OUTLIR"] = (record["status"], "Status of step outlier_detection")
    slope.history.append(record)
    _name_association(slope, association)
    context.add_run(slope, {**made_of, **inputs.sums()}, [record])
    write(slope, output, "crf")


def combine(context: Context, output: str | Path) -> None:
    """Write the mosaic of the cleaned exposures (rule resample, product i2d)."""
    one, _ = context.step("resample")
    made_of = Inputs(context.association.members)
    inputs = context.association.inputs()
    mosaic, record = context.run("resample", lambda options: one(inputs, context.references, options))
    if mosaic is None:
        raise InputError("resample is switched off, but the mosaic is asked for; take 3 out of 'stages', or switch it on")
    if isinstance(mosaic, dict):
        raise ConfigError("resample: 'single' makes one mosaic per exposure, which the association's i2d cannot hold")
    first = read_history(context.association.members[0])
    mosaic.primary["S_RESAMP"] = (record["status"], "Status of step resample")
    mosaic.history = [*first, record]
    _name_association(mosaic, context.association)
    context.add_run(mosaic, made_of.sums(), [record])
    write(mosaic, output, "i2d")


def catalog_sources(context: Context, mosaic: str | Path, catalog: str | Path, segments: str | Path) -> None:
    """Write catalog and segmentation map of a mosaic (rule source_catalog)."""
    from jwstsm.products import Segmentation
    from jwstsm.stage3._catalog import Catalog

    one, _ = context.step("source_catalog")
    image = read(mosaic)
    made_of = Inputs([mosaic])
    found, record = context.run("source_catalog", lambda options: one(image, context.references, options))
    if record["status"] == "SKIPPED":
        # the products are still made, empty, with the reason in them: a field without sources is no failure
        found = Catalog([], {"label": np.zeros(0, int)}, {"reason": record["reason"]})
    image.runs = []  # the mosaic has its own record
    context.add_run(image, made_of.sums(), [record])
    found.meta["runs"] = image.runs
    found.write(catalog)
    labels = np.zeros(image.data.shape, np.uint32) if found.segments is None else found.segments
    product = Segmentation(**image.headers_copy(), data=labels, suffix="segm")
    product.tables.clear()
    product.sci.pop("BUNIT", None)
    product.primary["S_SRCCAT"] = (record["status"], "Status of step source_catalog")
    product.history.append(record)
    write(product, segments, "segm")


def read_history(path: str | Path) -> list[dict]:
    """Return the processing record of a product."""
    from astropy.io import fits

    from jwstsm.products import asdf_block

    with fits.open(path) as hdus:
        return list(asdf_block.read_record(hdus["ASDF"]).get("steps", [])) if "ASDF" in hdus else []


def _name_association(product, association: Association) -> None:
    if association.name:
        product.primary["ASNTABLE"] = association.name
        product.primary["ASNPOOL"] = ("pool.csv", "Name of the ASN pool")


def context_of(snakemake, members: Sequence[str], pipeline: str = "image3") -> Context:
    """Return the context that a rule of stage 3 declares."""
    ensure_kernels()
    set_threads(snakemake.threads)
    named = dict(snakemake.params.association)
    sidecars = {k: snakemake.input.get(k) for k in ("alignment", "sky")}
    association = Association(named["product"], members, named["acid"], name=named["file"], **sidecars)
    references, lock = load_lock(snakemake.input.references)
    by_pipeline = lock.get("parameters", {})
    pars = config.merge(by_pipeline.get("", {}), by_pipeline.get(pipeline, {}))
    options = {step: dict(values) for step, values in dict(snakemake.params.options).items()}
    preset = snakemake.params.preset
    return Context(
        association, references, options=options, pars=pars, preset=preset, pipeline=pipeline, locked=lock["files"]
    )


def run_association(
    pipeline: str,
    path: str | Path,
    folder: str | Path,
    *,
    selector,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    preset: str = "official",
    threads: int | None = None,
    record: str | Path | None = None,
) -> dict[str, Path]:
    """Run a stage 3 pipeline on an association in one process.

    Parameters
    ----------
    pipeline : str
        ``image3``, or another pipeline of stage 3 (``wfs-image3`` is handed on).
    path : path
        Association file, its members beside it.
    folder : path
        Where sidecars and products go.
    selector : Selector
        Finds the reference files.
    options, preset
        As for one exposure.
    threads : int, optional
    record : path, optional
        Where a JSON record of the steps is written.

    Returns
    -------
    dict of str to Path
        What was written, by suffix (``crf`` once per member, numbered).
    """
    from jwstsm.references.lock import lock_exposure
    from jwstsm.references.types import reference_types

    if "resample" not in tables.sequence(pipeline):
        from jwstsm.wavefront import run_pairs

        return run_pairs(path, folder, options=options, preset=preset, threads=threads, record=record)
    start = time.time()
    set_threads(threads)
    folder = Path(folder)
    association = Association.read(path)
    name, acid = association.product, association.acid
    names = tables.sequence(pipeline)
    header = FitsFrame(association.members[0]).header
    types = reference_types([(pipeline, names)], {s: config.reference_types_of(s) for s in names})
    lock = lock_exposure(association.members[0].name, header, types, selector, sums=None)
    if lock["problems"]:
        raise InputError("; ".join(lock["problems"]))
    files = {kind: None if entry is None else entry["path"] for kind, entry in lock["files"].items()}
    references = References(files, None, selector.context)
    pars = config.merge(lock["parameters"].get("", {}), lock["parameters"].get(pipeline, {}))
    records: list[dict] = []

    def context(members, alignment=None, sky=None) -> Context:
        part = Association(name, members, acid, alignment=alignment, sky=sky, name=association.name)
        made = Context(part, references, options=options, pars=pars, preset=preset, pipeline=pipeline)
        made.records = records
        return made

    out = {s: folder / f"{name}_{s}" for s in ("tweakreg.json", "skymatch.json", "median.fits", "i2d.fits")}
    align(context(association.members), out["tweakreg.json"])
    match_sky(context(association.members, out["tweakreg.json"]), out["skymatch.json"])
    whole = context(association.members, out["tweakreg.json"], out["skymatch.json"])
    make_median(whole, out["median.fits"])
    cleaned = []
    for member in association.members:
        cleaned.append(folder / f"{split_name(member)[0]}_{acid}_crf.fits")
        clean_exposure(whole, member, out["median.fits"], cleaned[-1])
    out["median.fits"].unlink()
    combine(context(cleaned), out["i2d.fits"])
    catalog, segments = folder / f"{name}_cat.ecsv", folder / f"{name}_segm.fits"
    last = context([out["i2d.fits"]])
    if "source_catalog" in names and not last.step("source_catalog")[1]["skip"]:
        catalog_sources(last, out["i2d.fits"], catalog, segments)
    if record is not None:
        write_record(record, pipeline, Path(f"{name}_asn"), records, time.time() - start, preset)
    written = {f"crf {i}": path for i, path in enumerate(cleaned)}
    return written | {"i2d": out["i2d.fits"], "cat": catalog, "segm": segments}

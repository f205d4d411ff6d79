"""The gathering steps of stage 3 between files: each reads products and sidecars and writes a product or a sidecar.

One function per rule of ``rules/image3.smk``; :func:`run_association` calls them one after the other in one process.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jwstsm import config, tables
from jwstsm.calibrate import write_record
from jwstsm.core.compiled import set_threads
from jwstsm.core.frames import FitsFrame, merged_header
from jwstsm.errors import ConfigError, InputError
from jwstsm.files import atomic
from jwstsm.members import Association, Context
from jwstsm.products import read
from jwstsm.products.fitsio import write
from jwstsm.products.names import split_name
from jwstsm.products.provenance import Inputs
from jwstsm.references import References
from jwstsm.references.select import load_lock
from jwstsm.step import Skipped
from jwstsm.warmup import ensure_kernels

__all__ = ["run_association"]

log = logging.getLogger(__name__)


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
    image = read(mosaic, only=("data", "err", "wht"))
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
    pars = config.parameters_of(lock, pipeline)
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
    pars = config.parameters_of(lock, pipeline)
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

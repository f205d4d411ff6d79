"""Calibrate one exposure through one pipeline: resolve parameters, run, write.

The scripts of the rules and the command line call this.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jwstsm import config
from jwstsm.errors import InputError
from jwstsm.files import atomic
from jwstsm.headers import parse_header
from jwstsm.pipeline import read_ahead, run_steps
from jwstsm.products import Product
from jwstsm.products.fitsio import write
from jwstsm.products.names import split_name
from jwstsm.products.provenance import Inputs, describe_run
from jwstsm.references import References
from jwstsm.references.select import checksum_later, load_lock
from jwstsm.references.used import used_references
from jwstsm.warmup import ensure_kernels

__all__ = ["calibrate_exposure", "write_record"]

log = logging.getLogger(__name__)


def calibrate_exposure(
    pipeline: str,
    source: str | Path,
    outputs: Mapping[str, str | Path] | str | Path,
    *,
    lock: str | Path | None = None,
    references: References | Callable[[], tuple[References, Mapping[str, Mapping]]] | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    preset: str = "official",
    names: Sequence[str] | None = None,
    threads: int | None = None,
    record: str | Path | None = None,
) -> dict[str, Path]:
    """Run a pipeline (or single steps of it) on one file and write its products.

    Parameters
    ----------
    pipeline : str
        A key of ``sequences.yaml``, such as ``detector1``.
    source : path
        Input product.
    outputs : mapping of suffix to path, or folder
        Where the products go. A product that was not made although it is named is an error.
    lock : path, optional
        ``references/<exposure>_<pipeline>.json``; or give ``references``.
    references : References or callable, optional
        A callable is called while the exposure is read, and returns the references and what their ``pars-*`` files set.
    options : mapping, optional
        ``{step: {parameter: value}}`` of the user.
    preset : str
    names : sequence of str, optional
        Only these steps.
    threads : int, optional
        Threads of the kernels.
    record : path, optional
        Where a JSON record of the steps (status, seconds, memory) is written.

    Returns
    -------
    dict of str to Path
        The files written, by suffix.

    Raises
    ------
    InputError
        If the input is damaged or a wanted product could not be made.
    """
    start = time.time()
    source = Path(source)
    header = parse_header(source)
    reading = read_ahead(source, header)
    given = options or {}
    windows = given.get("persistence", {}).get("persistence_array_file")
    inputs = Inputs([source, *(given.get("bkg_subtract", {}).get("bkg_list") or []), *([windows] if windows else [])])
    content, pars = {}, {}
    if references is None:
        references, content = load_lock(lock)
        pars = config.parameters_of(content, pipeline)
    else:
        if callable(references):
            references, pars = references()
        for path in filter(None, references.paths().values()):
            checksum_later(path)  # no lock says it; the products will
    resolved = config.resolve(pipeline, header, preset=preset, pars=pars, options=options)
    for name in names or ():
        resolved.setdefault(name, {}).update((options or {}).get(name, {}))
        resolved[name]["skip"] = (options or {}).get(name, {}).get("skip", False)
    folder = Path(outputs) if not isinstance(outputs, Mapping) else None
    base = split_name(source)[0]

    def save(product: Product, suffix: str) -> None:
        place = folder or Path(next(iter(outputs.values()))).parent
        layout = product.suffix if product.suffix != "uncal" else "ramp"
        write(product, place / f"{base}_{suffix}.fits", layout)

    products, records = run_steps(
        pipeline, source, references, resolved, names=names, save=save, threads=threads, reading=reading
    )
    _add_run(products, pipeline, preset, inputs, references, content.get("files", {}))
    if names and folder is not None:
        products = {_step_suffix(names, suffix, products): product for suffix, product in products.items()}
    targets = outputs if folder is None else {s: folder / f"{base}_{s}.fits" for s in products}
    written = {}
    for suffix, path in targets.items():
        if suffix not in products:
            made = ", ".join(products) or "nothing"
            raise InputError(f"{source.name}: {pipeline} made {made} of it, not the {suffix} product that was asked for")
        product = products[suffix]
        layout = product.suffix if product.suffix != "uncal" else "ramp"
        written[suffix] = write(product, path, layout)
        log.info("wrote %s", path)
    references.close()
    if record is not None:
        write_record(record, pipeline, source, records, time.time() - start, preset)
    return written


def _add_run(
    products: Mapping[str, Product], pipeline: str, preset: str, inputs: Inputs, references: References, locked: Mapping
) -> None:
    """Put the record of this run behind those that led to its input, in every product."""
    earlier = next((product.runs for product in products.values() if product.runs), [])
    known = {entry["file"] for run in earlier for entry in run["references"].values()}
    for product in products.values():
        used = used_references(product.history, references.paths(), locked, pipeline)
        used = {kind: entry for kind, entry in used.items() if entry["file"] not in known}
        product.runs = [*earlier, describe_run(pipeline, preset, references.context, inputs.sums(), used)]


def _step_suffix(names: Sequence[str], suffix: str, products: Mapping) -> str:
    """Name the output of single steps by the step, unless it makes named products."""
    return names[-1] if len(products) == 1 else suffix


def write_record(path: str | Path, pipeline: str, source: Path, records: list[dict], seconds: float, preset: str) -> None:
    """Write the run record of a job (JSON): which steps ran, why others did not, seconds and memory."""
    content = {
        "exposure": split_name(source)[0],
        "pipeline": pipeline,
        "preset": preset,
        "seconds": round(seconds, 3),
        "steps": [{**r, "seconds": round(r["seconds"], 4)} for r in records],
    }
    with atomic(path) as part:
        part.write_text(json.dumps(content, indent=1) + "\n")


def calibrate_job(pipeline: str, source: str, snakemake, background: Sequence[str] = ()) -> None:
    """Run :func:`calibrate_exposure` with what a workflow rule declares."""
    ensure_kernels(snakemake.params.preset)
    options = {step: dict(values) for step, values in dict(snakemake.params.options).items()}
    if background:
        options.setdefault("bkg_subtract", {})["bkg_list"] = [str(path) for path in background]
    others = ("record", "windows", "description")
    outputs = {suffix: path for suffix, path in snakemake.output.items() if suffix not in others}
    if getattr(snakemake.output, "windows", None):  # the persistence that goes from one exposure to the next
        hand_on = options.setdefault("persistence", {})
        hand_on["save_persistence"] = str(snakemake.output.windows)
        hand_on["persistence_array_file"] = next(iter(snakemake.input.windows), None)
    written = calibrate_exposure(
        pipeline,
        source,
        outputs,
        lock=snakemake.input.references,
        options=options,
        preset=snakemake.params.preset,
        threads=snakemake.threads,
        record=snakemake.output.record,
    )
    if getattr(snakemake.output, "description", None):
        from jwstsm.report.quality import describe_exposure

        describe_exposure(next(iter(written.values())), snakemake.output.description)

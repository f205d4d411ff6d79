"""Walk the step sequence of one pipeline over one exposure; record status, parameters, references and timings.

A ramp that fits in memory goes through all steps at once. A longer one goes block by block of integrations through the
steps that allow it, into a scratch array, and then through those that need the whole exposure.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import jwstsm
from jwstsm import tables
from jwstsm.core import scratch
from jwstsm.errors import ConfigError, InputError
from jwstsm.headers import parse_header
from jwstsm.products import Product, Ramp, read
from jwstsm.products.fitsio import write
from jwstsm.products.names import split_name
from jwstsm.references import References, Window
from jwstsm.references.select import keyword_of
from jwstsm.step import Skipped, Step, load_step

__all__ = ["Run", "run_steps", "save_products"]

log = logging.getLogger(__name__)


@dataclasses.dataclass
class Run:
    """One walk over one exposure.

    Attributes
    ----------
    steps : list of Step
        In order.
    options : mapping
        ``{step: {parameter: value}}``, defaults included.
    references : References
    save : callable or None
        Called as ``save(product, suffix)`` for a step with ``save_results``.
    records : list of dict
        One per step: name, status, reason, seconds, peak memory [MB].
    """

    steps: list[Step]
    options: Mapping[str, Mapping[str, Any]]
    references: References
    save: Callable[[Product, str], None] | None = None
    records: list[dict] = dataclasses.field(default_factory=list)

    def __call__(self, source: str | Path | Product) -> dict[str, Product]:
        """Run all steps; return the products by suffix."""
        if isinstance(source, Product):
            self.references.window = self.references.window or Window.of(source.readout)
            return self._walk({source.suffix: source}, self.steps)
        header = parse_header(source)
        leading = _leading(self.steps)
        if leading and not _fits_in_memory(header):
            return self._walk(self._in_blocks(Path(source), header, leading), self.steps[len(leading) :])
        product = read(source)
        self.references.window = self.references.window or Window.of(product.readout)
        return self._walk({product.suffix: product}, self.steps)

    def _walk(self, state: dict[str, Product], steps: Sequence[Step]) -> dict[str, Product]:
        for one in steps:
            state = self._apply(one, state)
        return state

    def _apply(self, one: Step, state: dict[str, Product]) -> dict[str, Product]:
        """Apply a step to every product of the type it accepts; what it makes beside them joins the state."""
        out: dict[str, Product] = {}
        for suffix, product in state.items():
            if not isinstance(product, one.accepts):
                out[suffix] = product
                continue
            result = self._step(one, product)
            if isinstance(result, dict):
                out.update(result)
            else:
                out[suffix] = result
        options = self.options.get(one.name, {})
        if options.get("save_results") and self.save:
            for suffix, product in out.items():
                if isinstance(product, one.accepts):
                    self.save(product, one.name if len(out) == 1 else f"{suffix}-{one.name}")
        return out

    def _step(self, one: Step, product: Product):
        options = dict(self.options.get(one.name, {}))
        if options.get("skip"):
            return self._record(one, product, "SKIPPED", "switched off", options, {}, 0.0)
        if isinstance(product, Ramp):
            self.references.window = Window.of(product.readout)  # refpix changes the frames of some readouts
        references = self._with_overrides(options)
        references.used = {}
        start = time.perf_counter()
        result = one(product, references, options)
        seconds = time.perf_counter() - start
        status, reason = "COMPLETE", ""
        if isinstance(result, Skipped):
            status, reason, result = "SKIPPED", result.reason, result.product
        for each in result.values() if isinstance(result, dict) else [result]:
            if isinstance(result, dict) and each is product:
                continue  # handed through beside what was made of it
            self._record(one, each, status, reason, options, references.used, seconds)
            seconds = 0.0  # counted once, whatever the number of products
        return result

    def _with_overrides(self, options: Mapping[str, Any]) -> References:
        """Return the references with the user's own files (``override_<type>``) in place."""
        own = {k.removeprefix("override_"): Path(v) for k, v in options.items() if k.startswith("override_")}
        if not own:
            return self.references
        for kind, path in own.items():
            if not path.exists():
                raise ConfigError(f"override_{kind}: {path} does not exist")
        files = {kind: self.references.path(kind) for kind in self.references} | own
        return References(files, self.references.window, self.references.context)

    def _record(self, one: Step, product: Product, status: str, reason: str, options, used, seconds: float):
        product.primary[one.keyword] = (status, f"Status of step {one.name}"[:47])
        for kind, name in used.items():
            keyword = keyword_of(kind)
            if keyword:
                product.primary[keyword] = name
        record = {"name": one.name, "status": status}
        if reason:
            record["reason"] = reason
        if status == "COMPLETE":
            record["parameters"] = {k: v for k, v in options.items() if k not in ("skip", "save_results")}
            record["references"] = dict(used)
        product.history.append(record)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        last = self.records[-1] if self.records else {}
        if last.get("name") == one.name and last["status"] == status:
            last["seconds"] += seconds
            last["peak_mb"] = round(peak)
        else:
            self.records.append(
                {"name": one.name, "status": status, "reason": reason, "seconds": seconds, "peak_mb": round(peak)}
            )
        level = logging.DEBUG if reason == "switched off" else logging.INFO
        why = f": {reason}" if reason else ""
        if seconds or status != "COMPLETE":
            log.log(level, "%s %s %s in %.2f s%s", product.name, one.name, status, seconds, why)
        return product

    def _in_blocks(self, path: Path, header: Mapping, leading: Sequence[Step]) -> dict[str, Product]:
        """Run the leading steps on blocks of integrations; gather the blocks in scratch arrays."""
        nints = int(header["NAXIS4"])
        one = 5 * int(header["NAXIS1"]) * int(header["NAXIS2"]) * int(header["NAXIS3"])
        size = max(1, scratch.in_memory_limit() // 2 // one)
        whole: Ramp | None = None
        for first in range(0, nints, size):
            last = min(nints, first + size)
            block = read(path, (first, last))
            self.references.window = self.references.window or Window.of(block.readout)
            block = next(iter(self._walk({block.suffix: block}, leading).values()))
            if whole is None:
                whole = _whole_like(block, nints)
            whole.data[first:last] = block.data
            whole.groupdq[first:last] = block.groupdq
            whole.pixeldq |= block.pixeldq
            if whole.zeroframe is not None:
                whole.zeroframe[first:last] = block.zeroframe
            whole.release()
            log.info("%s integrations %d to %d of %d", path.name, first + 1, last, nints)
        return {whole.suffix: whole}


def _whole_like(block: Ramp, nints: int) -> Ramp:
    """Return a ramp of ``nints`` integrations with the headers of a processed block."""
    shape = (nints, *block.data.shape[1:])
    whole = dataclasses.replace(
        block,
        data=scratch.allocate(shape, np.float32),
        groupdq=scratch.allocate(shape, np.uint8),
        pixeldq=block.pixeldq.copy(),
        zeroframe=None if block.zeroframe is None else scratch.allocate((nints, *shape[2:]), np.float32),
        refout=None,
        first_integration=0,
    )
    return whole


def _leading(steps: Sequence[Step]) -> list[Step]:
    """Return the first steps up to the first that needs the whole exposure."""
    found = []
    for one in steps:
        if one.scope != "integration":
            break
        found.append(one)
    return found


def _fits_in_memory(header: Mapping) -> bool:
    shape = [int(header.get(f"NAXIS{i}", 1)) for i in range(1, 5)]
    return shape[3] <= 1 or 4 * math.prod(shape) <= scratch.in_memory_limit()


def run_steps(
    pipeline: str,
    source: str | Path | Product,
    references: References,
    options: Mapping[str, Mapping[str, Any]],
    *,
    names: Sequence[str] | None = None,
    save: Callable[[Product, str], None] | None = None,
) -> tuple[dict[str, Product], list[dict]]:
    """Run a pipeline, or some of its steps, on one exposure.

    Parameters
    ----------
    pipeline : str
        A key of ``sequences.yaml``.
    source : path or Product
    references : References
    options : mapping
        ``{step: {parameter: value}}``; what is not given is at its default.
    names : sequence of str, optional
        Steps to run; default the sequence for the header.
    save : callable, optional
        Takes ``(product, step name)`` for steps with ``save_results``.

    Returns
    -------
    dict of str to Product
        By suffix.
    list of dict
        A record per step: name, status, reason, seconds, peak_mb.

    Raises
    ------
    InputError
        If the input is damaged, incomplete, or of a kind that the pipeline does not take.
    """
    header = source.primary if isinstance(source, Product) else parse_header(source)
    label = source.name if isinstance(source, Product) else Path(source).name
    tables.exposure_type(header, label)
    steps = [load_step(tables.stage_of(pipeline, name), name) for name in (names or tables.sequence(pipeline, header))]
    checked = {}
    for one in steps:
        given = dict(options.get(one.name, {}))
        kept = {k: given.pop(k) for k in list(given) if k.startswith("override_") or k == "save_results"}
        checked[one.name] = {**{k: p.default for k, p in one.parameters.items()}, **one.check(given, one.name), **kept}
    run = Run(steps, checked, references, save)
    renamed = {} if names else tables.sequences()[pipeline].get("renames", {})
    products = {renamed.get(suffix, suffix): product for suffix, product in run(source).items()}
    for suffix, product in products.items():
        product.suffix = suffix
        _stamp(product, references)
    return products, run.records


def _stamp(product: Product, references: References) -> None:
    from importlib import metadata

    product.primary["CAL_VER"] = (jwstsm.__version__, "Calibration software version")
    product.primary["CAL_VCS"] = (f"jwstsm-{jwstsm.__version__}", "Calibration software version control number")
    product.primary["CRDS_VER"] = (metadata.version("crds"), "Version of CRDS file selection software used")
    if references.context:
        product.primary["CRDS_CTX"] = (references.context, "CRDS context (.pmap) used to select ref files")


def save_products(
    products: Mapping[str, Product], source: str | Path, folder: str | Path, suffixes: Sequence[str] | None = None
) -> list[Path]:
    """Write products as ``<exposure>_<suffix>.fits`` into a folder.

    Parameters
    ----------
    products : mapping of suffix to Product
    source : path
        The input; its name without the suffix is the exposure's.
    folder : path
    suffixes : sequence of str, optional
        Which to write; default all.
    """
    base = split_name(source)[0]
    out = []
    for suffix in suffixes or products:
        if suffix not in products:
            raise InputError(f"{Path(source).name}: no {suffix} product was made of it")
        out.append(write(products[suffix], Path(folder) / f"{base}_{suffix}.fits", suffix))
    return out

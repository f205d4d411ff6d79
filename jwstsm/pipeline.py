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
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

import jwstsm
from jwstsm import tables
from jwstsm.core import scratch
from jwstsm.core.progress import process_age
from jwstsm.errors import ConfigError, InputError
from jwstsm.headers import parse_header
from jwstsm.products import Product, Ramp, read
from jwstsm.products.fitsio import write
from jwstsm.products.names import split_name
from jwstsm.references import References, Window
from jwstsm.references.select import keyword_of
from jwstsm.step import Skipped, Step, load_step
from jwstsm.superstripes import LAST_STEP, collate, is_superstripe

__all__ = ["Run", "run_steps", "save_products"]

log = logging.getLogger(__name__)

_NEEDED = 1.9  # memory for everything, where 1 is the limit for a single array: 800 of the 950 MB that a process may take


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
        One per step: name, status, reason, seconds, peak memory [MB], and when it began [s since the process did].
    reading : Future or None
        What :func:`read_ahead` has begun.
    """

    steps: list[Step]
    options: Mapping[str, Mapping[str, Any]]
    references: References
    save: Callable[[Product, str], None] | None = None
    records: list[dict] = dataclasses.field(default_factory=list)
    reading: Future | None = None

    def __call__(self, source: str | Path | Product) -> dict[str, Product]:
        """Run all steps; return the products by suffix."""
        if self.reading:
            source, self.reading = self.reading.result(), None
        if is_superstripe(source.primary if isinstance(source, Product) else parse_header(source)):
            return self._walk_superstripes(source)
        if isinstance(source, Product):
            self.references.window = self.references.window or Window.of(source.readout)
            return self._walk({source.suffix: source}, self.steps)
        shape = _ramp_shape(parse_header(source))
        fits = _fits_in_memory(shape)
        if self._streams(self.steps[0]) and shape[0] > 1 and not fits:
            return self._walk_large(Path(source), shape[0])
        product = read(source, mapped=not fits)
        self.references.window = self.references.window or Window.of(product.readout)
        return self._walk({product.suffix: product}, self.steps)

    def _walk_superstripes(self, source: str | Path | Ramp) -> dict[str, Product]:
        """Take each position of a moving stripe through the first steps, make frames of them, and go on with those."""
        names = [one.name for one in self.steps]
        alone = [one.name for one in self.steps if one.scope == "integration"]
        cut = names.index(LAST_STEP) + 1 if LAST_STEP in names else len(alone)
        save, self.save = self.save, None

        def correct(ramp: Ramp) -> Ramp:
            return next(iter(self._walk({ramp.suffix: ramp}, self.steps[:cut]).values()))

        header = source.primary if isinstance(source, Product) else parse_header(source)
        nints = len(source.data) if isinstance(source, Product) else int(header["NAXIS4"])
        whole = collate(source if isinstance(source, Product) else Path(source), nints, int(header["SSTR_NST"]), correct)
        self.save = save
        if cut and self._saves(self.steps[cut - 1]):
            self.save(whole, self.steps[cut - 1].name)
        return self._walk({whole.suffix: whole}, self.steps[cut:])

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
        # the same step on another product, or on another block of integrations
        same = next((r for r in self.records if (r["name"], r["status"]) == (one.name, status)), None)
        if same:
            same["seconds"] += seconds
            same["peak_mb"] = round(peak)
        else:
            began = max(0.0, process_age() - seconds)
            self.records.append(
                {"name": one.name, "status": status, "reason": reason, "seconds": seconds, "peak_mb": round(peak)}
                | {"began": round(began, 2)}
            )
        level = logging.DEBUG if reason == "switched off" else logging.INFO
        why = f": {reason}" if reason else ""
        if seconds or status != "COMPLETE":
            log.log(level, "%s %s %s in %.2f s%s", product.name, one.name, status, seconds, why)
        return product

    def _streams(self, one: Step) -> bool:
        """Whether a step can be given a ramp block by block of integrations; one that is switched off can."""
        return one.scope == "integration" or bool(self.options.get(one.name, {}).get("skip"))

    def _walk_large(self, path: Path, nints: int) -> dict[str, Product]:
        """Run all steps over a ramp that does not fit in memory; what streams goes block by block."""
        state: dict[str, Product] | None = None
        for steps in self._runs():
            if state is None:
                state = self._stream(path, nints, steps)
            elif self._streams(steps[0]) and isinstance(ramp := next(iter(state.values())), Ramp) and len(state) == 1:
                state = self._stream(ramp, nints, steps)
            else:
                state = self._walk(state, steps)
        return state

    def _runs(self) -> list[list[Step]]:
        """Cut the steps where streaming begins and ends; a saved ramp must be whole, so a run ends with it too."""
        runs: list[list[Step]] = []
        for one in self.steps:
            before = runs[-1][-1] if runs else None
            joined = before and self._streams(before) == self._streams(one) and not self._saves(before)
            if joined:
                runs[-1].append(one)
            else:
                runs.append([one])
        return runs

    def _saves(self, one: Step) -> bool:
        return bool(self.save and self.options.get(one.name, {}).get("save_results"))

    def _stream(self, source: Path | Ramp, nints: int, steps: Sequence[Step]) -> dict[str, Product]:
        """Run steps on blocks of integrations of a file, or in place of a ramp; return the whole."""
        whole: Ramp | None = None
        save, self.save = self.save, None
        for block in _blocks(source, nints):
            self.references.window = self.references.window or Window.of(block.readout)
            made = next(iter(self._walk({block.suffix: block}, steps).values()))
            if whole is None:
                whole = _whole_like(made, nints, source if made.data is block.data else None)
            first, last = made.first_integration, made.first_integration + made.data.shape[0]
            if not np.shares_memory(whole.data, made.data):
                whole.data[first:last] = made.data
                whole.groupdq[first:last] = made.groupdq
            whole.pixeldq |= made.pixeldq
            if whole.zeroframe is not None:
                whole.zeroframe[first:last] = made.zeroframe
            whole.release()
            log.info("%s integrations %d to %d of %d", whole.name, first + 1, last, nints)
            del block, made  # before the next one is read
        self.save = save
        if self._saves(steps[-1]):
            self.save(whole, steps[-1].name)
        return {whole.suffix: whole}


def _blocks(source: Path | Ramp, nints: int) -> Iterator[Ramp]:
    """Yield blocks of integrations that fit in memory: read from a file, or views of a ramp in scratch."""
    shape = _ramp_shape(parse_header(source))[1:] if isinstance(source, Path) else source.data.shape[1:]
    size = max(1, scratch.in_memory_limit() // 2 // (5 * math.prod(shape)))
    mapped = not _fits_in_memory((size, *shape))
    for first in range(0, nints, size):
        last = min(nints, first + size)
        if isinstance(source, Path):
            yield read(source, (first, last), mapped)
            continue
        yield dataclasses.replace(
            source,
            data=source.data[first:last],
            groupdq=source.groupdq[first:last],
            pixeldq=source.pixeldq.copy(),
            zeroframe=None if source.zeroframe is None else source.zeroframe[first:last],
            history=list(source.history),
            first_integration=first,
        )


def _whole_like(block: Ramp, nints: int, source: Path | Ramp | None) -> Ramp:
    """Return a ramp of ``nints`` integrations with the headers of a processed block, over the source's arrays if any."""
    shape = (nints, *block.data.shape[1:])
    kept = isinstance(source, Ramp)
    small = scratch.in_memory_limit() // 4
    zeros = None if block.zeroframe is None else (nints, *shape[2:])
    return dataclasses.replace(
        block,
        data=source.data if kept else scratch.allocate(shape, np.float32, 0),
        groupdq=source.groupdq if kept else scratch.allocate(shape, np.uint8, 0),
        pixeldq=block.pixeldq.copy(),
        zeroframe=source.zeroframe if kept else zeros and scratch.allocate(zeros, np.float32, small),
        refout=None,
        first_integration=0,
    )


def _ramp_shape(header: Mapping) -> tuple[int, ...]:
    """Return ``(nints, ngroups, ny, nx)`` as the header of the first image says."""
    return tuple(int(header.get(f"NAXIS{i}", 1)) for i in (4, 3, 2, 1))


def _fits_in_memory(shape: tuple[int, ...]) -> bool:
    """Whether a ramp of a shape (nints, ngroups, ny, nx) is held in memory, beside all that its steps need."""
    pixels = math.prod(shape[2:])
    planes = shape[0] * pixels
    samples = planes * shape[1]
    # data and group flags, results per integration, references and results per pixel: as measured
    needed = 5 * samples + 20 * planes + 45 * pixels
    return max(4 * samples, needed / _NEEDED) <= scratch.in_memory_limit()


def read_ahead(path: Path, header: Mapping[str, Any]) -> Future | None:
    """Start to read an exposure while the steps are imported; None for one that is not to be held in memory whole."""
    if is_superstripe(header) or not _fits_in_memory(_ramp_shape(header)):
        return None
    reader = ThreadPoolExecutor(1, thread_name_prefix="reading")
    reading = reader.submit(read, path)
    reader.shutdown(wait=False)
    return reading


def run_steps(
    pipeline: str,
    source: str | Path | Product,
    references: References,
    options: Mapping[str, Mapping[str, Any]],
    *,
    names: Sequence[str] | None = None,
    save: Callable[[Product, str], None] | None = None,
    threads: int | None = None,
    reading: Future | None = None,
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
    threads : int, optional
        Threads of the kernels; default what the machine offers.
    reading : Future, optional
        The source, if :func:`read_ahead` is at it.

    Returns
    -------
    dict of str to Product
        By suffix.
    list of dict
        A record per step: name, status, reason, seconds, peak_mb, began.

    Raises
    ------
    InputError
        If the input is damaged, incomplete, or of a kind that the pipeline does not take.
    """
    header = source.primary if isinstance(source, Product) else parse_header(source)
    label = source.name if isinstance(source, Product) else Path(source).name
    tables.exposure_type(header, label)
    steps = [load_step(tables.stage_of(pipeline, name), name) for name in (names or tables.sequence(pipeline, header))]
    from jwstsm.core.compiled import set_threads

    set_threads(threads)
    checked = {}
    for one in steps:
        given = dict(options.get(one.name, {}))
        kept = {k: given.pop(k) for k in list(given) if k.startswith("override_") or k == "save_results"}
        checked[one.name] = {**{k: p.default for k, p in one.parameters.items()}, **one.check(given, one.name), **kept}
    run = Run(steps, checked, references, save, reading=reading)
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

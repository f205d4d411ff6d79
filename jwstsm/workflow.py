"""What the Snakefile asks: which exposures there are, what is made of them, and with which parameters.

Plain Python without Snakemake, so that it is tested by itself. Paths are relative to the program directory.
"""

from __future__ import annotations

import gc
import glob
import inspect
import json
import logging
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import jwstsm
from jwstsm import config as configuration
from jwstsm import tables
from jwstsm.errors import ConfigError, InputError
from jwstsm.headers import HeaderCache
from jwstsm.plan import Plan, grown
from jwstsm.products.names import LOCK_PROBLEMS, lock_file, split_name
from jwstsm.references.needs import pipelines_of, types_of

__all__ = [
    "Exposure",
    "Program",
    "described_exposures",
    "described_mosaics",
    "open_program",
    "plan_swiftly",
    "remove_leftovers",
    "root",
    "snakefile",
    "targets",
]

log = logging.getLogger(__name__)


def root() -> Path:
    """Return the folder that holds the Snakefile, rules and scripts: the repository, or its copy in the package."""
    here = Path(__file__).resolve().parent
    return here.parent if (here.parent / "rules").is_dir() else here / "_workflow"


def snakefile() -> str:
    """Return the path of the workflow's Snakefile, for ``include:`` in a program directory."""
    return str(root() / "Snakefile")


class Exposure:
    """One uncal file: its name, header, and what is made of it."""

    def __init__(self, uncal: str, header: Mapping[str, Any] | None, error: str = "") -> None:
        self.uncal = uncal
        self.name = split_name(uncal)[0]
        self.header = dict(header or {})
        self.error = error

    @property
    def type(self) -> tables.ExposureType | None:
        """Row of the exposure-type table; None if the header could not be read or names no known type."""
        try:
            return tables.exposure_type(self.header, self.uncal) if not self.error else None
        except InputError:
            return None

    @property
    def pipelines(self) -> list[tuple[str, str]]:
        """``(pipeline, name)`` of the per-exposure pipelines that exist here and apply."""
        row = self.type
        names = ["detector1"] if row is None else [row.stage1, row.stage2]
        return [name for name in names if name in tables.sequences()]

    @property
    def all_pipelines(self) -> list[str]:
        """The pipelines that exist here and apply, stage 3 included."""
        return pipelines_of(self.header, self.uncal) if self.type else self.pipelines

    @property
    def size_mb(self) -> float:
        """Size of the uncal file [MB]."""
        try:
            return os.path.getsize(self.uncal) / 1e6
        except OSError:
            return 0.0


class Program:
    """A program directory as its configuration describes it.

    Parameters
    ----------
    content : mapping
        The configuration as Snakemake read it; checked here.
    cache : path
        Header cache.

    Raises
    ------
    ConfigError
        If the configuration is wrong, or no file matches ``uncal``.
    """

    def __init__(self, content: Mapping[str, Any], cache: str | Path = ".jwstsm/headers.json") -> None:
        self.config = configuration.check(content)
        patterns = self.config["uncal"]
        patterns = [patterns] if isinstance(patterns, str) else list(patterns)
        files = sorted({f for p in patterns for f in glob.glob(os.path.expanduser(p), recursive=True)})
        if not files and not self.config["archive"]:
            raise ConfigError(
                f"no file matches uncal: {', '.join(patterns)} in {os.getcwd()}; put *_uncal.fits files there, "
                "correct 'uncal' in config.yaml, or make an example with 'jwstsm demo'"
            )
        headers, errors = HeaderCache(cache).get(files)
        self._plan: tuple[tuple[str, int], Plan] | None = None
        self.exposures: dict[str, Exposure] = {}
        for file in files:
            exposure = Exposure(file, headers.get(file), errors.get(file, ""))
            twin = self.exposures.get(exposure.name)
            if twin:
                raise ConfigError(f"two files are exposure {exposure.name}: {twin.uncal} and {file}; keep one of them")
            self.exposures[exposure.name] = exposure

    # --- stage 1 and 2: one exposure -------------------------------------------------------------------------------

    @property
    def version(self) -> str:
        """The version of the code: a parameter of every rule, so that another version makes the products again."""
        return jwstsm.__version__

    @property
    def stages(self) -> list[int]:
        """Stages that are switched on."""
        return self.config["stages"]

    def uncal_files(self) -> list[str]:
        """Return all uncal files that can be read as far as their header (the others fail in their own job)."""
        return [e.uncal for e in self.exposures.values()]

    def committed_lock(self) -> list[str]:
        """Return the lock that the reference files must agree with, if the configuration names one.

        Raises
        ------
        ConfigError
            If it is not there.
        """
        lock = self.config["crds"]["lock"]
        if lock and not os.path.exists(lock):
            raise ConfigError(f"config.yaml: crds: lock: {lock} does not exist; make it with 'jwstsm refs lock'")
        return [lock] if lock else []

    def pattern(self, names: Iterable[str]) -> str:
        """Return a regular expression that matches exactly these exposure names, for ``wildcard_constraints``."""
        names = list(names)
        if not names:
            return r"(?!)"
        if len(names) == len(self.exposures):
            return r"jw[^/]+?"
        return "|".join(re.escape(name) for name in names)

    def stage1_products(self) -> list[str]:
        """Return the paths of all stage 1 products."""
        out = []
        for one in self.exposures.values():
            for pipeline in one.pipelines[:1]:
                out += [f"stage1/{one.name}_{suffix}.fits" for suffix in tables.sequences()[pipeline]["products"]]
        return out

    @cached_property
    def handed_on(self) -> dict[str, str]:
        """Exposure -> the one before it on the same detector (or nothing): those whose persistence is handed on.

        Only exposures for which the step persistence is switched on, with a length of its windows.
        """
        chains: dict[tuple, list[tuple]] = {}
        for one in self.exposures.values():
            if one.type and "detector1" in one.pipelines and self._hands_on(one):
                header = one.header
                when = (float(header.get("EXPSTART", 0.0)), int(header.get("INTSTART", 1) or 1), one.name)
                chains.setdefault((header.get("INSTRUME"), header.get("DETECTOR")), []).append(when)
        out: dict[str, str] = {}
        for chain in chains.values():
            names = [name for _, _, name in sorted(chain)]
            out |= dict(zip(names, ["", *names[:-1]], strict=True))
        return out

    def _hands_on(self, one: Exposure) -> bool:
        """Whether the persistence of an exposure is followed into the next one."""
        below, above = configuration.preset_options(self.config["preset"], one.header, "detector1")
        found = configuration.merge(below, above, self.options("detector1", one.name)).get("persistence", {})
        return found.get("skip") is False and found.get("persistence_time") is not None

    def windows_before(self, exposure: str) -> list[str]:
        """Return the file with the persistence that the exposure before leaves, if there is one before."""
        before = self.handed_on[exposure]
        return [f"stage1/{before}_persistence.asdf"] if before else []

    def image2_kind(self, exposure: str) -> str:
        """Return what image2 makes of an exposure: ``both`` (cal and i2d), ``cal`` or ``calints``."""
        header = self.exposures[exposure].header
        if tables.pipeline_input(header) == "rateints":
            return "calints"
        return "both" if "resample" in tables.sequence("image2", header) else "cal"

    def image2_pattern(self, kind: str) -> str:
        """Return the pattern of the exposures of which image2 makes ``kind``."""
        return self.pattern(n for n in self.named("image2") if self.image2_kind(n) == kind)

    def all_reference_types(self) -> dict[str, list[str]]:
        """Return the sets of reference types by exposure type: a change of one reruns only the selection."""
        out: dict[str, list[str]] = {}
        for one in self.exposures.values():
            if one.type:
                key = f"{one.header.get('INSTRUME')} {one.type.exp_type} {tables.is_tso(one.header)}"
                if key not in out:
                    out[key] = self.reference_types(one.name)
        return out

    def forget_incomplete_references(self, lock: str | Path = "references/lock.json") -> None:
        """Remove the program's lock if that of an exposure is missing or has problems: they are then selected again."""
        lock = Path(lock)
        if not lock.exists():
            return
        if (lock.parent / LOCK_PROBLEMS).exists():
            lock.unlink()
            return
        there = {path.name for path in lock.parent.iterdir()}
        if not all(lock_file(one.name, p) in there for one in self.exposures.values() for p in one.all_pipelines):
            lock.unlink()

    def lock_of(self, exposure: str, pipeline: str) -> str:
        """Return the file that says which references serve a pipeline on an exposure."""
        return f"references/{lock_file(exposure, pipeline)}"

    def named(self, pipeline: str) -> list[str]:
        """Return the names of the exposures that go through a pipeline."""
        return [e.name for e in self.exposures.values() if pipeline in e.pipelines]

    def uncal(self, exposure: str) -> str:
        """Return the uncal file of an exposure."""
        return self.exposures[exposure].uncal

    def options(self, pipeline: str, exposure: str) -> dict[str, dict]:
        """Return what the user set for the steps of one pipeline on one exposure (and nothing else)."""
        one = self.exposures[exposure]
        steps = tables.sequence(pipeline, one.header) if one.type else tables.sequence(pipeline)
        return configuration.options_for(self.config, steps, one.header, pipeline=pipeline, exposure=exposure)

    @cached_property
    def names_files(self) -> bool:
        """Whether any option in the configuration is the name of a file."""
        sections = [self.config["steps"], *(rule["steps"] for rule in self.config["overrides"])]
        return any(configuration.files_in(section) for section in sections)

    def files(self, pipeline: str) -> Callable | list:
        """Return the input function with the files that the options of a pipeline name; nothing if there are none."""
        if not self.names_files:
            return []
        return lambda wildcards: configuration.files_in(
            self.options(pipeline, wildcards.exposure), self.exposures[wildcards.exposure].header, wildcards.exposure
        )

    def mosaic_files(self, plan: Callable[[], Plan], step: str) -> Callable | list:
        """Return the input function with the files that the options of a step of stage 3 name."""
        if not self.names_files:
            return []
        return lambda wildcards: configuration.files_in(plan().options(wildcards.product, [step]), {})

    def reference_types(self, exposure: str) -> list[str]:
        """Return the reference types that the pipelines of an exposure ask for, stage 3 included."""
        return types_of(self.exposures[exposure].header, exposure)

    def memory_mb(self, exposure: str, pipeline: str, attempt: int = 1) -> int:
        """Return the memory to ask for [MB]: what was measured per pixel, half as much again on each new attempt."""
        header = self.exposures[exposure].header
        per_pixel = {"detector1": 24 + 9 * min(int(header.get("NGROUPS", 10) or 10), 25), "image2": 100}
        return grown(350 + per_pixel.get(pipeline, 60) * self.megapixels(exposure), attempt)

    def runtime_min(self, exposure: str, attempt: int = 1) -> int:
        """Return the time to ask for [minutes]: for a slow node, by the size of the uncal file."""
        return grown(5 + self.exposures[exposure].size_mb / 50, attempt)

    def megapixels(self, exposure: str) -> float:
        """Return the pixels of one frame, in millions."""
        header = self.exposures[exposure].header
        return int(header.get("SUBSIZE1", 2048) or 2048) * int(header.get("SUBSIZE2", 2048) or 2048) / 1e6

    def unsupported(self) -> dict[str, list[str]]:
        """Return the exposure types whose stage 2 or 3 does not exist here yet, with their exposures."""
        out: dict[str, list[str]] = {}
        for one in self.exposures.values():
            row = one.type
            missing = [p for p in (row.stage1, row.stage2, row.stage3) if p and p not in tables.sequences()] if row else []
            if missing:
                out.setdefault(f"{row.exp_type} ({', '.join(missing)})", []).append(one.name)
        return out

    def notes(self) -> list[str]:
        """Return what the reader of the report must know first: files left out, stages that do not exist here."""
        out = [e.error for e in self.exposures.values() if e.error]
        out += [f"{e.uncal}: EXP_TYPE is not known" for e in self.exposures.values() if not e.error and not e.type]
        for kind, names in self.unsupported().items():
            out.append(f"{kind}: not made here yet, for {len(names)} exposures ({names[0]}, ...)")
        return out

    # --- associations -----------------------------------------------------------------------------------------------

    def pool_headers(self) -> list[tuple[str, dict]]:
        """Return ``(uncal file, header)`` of the exposures whose header could be read and has a known type."""
        return [(e.uncal, e.header) for e in self.exposures.values() if e.type]

    def planned(self, index: str | Path) -> Plan:
        """Return the plan of stages 2 and 3 that the associations give; worked out once per version of the index."""
        stamp = (str(index), os.stat(index).st_mtime_ns)
        if self._plan is None or self._plan[0] != stamp:
            self._plan = (stamp, Plan(self, json.loads(Path(index).read_text())))
        return self._plan[1]


def remove_leftovers(program: Program, index: str | Path = "asn/index.json") -> None:
    """Remove the medians of mosaics whose exposures are all cleaned: a run killed at that moment leaves them behind."""
    if not Path(index).exists() or {"--notemp", "--no-temp", "--nt"} & set(sys.argv):
        return
    plan = program.planned(index)
    for product in plan.mosaics:
        median, cleaned = Path(f"stage3/{product}_median.fits"), [Path(file) for file in plan.crf_files(product)]
        if median.exists() and all(f.exists() and f.stat().st_mtime >= median.stat().st_mtime for f in cleaned):
            median.unlink()


def open_program(content: Mapping[str, Any]) -> Program:
    """Return the program of the current folder; a wrong configuration ends Snakemake with one line."""
    from snakemake.exceptions import WorkflowError

    # a graph of thousands of jobs is made of objects that stay: looking for garbage among them costs a tenth of the time
    gc.set_threshold(100_000, 50, 100)

    try:
        if os.path.exists("config.yaml"):
            configuration.check_keys_once("config.yaml")
        return Program(content)
    except ConfigError as error:
        raise WorkflowError(str(error)) from None


def plan_swiftly(rules: Iterable[Any]) -> None:
    """Keep what Snakemake would work out anew for each of thousands of jobs (a fifth of the time of planning them).

    That is the signatures of the functions in the rules, and the parts of the address of each rule's script.
    """
    import smart_open

    for rule in rules:
        needs = [getattr(resource, "_evaluator", None) for resource in rule.resources.values()]
        for function in (*rule.input, *rule.params, *needs):
            if inspect.isfunction(function):
                function.__signature__ = inspect.signature(function)
    if not hasattr(smart_open.parse_uri, "cache_info"):
        smart_open.parse_uri = cache(smart_open.parse_uri)


def targets(program: Program, plan: Callable[[], Plan], selected: Callable[[], Any]) -> list[str]:
    """Return every product of the stages that are switched on; ``selected`` asks for the references."""
    if not program.exposures:
        raise InputError("there are no uncal files yet; 'snakemake fetch' downloads what config.yaml: archive asks for")
    selected()  # first, so that jobs are not planned before it is known which references they have
    out = program.stage1_products() if 1 in program.stages else []
    if 2 in program.stages:
        out += plan().image2_products()
    if 3 in program.stages:
        out += plan().image3_products() + [f"stage3/{pair}.fits" for pair in plan().pairs]
    return out


def described_exposures(program: Program, plan: Callable[[], Plan]) -> list[str]:
    """Return the report's descriptions of the exposures: of the calibrated image where there is one."""
    calibrated = {n for n in plan().level2 if program.image2_kind(n) != "calints"} if 2 in program.stages else set()
    calibrated &= set(program.named("image2"))
    return [f"report/data/{n}_{'cal' if n in calibrated else 'rate'}.json" for n in program.named("detector1")]


def described_mosaics(program: Program, plan: Callable[[], Plan]) -> list[str]:
    """Return the report's descriptions of the mosaics."""
    return [f"report/data/{name}_i2d.json" for name in plan().mosaics] if 3 in program.stages else []

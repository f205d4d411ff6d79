"""What a program needs: the reference files of each exposure under a context, and what depends on them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jwstsm import config, tables
from jwstsm.errors import InputError, JwstsmError
from jwstsm.products.names import split_name
from jwstsm.references.types import pars_type, reference_types

if TYPE_CHECKING:
    from jwstsm.references.select import Selector

__all__ = ["Need", "by_pipeline", "files_of", "first_pipeline", "pipelines_of", "program_needs", "types_of"]


@dataclasses.dataclass(frozen=True)
class Need:
    """The reference files of one exposure.

    Attributes
    ----------
    exposure : str
    files : dict
        Reference type to file name, or None for N/A.
    problems : list of str
    header : dict
    """

    exposure: str
    files: dict[str, str | None]
    problems: list[str]
    header: dict[str, Any]


def pipelines_of(header: Mapping[str, Any], name: str = "") -> list[str]:
    """Return the pipelines that exist here and apply to an exposure, stage 3 included, in their order."""
    row = tables.exposure_type(header, name)
    return [p for p in (row.stage1, row.stage2, row.stage3) if p in tables.sequences()]


def types_of(header: Mapping[str, Any], name: str = "", pipelines: Iterable[str] | None = None) -> list[str]:
    """Return the reference types that the pipelines of an exposure (all, or those given) ask for.

    Raises
    ------
    InputError
        If the exposure is of no known type.
    """
    chosen = pipelines_of(header, name) if pipelines is None else pipelines
    sequences = [(p, tables.sequence(p, header)) for p in chosen]
    steps = {step for _, names in sequences for step in names}
    return reference_types(sequences, {step: config.reference_types_of(step) for step in steps})


def by_pipeline(content: Mapping[str, Any], header: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Split the lock of an exposure (see :func:`jwstsm.references.lock.lock_exposure`) into those of its pipelines.

    Of an exposure whose type is not known only the first pipeline is there, whose job says what is wrong.
    """
    try:
        pipelines = pipelines_of(header)
    except InputError:
        pipelines = []
    out = {}
    for pipeline in pipelines:
        types, steps = types_of(header, pipelines=[pipeline]), tables.sequence(pipeline, header)
        parameters: dict[str, dict] = {}
        for where, given in content["parameters"].items():
            if where in ("", pipeline):
                parameters[where] = {step: options for step, options in given.items() if step in steps}
        files = {kind: entry for kind, entry in content["files"].items() if kind in types}
        out[pipeline] = {**content, "files": files, "parameters": parameters}
    return out or {"detector1": dict(content)}


def first_pipeline(kind: str, header: Mapping[str, Any]) -> str:
    """Return the first pipeline of an exposure that a reference type has a part in; "" if none has."""
    for pipeline in pipelines_of(header):
        steps = tables.sequence(pipeline, header)
        kinds = {pars_type(pipeline, True), *(pars_type(s) for s in steps)}
        kinds |= {k for s in steps for k in config.reference_types_of(s)}
        if kind in kinds:
            return pipeline
    return ""


def program_needs(headers: Mapping[str, Mapping[str, Any]], selector: Selector) -> list[Need]:
    """Return what each exposure needs.

    Parameters
    ----------
    headers : mapping of path to mapping
        Headers of the uncal files.
    selector : Selector
    """
    found = []
    for path, header in headers.items():
        name = split_name(path)[0]
        try:
            files, missing = selector.select(header, types_of(header, Path(path).name))
        except JwstsmError as error:
            found.append(Need(name, {}, [str(error)], dict(header)))
            continue
        found.append(Need(name, files, [f"{name}: {text}" for text in missing.values()], dict(header)))
    return found


def files_of(needs: Iterable[Need]) -> dict[str, tuple[set[str], set[str]]]:
    """Return file name -> (types it serves as, exposures it serves)."""
    out: dict[str, tuple[set[str], set[str]]] = {}
    for need in needs:
        for kind, file in need.files.items():
            if file is not None:
                kinds, exposures = out.setdefault(file, (set(), set()))
                kinds.add(kind)
                exposures.add(need.exposure)
    return dict(sorted(out.items(), key=lambda item: (sorted(item[1][0]), item[0])))

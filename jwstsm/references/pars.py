"""CRDS parameter references (``pars-*``, ASDF): what operations set for a step or a pipeline."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jwstsm.config import check_steps, step_parameters
from jwstsm.errors import InputError, ReferenceError_
from jwstsm.wcs import asdftext

__all__ = ["read_pars"]

log = logging.getLogger(__name__)

# parameters that every official step has and that only steer its own file handling
_UNIVERSAL = {
    "pre_hooks",
    "post_hooks",
    "output_file",
    "output_dir",
    "output_ext",
    "output_use_model",
    "output_use_index",
    "save_results",
    "suffix",
    "search_output_file",
    "input_dir",
}


def read_pars(path: str | Path, step: str | None = None) -> dict[str, dict[str, Any]]:
    """Return the parameters that a file sets, by step.

    Parameters
    ----------
    path : str or Path
        A ``pars-*`` ASDF file, of a step or of a pipeline.
    step : str, optional
        Name of the step for a step's file (the file holds the official class name); None for a pipeline's.

    Returns
    -------
    dict
        ``{step: {parameter: value}}``, checked and typed. Steps and parameters that this package does not have are left
        out, with a warning.

    Raises
    ------
    ReferenceError_
        If the file cannot be read.
    """
    try:
        tree = asdftext.load(Path(path))
    except (OSError, InputError) as error:
        raise ReferenceError_(f"parameter reference {path} cannot be read: {error}") from error
    found: dict[str, dict] = {}
    if step is not None:
        found[step] = dict(tree.get("parameters") or {})
    else:
        for section in tree.get("steps") or []:
            found[str(section["name"])] = dict(section.get("parameters") or {})
    return check_steps(_known_only(found, Path(path).name), f"parameter reference {Path(path).name}")


def _known_only(found: Mapping[str, Mapping[str, Any]], name: str) -> dict[str, dict[str, Any]]:
    out: dict[str, dict] = {}
    for step, options in found.items():
        parameters = step_parameters().get(step)
        if parameters is None:
            continue  # a step of a pipeline that is not implemented here is not run, so its options have no effect
        unknown = [k for k in options if k not in parameters and k not in _UNIVERSAL]
        if unknown:
            log.warning("%s: parameters of %s without effect here: %s", name, step, ", ".join(unknown))
        out[step] = {k: v for k, v in options.items() if k in parameters}
    return out

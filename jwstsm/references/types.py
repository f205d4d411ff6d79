"""Names of CRDS reference types."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

__all__ = ["pars_type", "reference_types"]

# official class names that are not the step's name without underscores and with "step" behind
_CLASS_NAMES = {"bkg_subtract": "backgroundstep", "msa_flagging": "msaflagopenstep", "srctype": "sourcetypestep"}


def pars_type(name: str, is_pipeline: bool = False) -> str:
    """Return the CRDS type of the parameter reference of a step or a pipeline, such as ``pars-jumpstep``."""
    plain = name.replace("_", "")
    return f"pars-{plain}pipeline" if is_pipeline else f"pars-{_CLASS_NAMES.get(name, plain + 'step')}"


def reference_types(pipelines: Iterable[tuple[str, Iterable[str]]], types_of: Mapping[str, Iterable[str]]) -> list[str]:
    """Return every type that some pipelines ask for: those of their steps and their parameter files.

    Parameters
    ----------
    pipelines : iterable of (str, iterable of str)
        Pipeline names and their step names.
    types_of : mapping
        Step name to the reference types it declares.
    """
    found: dict[str, None] = {}
    for pipeline, steps in pipelines:
        found[pars_type(pipeline, True)] = None
        for name in steps:
            found[pars_type(name)] = None
            found.update(dict.fromkeys(types_of.get(name, ())))
    return list(found)

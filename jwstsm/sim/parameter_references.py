"""Parameter references (``pars-*``): what operations set, as rows; some for all data, some for one filter."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["PARAMETER_ROWS", "ParameterRow", "parameter_tree"]


class ParameterRow(NamedTuple):
    """One parameter reference."""

    reftype: str
    step_class: str
    name: str
    parameters: dict
    by_filter: bool = False
    """Write one per filter, with ``kernel_fwhm`` set to the width of its point-spread function [pixel]."""
    steps: tuple[ParameterRow, ...] = ()


_JUMP = {"expand_large_events": True, "use_ellipses": False, "sat_required_snowball": True, "min_jump_area": 15.0}

PARAMETER_ROWS = (
    ParameterRow(
        "pars-detector1pipeline",
        "jwst.pipeline.calwebb_detector1.Detector1Pipeline",
        "Detector1Pipeline",
        {},
        steps=(ParameterRow("", "jwst.jump.jump_step.JumpStep", "jump", {"expand_large_events": True}),),
    ),
    ParameterRow(
        "pars-jumpstep",
        "jwst.jump.jump_step.JumpStep",
        "JumpStep",
        _JUMP | {"min_sat_area": 3.0, "expand_factor": 1.75},
    ),
    ParameterRow(
        "pars-tweakregstep",
        "jwst.tweakreg.tweakreg_step.TweakRegStep",
        "TweakRegStep",
        {"snr_threshold": 20.0, "brightest": 80, "minobj": 6, "tolerance": 0.25, "separation": 0.6, "roundhi": 0.5},
        by_filter=True,
    ),
    ParameterRow(
        "pars-sourcecatalogstep",
        "jwst.source_catalog.source_catalog_step.SourceCatalogStep",
        "SourceCatalogStep",
        {"aperture_ee1": 30, "aperture_ee2": 50, "aperture_ee3": 70},
        by_filter=True,
    ),
    ParameterRow(
        "pars-outlierdetectionstep",
        "jwst.outlier_detection.outlier_detection_step.OutlierDetectionStep",
        "OutlierDetectionStep",
        {"snr": "5.0 4.0", "scale": "2.1 0.7"},
    ),
)
"""Parameter names and classes are the official ones; the values suit the simulated point-spread functions."""


def parameter_tree(row: ParameterRow, fwhm_pixels: float | None = None) -> dict:
    """Return the ASDF tree of a row, without metadata."""
    parameters = dict(row.parameters)
    if fwhm_pixels is not None:
        parameters["kernel_fwhm"] = round(fwhm_pixels, 3)
    tree = {"class": row.step_class, "name": row.name, "parameters": parameters}
    if row.steps:
        tree["steps"] = [parameter_tree(step) for step in row.steps]
    return tree

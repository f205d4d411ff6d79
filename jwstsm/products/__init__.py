"""Products: dataclasses of named arrays and headers, and their FITS files."""

from __future__ import annotations

import importlib

_HOMES = {
    "FitOpt": "model",
    "Guider": "model",
    "Mosaic": "model",
    "Product": "model",
    "Ramp": "model",
    "Readout": "readout",
    "Segmentation": "model",
    "SideProduct": "model",
    "Slope": "model",
    "read": "fitsio",
    "write": "fitsio",
}

__all__ = list(_HOMES)


def __getattr__(name: str):
    """Import on first use: planning the workflow needs file names only, not astropy."""
    if name in _HOMES:
        return getattr(importlib.import_module(f"jwstsm.products.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'jwstsm.products' has no attribute '{name}'")

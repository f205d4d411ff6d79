"""Reference files: which ones serve an exposure (CRDS, lock file) and reading them."""

from __future__ import annotations

__all__ = ["ReferenceFile", "References", "Window"]


def __getattr__(name: str):
    """Import on first use: planning the workflow needs type names only, not astropy."""
    if name in __all__:
        from jwstsm.references import reader

        return getattr(reader, name)
    raise AttributeError(f"module 'jwstsm.references' has no attribute '{name}'")

"""Reference files: which ones serve an exposure (CRDS, lock file) and reading them."""

from jwstsm.references.reader import ReferenceFile, References, Window

__all__ = ["ReferenceFile", "References", "Window"]

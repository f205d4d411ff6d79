"""Where compiled kernels are kept, if the folder that ``NUMBA_CACHE_DIR`` names cannot be written to.

That is so in a read-only container image. The user's own cache takes its place; without one nothing is kept.
"""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["settle"]


def settle() -> None:
    """Set ``NUMBA_CACHE_DIR`` to a folder that can be written to; to be called before numba is imported."""
    asked = os.environ.get("NUMBA_CACHE_DIR")
    if not asked or _writable(Path(asked)):
        return
    own = Path(os.path.expanduser("~")) / ".cache" / "jwstsm"
    if _writable(own):
        os.environ["NUMBA_CACHE_DIR"] = str(own)
    else:
        del os.environ["NUMBA_CACHE_DIR"]
        os.environ["JWSTSM_NUMBA_CACHE"] = "0"


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)

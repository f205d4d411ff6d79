"""The one place where compiler switches of the numba kernels are set.

Kernels import :func:`njit` and :data:`prange` from here. ``JWSTSM_NUMBA_CACHE=0`` turns the on-disk cache off
(useful when the package folder is read-only) and ``NUMBA_DISABLE_JIT=1`` runs every kernel as plain Python.
``fastmath`` stays off: NaN has a meaning in nearly every array of this package.
"""

from __future__ import annotations

import os

# threads that wait for work sleep instead of spinning: several jobs on one machine take half the time
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numba
import numba.np.linalg
from numba import get_num_threads, prange

__all__ = ["get_num_threads", "njit", "prange", "set_threads"]

_CACHE = os.environ.get("JWSTSM_NUMBA_CACHE", "1") != "0"


def _without_blas() -> None:
    """Say no where numba asks for BLAS: it imports scipy.linalg for it, a tenth of the time of a job that needs none."""
    raise ImportError("kernels of this package are compiled without linear algebra; do that outside of them")


numba.np.linalg.ensure_blas = _without_blas


def njit(*args, parallel: bool = False, **kwargs):
    """Compile a kernel with the project's switches.

    Parameters
    ----------
    *args
        The function, when used as a bare decorator, or numba signatures.
    parallel : bool
        Run ``prange`` loops on all threads. Loops must write disjoint rows, so that results do not
        depend on the number of threads.
    **kwargs
        Passed to :func:`numba.njit`.

    Returns
    -------
    callable
        The compiled function, or the decorator when called with keywords only.
    """
    kwargs.setdefault("cache", _CACHE)
    kwargs.setdefault("nogil", True)
    kwargs.setdefault("error_model", "numpy")
    if len(args) == 1 and callable(args[0]):
        return numba.njit(parallel=parallel, **kwargs)(args[0])
    return numba.njit(*args, parallel=parallel, **kwargs)


def set_threads(count: int | None) -> int:
    """Limit the threads of parallel kernels to ``count`` (at most what the machine offers); return the number used."""
    limit = numba.config.NUMBA_NUM_THREADS
    used = limit if count is None else max(1, min(int(count), limit))
    numba.set_num_threads(used)
    return used

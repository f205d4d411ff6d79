"""The one place where compiler switches of the numba kernels are set.

Kernels import :func:`njit` and :data:`prange` from here. ``JWSTSM_NUMBA_CACHE=0`` turns the on-disk cache off
(useful when the package folder is read-only) and ``NUMBA_DISABLE_JIT=1`` runs every kernel as plain Python.
``fastmath`` stays off: NaN has a meaning in nearly every array of this package.
"""

# ruff: noqa: E402 (numba reads the environment when it is imported)

from __future__ import annotations

import functools
import os

from jwstsm.core import kernel_cache

# threads that wait for work sleep instead of spinning: several jobs on one machine take half the time
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
kernel_cache.settle()

import numba
import numba.np.linalg
from numba import get_num_threads, prange
from numba.core.caching import FunctionCache
from numba.core.runtime import rtsys

__all__ = ["get_num_threads", "njit", "prange", "set_threads"]

_CACHE = os.environ.get("JWSTSM_NUMBA_CACHE", "1") != "0"


def _without_blas() -> None:
    """Say no where numba asks for BLAS: it imports scipy.linalg for it, a tenth of the time of a job that needs none."""
    raise ImportError("kernels of this package are compiled without linear algebra; do that outside of them")


numba.np.linalg.ensure_blas = _without_blas


class _Kernels(FunctionCache):
    """Compiled kernels on disk, loaded without the tables of all known functions that only the compiler needs.

    Filling them takes a quarter of a second, the longest part of the start of a job. The compiler does so by itself
    where a kernel is not on disk.
    """

    def load_overload(self, sig, target_context):
        """Load the kernel for a signature; None if there is none."""
        rtsys.initialize(target_context)  # what kernels allocate memory with
        return self._load_overload(sig, target_context)


def njit(function=None, *, parallel: bool = False, cache: bool = _CACHE, **switches):
    """Compile a kernel with the project's switches.

    Parameters
    ----------
    function : callable, optional
        When used as a bare decorator.
    parallel : bool
        Run ``prange`` loops on all threads. Loops must write disjoint rows, so that results do not
        depend on the number of threads.
    cache : bool
        Keep the compiled kernel on disk.
    **switches
        Passed to :func:`numba.njit`.

    Returns
    -------
    callable
        The kernel, or the decorator when called with switches only.
    """
    if function is None:
        return functools.partial(njit, parallel=parallel, cache=cache, **switches)
    kernel = numba.njit(parallel=parallel, **{"nogil": True, "error_model": "numpy", **switches})(function)
    if cache and not numba.config.DISABLE_JIT:
        kernel._cache = _Kernels(function)  # as enable_caching() does, but for the class
    return kernel


def set_threads(count: int | None) -> int:
    """Limit the threads of parallel kernels to ``count`` (at most what the machine offers); return the number used."""
    limit = numba.config.NUMBA_NUM_THREADS
    used = limit if count is None else max(1, min(int(count), limit))
    numba.set_num_threads(used)
    return used

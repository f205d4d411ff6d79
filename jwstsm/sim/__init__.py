"""Forward model: from a sky of known truth to uncal files and the reference files that calibrate them.

``sky`` is what there is, ``geometry``, ``psf`` and ``optics`` bring it to the detector, ``chip``, ``detector``,
``cosmic_rays`` and ``noise`` turn light into counts, ``headers`` describes them, ``references`` and ``crds_cache``
write what undoes each effect, and ``program`` runs a whole set.
"""

from __future__ import annotations

__all__ = ["simulate_program"]


def __getattr__(name: str):
    # the simulator's imports are paid for by those who simulate
    if name == "simulate_program":
        from jwstsm.sim.program import simulate_program

        return simulate_program
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

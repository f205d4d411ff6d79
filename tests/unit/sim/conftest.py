"""One tiny program, made once."""

from __future__ import annotations

import dataclasses

import pytest

from jwstsm.sim.presets import PRESETS, Observation


@pytest.fixture(scope="session")
def program(tmp_path_factory):
    """A program of three 64 x 64 exposures: two dithers, and one of averaged frames and two integrations."""
    from jwstsm.sim import simulate_program

    observations = (
        Observation((("NRCBLONG", "F444W"),), "SUB64P", "SUB64P", ngroups=5, outputs=1, dithers=((0, 0), (0.4, 0.3))),
        Observation((("NRCB1", "F200W"),), "SUB64P", "SUB64P", "BRIGHT2", ngroups=4, nints=2, outputs=1),
    )
    preset = dataclasses.replace(PRESETS["small"], observations=observations)
    return simulate_program(tmp_path_factory.mktemp("program"), preset, seed=5)

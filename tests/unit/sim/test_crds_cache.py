"""The cache as the crds package sees it, without a network."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import re
import subprocess
import sys

import pytest

from jwstsm.sim.crds_cache import CONTEXT, environment

RESOLVE = """
import json, socket, sys

def blocked(*args, **kwargs):
    raise RuntimeError("network used")

socket.socket.connect = socket.create_connection = socket.getaddrinfo = blocked
import crds
import crds.rmap

request = json.loads(sys.stdin.read())
found = [crds.getreferences(header, reftypes=types, observatory="jwst") for header, types in request["exposures"]]
rules = crds.rmap.get_cached_mapping(request["context"])
early = rules.get_best_references(request["early"], include=["gain"])
print(json.dumps({"found": found, "early": early}))
"""

HEADER = {
    "META.INSTRUMENT.NAME": "NIRCAM",
    "META.INSTRUMENT.DETECTOR": "NRCBLONG",
    "META.INSTRUMENT.CHANNEL": "LONG",
    "META.INSTRUMENT.MODULE": "B",
    "META.INSTRUMENT.FILTER": "F444W",
    "META.INSTRUMENT.PUPIL": "CLEAR",
    "META.EXPOSURE.TYPE": "NRC_IMAGE",
    "META.EXPOSURE.READPATT": "RAPID",
    "META.EXPOSURE.NOUTPUTS": "1",
    "META.SUBARRAY.NAME": "SUB64P",
    "META.VISIT.TSOVISIT": "F",
    "META.VISIT.TYPE": "PRIME_TARGETED_FIXED",
    "META.OBSERVATION.DATE": "2023-10-29",
    "META.OBSERVATION.TIME": "06:00:00",
}
FILES = [
    "mask",
    "saturation",
    "superbias",
    "dark",
    "linearity",
    "gain",
    "readnoise",
    "ipc",
    "flat",
    "area",
    "photom",
    "apcorr",
    "abvegaoffset",
    "filteroffset",
    "distortion",
    "sirskernel",
    "pars-detector1pipeline",
    "pars-jumpstep",
    "pars-tweakregstep",
    "pars-sourcecatalogstep",
    "pars-outlierdetectionstep",
]
ABSENT = ["persat", "bkg", "specwcs", "pars-rampfitstep", "pars-image2pipeline", "pars-resamplestep"]


@pytest.fixture(scope="module")
def answers(program):
    """What crds says, in a process of its own without network, of two exposures and of an early date."""
    short = {
        "META.INSTRUMENT.DETECTOR": "NRCB1",
        "META.INSTRUMENT.CHANNEL": "SHORT",
        "META.INSTRUMENT.FILTER": "F200W",
        "META.EXPOSURE.READPATT": "BRIGHT2",
    }
    request = {
        "exposures": [(HEADER, FILES + ABSENT), (HEADER | short, ["ipc", "dark", "pars-tweakregstep"])],
        "early": HEADER | {"META.OBSERVATION.DATE": "2016-01-01"},
        "context": CONTEXT,
    }
    process = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RESOLVE],
        input=json.dumps(request),
        env=os.environ | environment(program.crds_cache) | {"CRDS_VERBOSITY": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def resolved(answers):
    """File names for the exposure of HEADER, and for one of the other detector."""
    return [
        {name: os.path.basename(found) if found.startswith("/") else found.upper() for name, found in files.items()}
        for files in answers["found"]
    ]


@pytest.mark.parametrize("reftype", FILES)
def test_every_type_resolves_to_a_file_that_exists(program, resolved, reftype):
    name = resolved[0][reftype]
    assert re.fullmatch(rf"jwst_nircam_{reftype}_\d{{4}}\.(fits|asdf)", name)
    assert (program.crds_cache / "references/jwst/nircam" / name).is_file()


@pytest.mark.parametrize("reftype", ABSENT)
def test_types_without_a_file_are_not_applicable(resolved, reftype):
    assert resolved[0][reftype].endswith("N/A")


def test_another_detector_gets_other_files(resolved):
    first, second = resolved
    assert second["ipc"].endswith("N/A")
    assert second["dark"] != first["dark"]
    assert second["pars-tweakregstep"] != first["pars-tweakregstep"]


def test_an_early_date_gets_the_early_rule(answers):
    assert answers["early"] == {"gain": "jwst_nircam_gain_old.fits"}


def test_checksums_of_mappings_hold(program):
    paths = sorted((program.crds_cache / "mappings/jwst").iterdir())
    assert len(paths) > 20
    for path in paths:
        text = path.read_text()
        stated = re.search(r"'sha1sum' : '([0-9a-f]{40})'", text).group(1)
        rest = "".join(line for line in text.splitlines(keepends=True) if "sha1sum" not in line)
        assert hashlib.sha1(rest.encode()).hexdigest() == stated


def test_server_configuration_is_a_literal_with_the_context(program):
    info = ast.literal_eval((program.crds_cache / "config/jwst/server_config").read_text())
    assert info["operational_context"] == CONTEXT
    assert info["bad_files_list"] == []

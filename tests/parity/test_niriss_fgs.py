"""NIRISS, FGS and full frames of NIRCam through stage 1 and image2 of both packages, optional steps and darks included."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml
from astropy.io import fits

from jwstsm.sim.detector import Effects
from jwstsm.sim.presets import PRESETS, Observation, Preset
from jwstsm.sim.program import simulate_program
from jwstsm.sim.sky import Crowd
from tests.parity.compare import compare_images, compare_ramps, compare_wcs
from tests.parity.judge import crds_env, needs_judge, run_official, run_ours
from tests.parity.test_imaging import check, compare_mosaic

pytestmark = [pytest.mark.parity, needs_judge, pytest.mark.filterwarnings("ignore")]

LIMITS = yaml.safe_load((Path(__file__).parent / "tolerances.yaml").read_text())
STEPS = ["dq_init", "saturation", "superbias", "refpix", "linearity", "dark_current", "jump"]
DARK_STEPS = ["dq_init", "saturation", "superbias", "refpix", "linearity"]
READ_NOISE_DN = 5.0
OPERATIONS = {"charge_migration": {"skip": False}}
"""What our preset ``official`` switches on for images of NIRISS, as the operations pipeline does."""

WIDE = Crowd(stars_arcmin2=150.0, star_mag=(15.0, 22.0), galaxies_arcmin2=25.0)
FULL = Effects(ipc=False, snowballs_s=0.1)
NIRISS = PRESETS["niriss"].observations

PROGRAMS = {
    "niriss": Preset(
        (
            dataclasses.replace(NIRISS[0], dithers=((0.0, 0.0),)),
            *NIRISS[1:],
            Observation((("NIS", "F200W"),), aperture="CEN", readpatt="NIS", ngroups=4),
        ),
        crowd=PRESETS["niriss"].crowd,
        effects=FULL,
    ),
    "fgs": dataclasses.replace(PRESETS["fgs"], effects=FULL),
    "nircam": Preset((Observation((("NRCALONG", "F444W"), ("NRCA1", "F200W")), ngroups=4),), crowd=WIDE, effects=FULL),
}

#: exposure -> (program, visit and detector in the file name, parameters)
EXPOSURES = {
    "NIS SUB256": ("niriss", "001001*_nis", OPERATIONS),
    "NIS SUB80 AMI": ("niriss", "002001*_nis", {}),
    "NIS SUBSTRIP256": ("niriss", "003001*_nis", {}),
    "NIS FULL": ("niriss", "004001*_nis", OPERATIONS),
    "GUIDER1 FULL": ("fgs", "001001*_guider1", {}),
    "NRCA1 FULL": ("nircam", "001001*_nrca1", {}),
    "NRCALONG FULL": ("nircam", "001001*_nrcalong", {}),
}
IMAGES = ["NIS SUB256", "NIS FULL", "GUIDER1 FULL"]


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """Return a function that simulates a program once and returns its folder."""
    done = {}

    def make(name: str) -> Path:
        if name not in done:
            done[name] = tmp_path_factory.mktemp(name)
            simulate_program(done[name], PROGRAMS[name], seed=11)
        return done[name]

    return make


@pytest.fixture(scope="module")
def both(programs):
    """Return a function that runs detector1 (and image2 on the official rates) in both packages, once per exposure."""
    done = {}

    def run(exposure: str) -> tuple[Path, Path, str, dict]:
        if exposure not in done:
            program, pattern, steps = EXPOSURES[exposure]
            folder = programs(program)
            (uncal,) = folder.glob(f"uncal/jw?????{pattern}_uncal.fits")
            env, ours, official = crds_env(folder), folder / "ours", folder / "official"
            steps = {step: {"save_results": True} for step in STEPS} | steps
            run_ours("detector1", uncal, ours, env, steps)
            run_official("detector1", uncal, official, env, steps)
            done[exposure] = ours, official, uncal.name.removesuffix("_uncal.fits"), env
        return done[exposure]

    return run


@pytest.mark.parametrize("exposure", EXPOSURES)
def test_stage_1_agrees_step_by_step(both, exposure):
    ours, official, name, _ = both(exposure)
    for step in STEPS:
        found = compare_ramps(ours / f"{name}_{step}.fits", official / f"{name}_{step}.fits", READ_NOISE_DN)
        check({f"{exposure} {step}": found}, LIMITS["ramps"])
    for suffix in ("rate", "rateints"):
        check(compare_images(ours / f"{name}_{suffix}.fits", official / f"{name}_{suffix}.fits"), LIMITS["images"])


@pytest.mark.parametrize("exposure", [*IMAGES, "NIS SUB80 AMI"])
def test_image2_agrees_in_pixels_and_world_coordinates(both, exposure):
    ours, official, name, env = both(exposure)
    single = exposure in IMAGES
    rate = official / f"{name}_{'rate' if single else 'rateints'}.fits"
    run_ours("image2", rate, ours, env)
    run_official("image2", rate, official, env)
    cal = f"{name}_{'cal' if single else 'calints'}.fits"
    check(compare_images(ours / cal, official / cal), LIMITS["images"])
    assert compare_wcs(ours / cal, official / cal) < LIMITS["wcs_mas"]
    headers = [fits.getheader(folder / cal, "SCI") for folder in (ours, official)]
    assert headers[0]["BUNIT"] == headers[1]["BUNIT"]
    # interferograms are not converted to surface brightness
    assert ("PHOTMJSR" in headers[0]) == ("PHOTMJSR" in headers[1]) == single
    for keyword in ("PHOTMJSR", "PIXAR_SR")[not single :]:
        assert headers[0][keyword] == pytest.approx(headers[1][keyword], rel=1e-6)
    if single:
        compare_mosaic(ours / f"{name}_i2d.fits", official / f"{name}_i2d.fits")


OPTIONAL = {
    "all at once": (
        "001001",
        {
            "charge_migration": {"skip": False, "signal_threshold": 9000.0},
            "clean_flicker_noise": {"skip": False},
            "persistence": {"skip": False, "persistence_time": 60, "dn_threshold": 12000.0},
        },
    ),
    "flicker noise, parameters chosen": ("001001", {"clean_flicker_noise": {"skip": False, "autoparam": True}}),
    "flicker noise, model": (
        "001001",
        {"clean_flicker_noise": {"skip": False, "background_method": "model", "apply_flat_field": True, "n_sigma": 3.0}},
    ),
    "flicker noise, median image": (
        "001001",
        {"clean_flicker_noise": {"skip": False, "background_method": "median_image", "single_mask": False}},
    ),
    "group scale, persistence": (
        "002001",
        {"persistence": {"skip": False, "persistence_time": 30, "persistence_dnu": True}},
    ),
}
OPTIONAL_STEPS = ["group_scale", "ipc", "charge_migration", "jump", "clean_flicker_noise", "persistence"]
PROGRAMS["optional"] = Preset(
    (
        Observation((("NIS", "F150W"),), "SUB256", "SUB256", readpatt="NISRAPID", ngroups=8, nints=3, outputs=1),
        # three frames averaged, divided by four on board
        Observation(
            (("NIS", "F150W"),),
            "SUB128",
            "SUB128",
            readpatt="NIS",
            ngroups=5,
            nints=2,
            outputs=1,
            keywords=(("NFRAMES", 3), ("FRMDIVSR", 4)),
        ),
    ),
    crowd=dataclasses.replace(PRESETS["niriss"].crowd, star_mag=(14.0, 22.0)),
    effects=Effects(snowballs_s=0.0, persistence=0.02, charge_migration=0.05),
    ipc_references=("NIS",),
)


@pytest.mark.parametrize("case", OPTIONAL)
def test_optional_steps_agree(programs, tmp_path, case):
    visit, parameters = OPTIONAL[case]
    folder = programs("optional")
    (uncal,) = folder.glob(f"uncal/jw?????{visit}*_uncal.fits")
    steps = {step: {"save_results": True} for step in OPTIONAL_STEPS}
    for step, values in (OPERATIONS | parameters).items():
        steps[step] = steps.get(step, {}) | values
    run_ours("detector1", uncal, tmp_path / "ours", crds_env(folder), steps)
    run_official("detector1", uncal, tmp_path / "official", crds_env(folder), steps)
    name = uncal.name.removesuffix("_uncal.fits")
    for step in OPTIONAL_STEPS:
        ours, official = (tmp_path / who / f"{name}_{step}.fits" for who in ("ours", "official"))
        if not official.exists():
            assert step not in parameters
            continue  # a step that is switched off writes nothing
        assert fits.getheader(ours).get(KEYWORDS[step]) == fits.getheader(official).get(KEYWORDS[step]), step
        check({f"{case} {step}": compare_ramps(ours, official, READ_NOISE_DN)}, LIMITS["ramps"])
    for suffix in ("rate", "rateints"):
        ours, official = (tmp_path / who / f"{name}_{suffix}.fits" for who in ("ours", "official"))
        found = compare_images(ours, official)
        # where light is next to nothing its variance is what rounding left; ERR has it in proportion
        found.pop("VAR_POISSON")
        check(found, LIMITS["images"])


KEYWORDS = {
    "group_scale": "S_GRPSCL",
    "ipc": "S_IPC",
    "charge_migration": "S_CHGMIG",
    "jump": "S_JUMP",
    "clean_flicker_noise": "S_CLNFNS",
    "persistence": "S_PERSIS",
}


def test_optimal_reference_pixels_and_noise_by_amplifier_agree(programs, tmp_path):
    folder = programs("nircam")
    (uncal,) = folder.glob("uncal/*_nrcalong_uncal.fits")
    steps = {
        "refpix": {"refpix_algorithm": "sirs", "save_results": True},
        "clean_flicker_noise": {"skip": False, "fit_by_channel": True, "save_results": True},
    }
    run_ours("detector1", uncal, tmp_path / "ours", crds_env(folder), steps)
    run_official("detector1", uncal, tmp_path / "official", crds_env(folder), steps)
    name = uncal.name.removesuffix("_uncal.fits")
    for step in ("refpix", "clean_flicker_noise"):
        found = compare_ramps(
            tmp_path / f"ours/{name}_{step}.fits", tmp_path / f"official/{name}_{step}.fits", READ_NOISE_DN
        )
        check({step: found}, LIMITS["ramps"])
    check(compare_images(tmp_path / f"ours/{name}_rate.fits", tmp_path / f"official/{name}_rate.fits"), LIMITS["images"])


PROGRAMS["darks"] = Preset(
    (
        Observation(
            (("NRCA1", "F200W"),),
            "SUB160",
            "SUB160",
            readpatt="BRIGHT2",
            ngroups=5,
            nints=2,
            outputs=1,
            exp_type="NRC_DARK",
        ),
        Observation((("NIS", "F200W"),), aperture="CEN", readpatt="NISRAPID", ngroups=3, exp_type="NIS_DARK"),
    ),
    effects=FULL,
)


@pytest.mark.parametrize("visit", ["001001", "002001"])
def test_dark_exposures_agree(programs, tmp_path, visit):
    folder = programs("darks")
    (uncal,) = folder.glob(f"uncal/jw?????{visit}*_uncal.fits")
    steps = {step: {"save_results": True} for step in DARK_STEPS}
    run_ours("dark", uncal, tmp_path / "ours", crds_env(folder), steps)
    run_official("dark", uncal, tmp_path / "official", crds_env(folder), steps)
    name = uncal.name.removesuffix("_uncal.fits")
    # without the operations' parameter file the official product is named after its pipeline
    for suffix, theirs in (*((step, step) for step in DARK_STEPS), ("dark", "darkpipeline")):
        found = compare_ramps(
            tmp_path / f"ours/{name}_{suffix}.fits", tmp_path / f"official/{name}_{theirs}.fits", READ_NOISE_DN
        )
        check({suffix: found}, LIMITS["ramps"])
    from stdatamodels.jwst import datamodels

    with datamodels.open(tmp_path / "ours" / f"{name}_dark.fits", strict_validation=True) as model:
        assert isinstance(model, datamodels.RampModel)
        model.validate()

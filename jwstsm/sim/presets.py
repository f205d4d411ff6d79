"""Ready-made programs: what is observed, how, and how large the injected errors are."""

from __future__ import annotations

from dataclasses import dataclass, field

from jwstsm.sim import multistripe, nirspec
from jwstsm.sim.detector import Effects
from jwstsm.sim.sky import Crowd

__all__ = ["PRESETS", "Observation", "PointingError", "Preset"]

ROLL_DEG = 41.0


@dataclass(frozen=True)
class PointingError:
    """What the headers do not know: standard deviations of shifts [arcsec] and rolls [deg]."""

    visit_arcsec: float = 0.15
    visit_roll_deg: float = 0.004
    exposure_arcsec: float = 0.03
    exposure_roll_deg: float = 0.001


@dataclass(frozen=True)
class Observation:
    """One visit: detectors with their filters, readout and dithers. The first detector holds the target."""

    detectors: tuple[tuple[str, str], ...]
    """(detector, filter) pairs taken at the same time."""
    subarray: str = "FULL"
    aperture: str = "FULL"
    """Suffix of the aperture's name in the SIAF."""
    readpatt: str = "RAPID"
    ngroups: int = 6
    nints: int = 1
    dithers: tuple[tuple[float, float], ...] = ((0.0, 0.0),)
    """Offsets in the ideal frame of the first detector [arcsec]."""
    outputs: int = 4
    exp_type: str = ""
    """Type of exposure; the instrument's images if empty."""
    keywords: tuple[tuple[str, object], ...] = ()
    """Keywords of the primary header that differ from what the tables say; None leaves one out."""
    window: tuple[int, int, int, int] | None = None
    """First full-frame column and row (1-based), columns and rows; those of the aperture if None."""
    stripes: bool = False
    """Whether ``window`` holds stripes of the whole detector, as the keywords MSTR_* and SSTR_* say."""


@dataclass(frozen=True)
class Preset:
    """A program."""

    observations: tuple[Observation, ...]
    crowd: Crowd = field(default_factory=Crowd)
    effects: Effects = field(default_factory=Effects)
    pointing: PointingError = field(default_factory=PointingError)
    ra: float = 80.4875
    dec: float = -69.4975
    roll_deg: float = ROLL_DEG
    program: int = 9001
    ipc_references: tuple[str, ...] = ()
    """Detectors that have an IPC reference; the others are N/A, as in operations."""


BOX = ((-1.53, -1.21), (1.47, -1.11), (1.31, 1.39), (-1.27, 1.57))
SMALL_BOX = ((-0.61, -0.47), (0.58, -0.53), (0.52, 0.61), (-0.49, 0.55))
SHORT_PAIR = ((0.0, 0.0), (0.71, 0.37))

_DENSE = Crowd(
    stars_arcmin2=2200.0, galaxies_arcmin2=60.0, star_mag=(17.5, 22.0), galaxy_mag=(20.0, 23.0), separation_arcsec=0.9
)
_QUIET = Effects(ipc=False)

_BRIGHT = Crowd(
    stars_arcmin2=160.0, galaxies_arcmin2=20.0, star_mag=(13.5, 18.5), galaxy_mag=(16.0, 19.0), separation_arcsec=2.0
)
_CLOUD = Crowd(stars_arcmin2=150.0)
_FAST = {"readpatt": "FASTR1", "ngroups": 12}
_MRS = {
    "exp_type": "MIR_MRS",
    "keywords": (("TEMPLATE", "MIRI Medium Resolution Spectroscopy"), ("FILTER", None), ("BAND", "SHORT")),
}
_PRISM = {
    "exp_type": "MIR_LRS-SLITLESS",
    "keywords": (("TEMPLATE", "MIRI Low Resolution Spectroscopy"), ("TSOVISIT", True)),
}
MIRI_BOX = ((-2.31, -1.87), (2.22, -2.05), (2.04, 2.19), (-1.93, 2.42))

PRESETS: dict[str, Preset] = {
    "tiny": Preset(
        (Observation((("NRCBLONG", "F444W"),), "SUB64P", "SUB64P", ngroups=5, outputs=1),),
        crowd=_DENSE,
    ),
    "small": Preset(
        (
            Observation(
                (("NRCB1", "F200W"), ("NRCBLONG", "F444W")),
                "SUB160",
                "SUB160",
                ngroups=8,
                dithers=SMALL_BOX,
                outputs=1,
            ),
            Observation(
                (("NRCBLONG", "F277W"), ("NRCB1", "F150W")),
                "SUB160",
                "SUB160",
                readpatt="BRIGHT2",
                ngroups=5,
                nints=2,
                dithers=SHORT_PAIR,
                outputs=1,
            ),
        ),
        crowd=_DENSE,
        ipc_references=("NRCBLONG",),
    ),
    "medium": Preset(
        (Observation((("NRCB1", "F200W"),), "SUB640", "SUB640", ngroups=8, dithers=BOX, outputs=1),),
        crowd=Crowd(stars_arcmin2=900.0, galaxies_arcmin2=30.0, star_mag=(17.5, 22.5), galaxy_mag=(20.0, 23.0)),
        effects=_QUIET,
    ),
    "demo": Preset(
        (
            Observation(
                (("NRCALONG", "F444W"), ("NRCA1", "F200W")),
                ngroups=6,
                dithers=BOX,
            ),
        ),
        crowd=Crowd(stars_arcmin2=120.0, galaxies_arcmin2=25.0),
        effects=_QUIET,
    ),
    "bench": Preset(
        (Observation((("NRCALONG", "F444W"),), ngroups=10),),
        crowd=Crowd(stars_arcmin2=150.0, star_mag=(15.5, 24.5)),
        effects=Effects(ipc=False, snowballs_s=0.15),
    ),
    "niriss": Preset(
        (
            Observation(
                (("NIS", "F150W"),), "SUB256", "SUB256", readpatt="NISRAPID", ngroups=8, dithers=SMALL_BOX, outputs=1
            ),
            Observation(
                (("NIS", "F480M-NRM"),),
                "SUB80",
                "AMI1",
                readpatt="NISRAPID",
                ngroups=10,
                nints=4,
                outputs=1,
                exp_type="NIS_AMI",
            ),
            Observation(
                (("NIS", "GR700XD"),),
                "SUBSTRIP256",
                "SUBSTRIP256",
                readpatt="NISRAPID",
                ngroups=4,
                nints=3,
                outputs=1,
                exp_type="NIS_SOSS",
                keywords=(("TSOVISIT", True),),
                window=(1, 1793, 2048, 256),
            ),
        ),
        crowd=_DENSE,
    ),
    "fgs": Preset(
        (Observation((("GUIDER1", "FGS"),), readpatt="FGSRAPID", ngroups=5),),
        crowd=Crowd(stars_arcmin2=150.0, star_mag=(15.0, 22.0)),
        effects=_QUIET,
    ),
    "bench3": Preset(
        (Observation((("NRCALONG", "F444W"),), ngroups=5, dithers=BOX),),
        crowd=Crowd(stars_arcmin2=150.0),
        effects=_QUIET,
    ),
    "miri_full": Preset((Observation((("MIRIMAGE", "F1000W"),), nints=1, **_FAST),), crowd=_BRIGHT),
    "miri_sub256": Preset(
        (Observation((("MIRIMAGE", "F770W"),), "SUB256", "SUB256", nints=3, **_FAST),),
        crowd=_BRIGHT,
    ),
    "miri_prism": Preset(
        (Observation((("MIRIMAGE", "P750L"),), "SLITLESSPRISM", "SLITLESSPRISM", nints=8, **_FAST, **_PRISM),),
        crowd=_BRIGHT,
    ),
    "miri_mrs": Preset((Observation((("MIRIFUSHORT", "SHORT"),), nints=2, **_FAST, **_MRS),), crowd=_BRIGHT),
    "miri_imaging": Preset(
        (Observation((("MIRIMAGE", "F770W"),), "SUB256", "SUB256", dithers=MIRI_BOX, **_FAST),),
        crowd=_BRIGHT,
    ),
    "miri_bench": Preset((Observation((("MIRIMAGE", "F1000W"),), readpatt="FASTR1", ngroups=30),), crowd=_BRIGHT),
}
"""Preset name -> program."""
PRESETS |= {
    name: Preset((Observation(**fields),), crowd=_BRIGHT, ipc_references=("NRS2",))
    for name, fields in nirspec.PROGRAMS.items()
}
PRESETS |= {
    name: Preset((Observation(**fields, stripes=True),), crowd=_CLOUD, effects=_QUIET)
    for name, fields in multistripe.PROGRAMS.items()
}

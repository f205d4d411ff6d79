"""What the simulator knows of detectors, filters and readout patterns: rows in tables.

A further instrument is more rows. Numbers are representative of flight (gain, noise, full well, sensitivity),
not measurements: a simulated program is consistent with its own reference files, whatever they say.
"""

from __future__ import annotations

from typing import NamedTuple

from jwstsm.sim import niriss_fgs, nirspec

__all__ = [
    "ARRAYS",
    "DETECTORS",
    "FILTERS",
    "INSTRUMENTS",
    "READ_PATTERNS",
    "ArrayRow",
    "DetectorRow",
    "FilterRow",
    "InstrumentRow",
    "find_filter",
    "frame_time_s",
    "pattern",
]


class InstrumentRow(NamedTuple):
    """What the files of an instrument are called and which chain of effects its detectors have."""

    name: str
    chain: str
    """Name in :data:`jwstsm.sim.detector.COLLECT` and ``READ``."""
    template: str
    exp_type: str
    """Type of the simulated exposures."""
    imaging_types: str
    """Exposure types that share the imaging references, as a CRDS alternative."""
    other_types: str
    """Exposure types whose imaging references are N/A."""
    dark_type: str
    photom_model: str
    apcorr_model: str
    pupils: str
    """Pupil elements that a distortion reference serves."""
    elements: tuple[str, ...] = ("filter", "pupil")
    """Columns by which the rows of photometric tables are found."""
    parts: tuple[str, ...] = ("channel", "module")
    """Parts of the instrument that have references of their own."""
    full: str = "FULL"
    """Suffix of the full-frame aperture in the SIAF."""
    zero_frames: bool = True
    """Whether the first frame is kept apart where frames are averaged."""


INSTRUMENTS = {
    row.name: row
    for row in (
        InstrumentRow(
            "NIRCAM",
            "H2RG",
            "NIRCam Imaging",
            "NRC_IMAGE",
            "NRC_IMAGE|NRC_TSIMAGE|NRC_FOCUS|NRC_TACONFIRM|NRC_TACQ",
            "NRC_WFSS",
            "NRC_DARK",
            "NrcImgPhotomModel",
            "NrcImgApcorrModel",
            "CLEAR|F162M|F164N|",
        ),
        InstrumentRow(
            "MIRI",
            "SIAS",
            "MIRI Imaging",
            "MIR_IMAGE",
            "MIR_IMAGE|MIR_TACQ|MIR_TACONFIRM|MIR_LYOT|MIR_4QPM|MIR_CORONCAL",
            "MIR_MRS|MIR_LRS-SLITLESS|MIR_LRS-FIXEDSLIT|MIR_WFSS",
            "MIR_DARKIMG",
            "MirImgPhotomModel",
            "MirImgApcorrModel",
            "",
            ("filter", "subarray"),
            (),
        ),
        *(InstrumentRow(**row) for row in (*niriss_fgs.INSTRUMENTS, *nirspec.INSTRUMENTS)),
    )
}


class ArrayRow(NamedTuple):
    """What a kind of detector array has in common."""

    rows: int
    """Rows of the full frame; 0 for as many as columns."""
    border_rows: bool
    """Whether there are rows of reference pixels, beside the columns."""
    interleaved: bool
    """Whether amplifiers take turns along a row instead of reading a stripe each."""
    bias_dn: float
    """Level after a reset."""
    bias_inside: bool
    """Whether the linearity correction counts from zero, bias included, for lack of a bias reference."""


ARRAYS = {
    "H2RG": ArrayRow(0, True, False, 9500.0, False),
    "SIAS": ArrayRow(1024, False, True, 5000.0, True),
}


class DetectorRow(NamedTuple):
    """One detector: names, readout geometry and typical figures."""

    name: str
    instrument: str
    siaf: str
    """Prefix of the aperture names in the SIAF."""
    module: str
    channel: str
    sca: int
    fast_axis: int
    slow_axis: int
    size: int
    """Columns of a full frame, reference pixels included."""
    border: int
    """Width of the reference-pixel border."""
    outputs: int
    """Amplifiers of a full-frame readout."""
    gain_e_dn: float
    read_noise_e: float
    """Noise of one read [e-]."""
    full_well_e: float
    dark_e_s: float
    ipc: float
    """Fraction of a pixel's signal seen by each of its four neighbours."""

    @property
    def array(self) -> ArrayRow:
        """What it shares with detectors of its kind."""
        return ARRAYS[INSTRUMENTS[self.instrument].chain]

    @property
    def full_aperture(self) -> str:
        """Name of the full-frame aperture in the SIAF."""
        return f"{self.siaf}_{INSTRUMENTS[self.instrument].full}"

    @property
    def shape(self) -> tuple[int, int]:
        """The (ny, nx) of a full frame."""
        return self.array.rows or self.size, self.size


_DETECTORS = """
NRCA1    NIRCAM NRCA1 A SHORT 481 -1  2 2048 4 4 2.08 9.2 98000 0.0019 0.0048
NRCA2    NIRCAM NRCA2 A SHORT 482  1 -2 2048 4 4 2.02 8.8 100000 0.0016 0.0051
NRCA3    NIRCAM NRCA3 A SHORT 483 -1  2 2048 4 4 2.17 9.0 97000 0.0018 0.0049
NRCA4    NIRCAM NRCA4 A SHORT 484  1 -2 2048 4 4 2.02 9.1 99000 0.0017 0.0052
NRCALONG NIRCAM NRCA5 A LONG  485 -1  2 2048 4 4 1.84 11.6 83000 0.0342 0.0055
NRCB1    NIRCAM NRCB1 B SHORT 486  1 -2 2048 4 4 2.00 8.7 98000 0.0015 0.0047
NRCB2    NIRCAM NRCB2 B SHORT 487 -1  2 2048 4 4 2.13 9.3 101000 0.0020 0.0050
NRCB3    NIRCAM NRCB3 B SHORT 488  1 -2 2048 4 4 1.94 9.0 96000 0.0018 0.0048
NRCB4    NIRCAM NRCB4 B SHORT 489 -1  2 2048 4 4 2.03 8.9 99000 0.0017 0.0049
NRCBLONG NIRCAM NRCB5 B LONG  490  1 -2 2048 4 4 1.80 11.2 81000 0.0270 0.0054
MIRIMAGE    MIRI MIRIM - -  493 1 2 1032 4 4 4.00 24.0 205000 0.12 0.0
MIRIFULONG  MIRI MIRIM - 34 494 1 2 1032 4 4 3.95 25.0 200000 0.10 0.0
MIRIFUSHORT MIRI MIRIM - 12 495 1 2 1032 4 4 4.05 24.5 203000 0.09 0.0
"""
# the imager's apertures stand in for those of the spectrometer, which have no distortion in pixels

DETECTORS: dict[str, DetectorRow] = {}
for _line in (_DETECTORS.strip() + niriss_fgs.DETECTORS.rstrip() + nirspec.DETECTORS.rstrip()).splitlines():
    _name, _instrument, _siaf, _module, _channel, *_numbers = (word if word != "-" else "" for word in _line.split())
    DETECTORS[_name] = DetectorRow(
        _name, _instrument, _siaf, _module, _channel, *map(int, _numbers[:6]), *map(float, _numbers[6:])
    )


class FilterRow(NamedTuple):
    """One filter with its pupil element: colour, sensitivity and optical offset."""

    instrument: str
    channel: str
    filter: str
    pupil: str
    pivot_um: float
    width_um: float
    photmjsr: float
    """Surface brightness of one DN/s [MJy/sr]."""
    ab_minus_vega: float
    background_mjysr: float
    """Typical zodiacal light and stray light [MJy/sr]."""
    column_offset: float
    row_offset: float
    """Added to pixel positions to reach the reference filter [pixel]."""

    @property
    def name(self) -> str:
        """What is in the beam besides open positions, such as ``F200W`` or ``F480M-NRM``; the instrument if nothing is."""
        words = [word for word in (self.filter, self.pupil) if word not in ("", "CLEAR", "CLEARP")]
        return "-".join(words) or self.instrument


_FILTERS = """
NIRCAM SHORT F070W CLEAR  0.704 0.128 7.10 0.27 0.17  0.151 -0.102
NIRCAM SHORT F090W CLEAR  0.902 0.194 3.52 0.51 0.18  0.122 -0.088
NIRCAM SHORT F115W CLEAR  1.154 0.225 2.68 0.77 0.18  0.061 -0.041
NIRCAM SHORT F150W CLEAR  1.501 0.318 2.07 1.20 0.17  0.025  0.012
NIRCAM SHORT F182M CLEAR  1.845 0.238 2.53 1.55 0.15  0.310  0.205
NIRCAM SHORT F200W CLEAR  1.990 0.461 1.72 1.69 0.14  0.000  0.000
NIRCAM SHORT F210M CLEAR  2.096 0.205 3.74 1.79 0.13 -0.214  0.163
NIRCAM SHORT F212N CLEAR  2.121 0.027 28.1 1.81 0.13 -0.118  0.340
NIRCAM LONG  F250M CLEAR  2.503 0.181 1.21 2.11 0.12  0.072 -0.051
NIRCAM LONG  F277W CLEAR  2.786 0.672 0.43 2.32 0.11  0.035 -0.023
NIRCAM LONG  F335M CLEAR  3.362 0.347 0.81 2.69 0.12 -0.064  0.081
NIRCAM LONG  F356W CLEAR  3.563 0.787 0.41 2.80 0.13 -0.011  0.017
NIRCAM LONG  F410M CLEAR  4.084 0.438 0.86 3.09 0.24  0.093  0.064
NIRCAM LONG  F444W CLEAR  4.402 1.024 0.38 3.24 0.38  0.000  0.000
NIRCAM LONG  F480M CLEAR  4.817 0.303 1.51 3.42 0.71 -0.145  0.112
MIRI - F560W  -  5.635 1.000 0.60 3.73 0.9 -0.080 -0.060
MIRI - F770W  -  7.639 1.950 0.28 4.37 3.1  0.000  0.000
MIRI - F1000W -  9.953 1.800 0.47 4.94 7.2 -0.140 -0.620
MIRI - F1280W - 12.810 2.470 0.51 5.48 14.  0.110 -0.310
MIRI - F1500W - 15.064 2.920 0.42 5.83 21.  0.230 -0.270
MIRI - F2100W - 20.795 4.580 0.58 6.51 90.  0.050  0.190
MIRI - P750L  -  8.000 6.000 0.45 4.40 3.0  0.000  0.000
MIRI - SHORT  -  6.500 3.000 0.90 4.10 2.0  0.000  0.000
"""

FILTERS: dict[tuple[str, str, str], FilterRow] = {}
for _line in (_FILTERS.strip() + niriss_fgs.FILTERS.rstrip() + nirspec.FILTERS.rstrip()).splitlines():
    _instrument, _channel, _filter, _pupil, *_numbers = (word if word != "-" else "" for word in _line.split())
    FILTERS[_instrument, _filter, _pupil] = FilterRow(_instrument, _channel, _filter, _pupil, *map(float, _numbers))


def find_filter(instrument: str, name: str) -> FilterRow:
    """Return the row of a filter, or of a pupil element or band that does a filter's work, or of a pair (``F480M-NRM``).

    Raises
    ------
    KeyError
        If the instrument has none of that name.
    """
    rows = [row for row in FILTERS.values() if row.instrument == instrument and name in (row.name, row.filter, row.pupil)]
    if not rows:
        raise KeyError(f"{instrument} has no filter {name}")
    return rows[0]


class PatternRow(NamedTuple):
    """Frames averaged into a group and frames dropped after it."""

    nframes: int
    groupgap: int


READ_PATTERNS = {
    ("NIRCAM", name): PatternRow(nframes, gap)
    for name, nframes, gap in (
        ("RAPID", 1, 0),
        ("BRIGHT1", 1, 1),
        ("BRIGHT2", 2, 0),
        ("SHALLOW2", 2, 3),
        ("SHALLOW4", 4, 1),
        ("MEDIUM2", 2, 8),
        ("MEDIUM8", 8, 2),
        ("DEEP2", 2, 18),
        ("DEEP8", 8, 12),
    )
} | {("MIRI", name): PatternRow(1, 0) for name in ("FAST", "FASTR1", "SLOW", "SLOWR1")}
READ_PATTERNS |= {key: PatternRow(*values) for key, values in (niriss_fgs.READ_PATTERNS | nirspec.READ_PATTERNS).items()}


def pattern(instrument: str, readpatt: str) -> PatternRow:
    """Return the averaging of a readout pattern; raise KeyError where it is not in the table."""
    return READ_PATTERNS[instrument, readpatt]


def frame_time_s(nx: int, ny: int, outputs: int) -> float:
    """Return the time between frames [s] of an H2RG read through ``outputs`` amplifiers.

    A row costs 12 pixel clocks of overhead, a frame one row (four amplifiers) or two rows (one amplifier), and a
    pixel clock is 10 us; readouts through four amplifiers spend one more clock per frame.
    """
    clocks = (nx // outputs + 12) * (ny + (1 if outputs > 1 else 2)) + (1 if outputs > 1 else 0)
    return clocks * 1e-5

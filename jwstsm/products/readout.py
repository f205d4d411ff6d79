"""How a detector was read out: the timing, the window and the amplifiers, from the header."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from jwstsm.core.detector import full_detector
from jwstsm.errors import InputError
from jwstsm.products.stripes import Stripes

__all__ = ["Readout"]


@dataclass(frozen=True)
class Readout:
    """Timing and geometry of one exposure.

    Attributes
    ----------
    nints, ngroups : int
        Integrations in this file and groups per integration.
    exposure_nints : int
        Integrations of the whole exposure (``NINTS``), which may be spread over segments.
    int_start : int
        1-based number of the first integration of this file (``INTSTART``).
    nframes, groupgap : int
        Frames averaged in a group, frames dropped between groups.
    frame_divisor : int
        Number the summed frames were divided by on board (``FRMDIVSR``).
    frame_time_s, group_time_s : float
    xstart, ystart : int
        1-based corner of the window on the full detector (``SUBSTRT1``, ``SUBSTRT2``).
    nx, ny : int
        Size of the window [pixel].
    fastaxis, slowaxis : int
        Readout directions: 1 is +x, 2 is +y, negative the other way.
    stripes : Stripes or None
        Lines of the detector that a multistripe frame holds.
    read_times_s : tuple of tuple of float, or None
        Times of the frames of each group, from the reset, where they are not even.
    """

    instrument: str
    detector: str
    exp_type: str
    readpatt: str
    subarray: str
    nints: int
    ngroups: int
    exposure_nints: int
    int_start: int
    nframes: int
    groupgap: int
    frame_divisor: int
    frame_time_s: float
    group_time_s: float
    noutputs: int
    xstart: int
    ystart: int
    nx: int
    ny: int
    fastaxis: int
    slowaxis: int
    zero_frame: bool = False
    drop_frames1: int = 0
    drop_frames3: int = 0
    nresets: int = 1
    stripes: Stripes | None = None
    read_times_s: tuple[tuple[float, ...], ...] | None = None

    @classmethod
    def from_product(cls, product) -> Readout:
        """Read the keywords of a product.

        Raises
        ------
        InputError
            If a keyword is missing or is not a number where one is needed.
        """

        def number(keyword: str, kind: type, default=None):
            value = product.key(keyword, default) if default is not None else product.require(keyword)
            try:
                return kind(value)
            except (TypeError, ValueError):
                raise InputError(f"{product.name}: keyword {keyword} is {value!r}, which is not a number") from None

        def word(keyword: str, default: str | None = None) -> str:
            value = product.require(keyword) if default is None else product.key(keyword, default)
            return str(value).strip().upper()

        data = getattr(product, "data", None)
        shape = data.shape if data is not None else ()
        nints = shape[0] if len(shape) == 4 else number("NINTS", int)
        tframe = number("TFRAME", float)
        nx = shape[-1] if shape else number("SUBSIZE1", int)
        ny = shape[-2] if shape else number("SUBSIZE2", int)
        slowaxis = number("SLOWAXIS", int)
        full = full_detector(word("INSTRUME"))
        size, whole, start = (nx, full.nx, "SUBSTRT1") if abs(slowaxis) == 1 else (ny, full.ny, "SUBSTRT2")
        return cls(
            instrument=word("INSTRUME"),
            detector=word("DETECTOR"),
            exp_type=word("EXP_TYPE"),
            readpatt=word("READPATT", "ANY"),
            subarray=word("SUBARRAY", "FULL"),
            nints=nints,
            ngroups=shape[1] if len(shape) == 4 else number("NGROUPS", int),
            exposure_nints=number("NINTS", int, nints),
            int_start=number("INTSTART", int, 1),
            nframes=number("NFRAMES", int),
            groupgap=number("GROUPGAP", int, 0),
            frame_divisor=number("FRMDIVSR", int, number("NFRAMES", int)),
            frame_time_s=tframe,
            group_time_s=number("TGROUP", float, tframe),
            noutputs=number("NOUTPUTS", int, 4),
            xstart=number("SUBSTRT1", int),
            ystart=number("SUBSTRT2", int),
            nx=nx,
            ny=ny,
            fastaxis=number("FASTAXIS", int),
            slowaxis=slowaxis,
            zero_frame=bool(product.key("ZEROFRAM", False)),
            drop_frames1=number("DRPFRMS1", int, 0),
            drop_frames3=number("DRPFRMS3", int, 0),
            nresets=number("NRESETS", int, 1),
            stripes=Stripes.from_header(product.key, size, number(start, int), slowaxis, whole, product.name),
        )

    @cached_property
    def read_pattern(self) -> list[list[int]]:
        """1-based numbers of the frames that each group averages, such as ``[[1, 2], [4, 5], ...]``."""
        stride = self.nframes + self.groupgap
        return [[g * stride + f + 1 for f in range(self.nframes)] for g in range(self.ngroups)]

    @property
    def is_full_frame(self) -> bool:
        """Whether the window is the whole detector."""
        return self.subarray == "FULL"

"""The source lists of exposures: found in the images, or read from the user's files."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jwstsm.core import dq as bits
from jwstsm.core.frames import Frame, Stage3Inputs
from jwstsm.core.sources import FinderOptions, Sources, find_sources
from jwstsm.errors import InputError
from jwstsm.stage3._groups import Image
from jwstsm.stage3._refcat import read_pixel_catalog
from jwstsm.wcs.correction import TangentPlane

__all__ = ["find_frame_sources", "group_names", "listed_image", "user_lists"]

log = logging.getLogger(__name__)

_NOT_IMAGE = bits.FLAGS["DO_NOT_USE"].value | bits.FLAGS["NON_SCIENCE"].value


# keywords that name what shares a correction
_GROUPS = {
    "visit": ("PROGRAM", "OBSERVTN", "VISIT"),
    "guide_star": ("PROGRAM", "OBSERVTN", "VISIT", "GDSTARID"),
}


def group_names(frames: Sequence[Frame], by: str) -> list[str]:
    """Return for each image the name of the group that moves together.

    Parameters
    ----------
    frames : sequence of Frame
        The images.
    by : {"exposure", "visit", "guide_star", "detector"}
        What makes a group. Images without the keywords stay with their exposure.
    """
    out = []
    for frame in frames:
        if by == "detector":
            out.append(frame.name)
            continue
        values = [frame.header.get(keyword) for keyword in _GROUPS.get(by, ())]
        if not values or any(v is None or not str(v).strip() for v in values):
            if values:
                log.warning("%s: %s missing, it is aligned as an exposure", frame.name, " or ".join(_GROUPS[by]))
            out.append(frame.group_id)
        else:
            out.append("-".join(str(v).strip() for v in values))
    return out


def find_frame_sources(frame: Frame, options: FinderOptions) -> Sources:
    """Find the sources of one image.

    Parameters
    ----------
    frame : Frame
        A calibrated image; DQ bits read: DO_NOT_USE, NON_SCIENCE.
    options : FinderOptions
        Which finder, and its parameters.

    Returns
    -------
    Sources
        All of the image.
    """
    data, flags = frame.read("data"), frame.read("dq")
    mask = np.zeros(data.shape, bool) if flags is None else (flags & np.uint32(_NOT_IMAGE)) != 0
    error = frame.read("err") if options.starfinder == "segmentation" else None
    sources = find_sources(data, mask, options, error)
    if len(sources):
        log.info("%s: %d sources", frame.name, len(sources))
    else:
        log.warning("%s: no sources found", frame.name)
    return sources


def user_lists(frames: list[Frame], catfile: str, inputs: Stage3Inputs) -> dict[str, Path]:
    """Return the user's source lists by image file name."""
    found: dict[str, Path] = {}
    for frame in frames:
        if frame.header.get("TCATFILE"):
            found[frame.name] = (frame.path.parent if frame.path else Path()) / str(frame.header["TCATFILE"])
    found |= {name: Path(path) for name, path in getattr(inputs, "catalogs", {}).items() if path}
    if not catfile.strip():
        return found
    if not Path(catfile).is_file():
        raise InputError(f"tweakreg: 'catfile' names {catfile}, which is not a file")
    for line in Path(catfile).read_text().splitlines():
        words = line.split("#")[0].split()
        if len(words) > 2:
            raise InputError(f"{catfile}: a line has at most two words, an image and its source list: '{line.strip()}'")
        if len(words) == 2:
            found[words[0]] = Path(catfile).parent / words[1]
        elif words:
            found.pop(words[0], None)
    return found


def listed_image(frame: Frame, options: FinderOptions, source_list: Path | None, catalogs: dict) -> Image:
    """Return an image with its plane and the sources inside the bounding box of its WCS."""
    reference = []
    for keyword in ("V2_REF", "V3_REF", "ROLL_REF"):
        if frame.header.get(keyword) is None:
            raise InputError(f"{frame.name}: keyword {keyword} is missing; run assign_wcs on the exposure again")
        reference.append(float(frame.header[keyword]))
    plane = TangentPlane(frame.wcs, *reference)
    ny, nx = frame.shape
    bounds = plane.wcs.bounding_box or ((-0.5, nx - 0.5), (-0.5, ny - 0.5))
    (x0, x1), (y0, y1) = bounds
    if source_list is not None:
        log.info("%s: sources from %s", frame.name, source_list)
        x, y, weight = read_pixel_catalog(source_list)
    else:
        sources = find_frame_sources(frame, options)
        x, y, weight = sources.x, sources.y, None
    keep = (x > x0) & (x < x1) & (y > y0) & (y < y1)
    if source_list is None:
        names = {"id": "id", "xcentroid": "x", "ycentroid": "y", "flux": "flux"}
        catalogs[frame.name] = {new: sources.columns[old][keep] for old, new in names.items()}
    return Image(frame.name, plane, x[keep], y[keep], bounds, None if weight is None else weight[keep])

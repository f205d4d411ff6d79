"""What the header of an image says about its world coordinates.

Source: keywords of the archive's products.
"""

from __future__ import annotations

import logging

from jwstsm.wcs import sip
from jwstsm.wcs.footprint import s_region

__all__ = ["update_sky_keywords"]

log = logging.getLogger(__name__)


def update_sky_keywords(product, *, sip_options: dict | None = None) -> None:
    """Write what the header says about the world coordinates of a product: ``S_REGION`` and a SIP approximation.

    Parameters
    ----------
    product : Slope
        With ``wcs``; its ``SCI`` header is changed in place.
    sip_options : dict, optional
        Options of :func:`jwstsm.wcs.sip.fit_sip`; None leaves the SIP keywords as they are.

    Notes
    -----
    The reference pixel of the approximation is the one that the header names (``CRPIX1``, ``CRPIX2``), else the
    centre of the bounding box.
    """
    header = product.sci
    outline = s_region(product.wcs)
    if outline is None:
        log.warning("%s: a corner has no sky position; S_REGION is not updated", product.name)
    else:
        header["S_REGION"] = (outline, "spatial extent of the observation")
    if sip_options is None:
        return
    crpix = [product.key(k) for k in ("CRPIX1", "CRPIX2")]
    fit = sip.fit_sip(product.wcs, crpix=None if None in crpix else tuple(map(float, crpix)), **sip_options)
    sip.update_header(header, sip.sip_cards(fit, product.wcs.output_frame.name))

"""Products: dataclasses of named arrays and headers, and their FITS files."""

from jwstsm.products.fitsio import read, read_header, write
from jwstsm.products.model import FitOpt, Mosaic, Product, Ramp, Segmentation, Slope
from jwstsm.products.readout import Readout

__all__ = [
    "FitOpt",
    "Mosaic",
    "Product",
    "Ramp",
    "Readout",
    "Segmentation",
    "Slope",
    "read",
    "read_header",
    "write",
]

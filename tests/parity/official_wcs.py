"""Give an image its WCS by the official assign_wcs with given references; run by the judge.

Usage: official_wcs.py FILE REFERENCES(JSON) OUT.npz: positions on a 9 x 9 grid, S_REGION, frames.
"""

import json
import sys

import numpy as np
from jwst.assign_wcs.assign_wcs import load_wcs
from stdatamodels.jwst import datamodels

with datamodels.open(sys.argv[1]) as model:
    made = load_wcs(model, json.loads(sys.argv[2]))
    ny, nx = made.data.shape
    grid = np.meshgrid(np.linspace(0, nx - 1, 9), np.linspace(0, ny - 1, 9))
    position = np.array(made.meta.wcs(*grid, with_bounding_box=False))
    info = made.meta.wcsinfo
    words = [str(v) for v in (info.s_region, info.waverange_start, info.waverange_end, info.spectral_order)]
    np.savez(sys.argv[3], position=position, words=words, frames=made.meta.wcs.available_frames)

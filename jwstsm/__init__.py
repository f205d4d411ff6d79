"""JWST calibration from uncal to science products, as a Snakemake workflow over small steps."""

import os

__version__ = "0.1.0"

# the kernels have threads of their own; those of a linear-algebra library only spin beside them
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

"""JWST calibration from uncal to science products, as a Snakemake workflow over small steps."""

__version__ = "0.1.0"

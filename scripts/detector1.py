"""Entry of rule detector1."""

from jwstsm.job import logged

with logged(snakemake):
    from jwstsm.calibrate import calibrate_job

    calibrate_job("detector1", snakemake.input.uncal, snakemake)

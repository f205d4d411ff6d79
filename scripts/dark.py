"""Entry of rule dark."""

from jwstsm.job import logged

with logged(snakemake):
    from jwstsm.calibrate import calibrate_job

    calibrate_job("dark", snakemake.input.uncal, snakemake)

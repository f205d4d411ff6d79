"""Entry of rule guider."""

from jwstsm.job import logged

with logged(snakemake):
    from jwstsm.calibrate import calibrate_job

    calibrate_job("guider", snakemake.input.uncal, snakemake)

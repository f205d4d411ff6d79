"""Entry of rule guider."""

from jwstsm.job import logged

with logged(snakemake):
    from jwstsm.calibrate import calibrate_job
    from jwstsm.staging import copies

    calibrate_job("guider", copies(snakemake.input.uncal), snakemake)

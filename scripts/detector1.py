"""Entry of rule detector1."""

from jwstsm.job import logged

with logged(snakemake):
    from jwstsm.calibrate import calibrate_job
    from jwstsm.staging import copies

    calibrate_job("detector1", copies(snakemake.input.uncal), snakemake)

"""Entry of rule dark."""

from jwstsm.job import logged

with logged(snakemake):
    from jwstsm.calibrate import calibrate_job
    from jwstsm.staging import copies

    calibrate_job("dark", copies(snakemake.input.uncal), snakemake)

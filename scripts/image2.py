"""Entry of rule image2."""

from jwstsm.job import logged

with logged(snakemake):
    from jwstsm.calibrate import calibrate_job

    calibrate_job("image2", snakemake.input.rate, snakemake, background=snakemake.input.background)

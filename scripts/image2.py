"""Entry of rule image2."""

from jwstsm.job import logged

with logged(snakemake):
    from jwstsm.calibrate import calibrate_job
    from jwstsm.staging import copies

    calibrate_job("image2", copies(snakemake.input.rate), snakemake, background=snakemake.input.background)

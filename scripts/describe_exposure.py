"""Entry of rules describe_exposure and describe_calibrated."""

from jwstsm.job import logged

with logged(snakemake):
    from jwstsm.report.quality import describe_exposure

    describe_exposure(snakemake.input.product, snakemake.output[0])

"""Entry of rule describe_mosaic."""

from jwstsm.job import logged

with logged(snakemake):
    from jwstsm.report.quality import describe_mosaic

    describe_mosaic(snakemake.input.i2d, snakemake.input.catalog, snakemake.input.alignment, snakemake.output[0])

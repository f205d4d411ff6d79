"""Entry of rule source_catalog."""

from jwstsm.job import logged

with logged(snakemake):
    from jwstsm import gather

    context = gather.context_of(snakemake, [snakemake.input.i2d])
    gather.catalog_sources(context, snakemake.input.i2d, snakemake.output.catalog, snakemake.output.segments)

"""Entry of rule source_catalog."""

from jwstsm.job import logged

with logged(snakemake):
    from jwstsm import gather
    from jwstsm.staging import copies

    i2d = copies(snakemake.input.i2d)
    context = gather.context_of(snakemake, [i2d])
    gather.catalog_sources(context, i2d, snakemake.output.catalog, snakemake.output.segments)

"""Entry of rule skymatch."""

from jwstsm.job import logged

with logged(snakemake):
    from jwstsm import gather

    gather.match_sky(gather.context_of(snakemake, snakemake.input.cal), snakemake.output[0])

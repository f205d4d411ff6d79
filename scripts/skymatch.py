"""Entry of rule skymatch."""

from jwstsm.job import logged

with logged(snakemake):
    from jwstsm import gather
    from jwstsm.staging import copies

    gather.match_sky(gather.context_of(snakemake, copies(snakemake.input.cal)), snakemake.output[0])

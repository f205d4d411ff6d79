"""Entry of rule tweakreg."""

from jwstsm.job import logged

with logged(snakemake):
    from jwstsm import gather

    gather.align(gather.context_of(snakemake, snakemake.input.cal), snakemake.output[0])

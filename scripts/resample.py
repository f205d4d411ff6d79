"""Entry of rule resample."""

from jwstsm.job import logged

with logged(snakemake):
    from jwstsm import gather

    gather.combine(gather.context_of(snakemake, snakemake.input.crf), snakemake.output[0])

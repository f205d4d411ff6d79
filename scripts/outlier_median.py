"""Entry of rule outlier_median."""

from jwstsm.job import logged

with logged(snakemake):
    from jwstsm import gather

    gather.make_median(gather.context_of(snakemake, snakemake.input.cal), snakemake.output[0])

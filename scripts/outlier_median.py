"""Entry of rule outlier_median."""

from jwstsm.job import logged

with logged(snakemake):
    from jwstsm import gather
    from jwstsm.staging import copies

    gather.make_median(gather.context_of(snakemake, copies(snakemake.input.cal)), snakemake.output[0])

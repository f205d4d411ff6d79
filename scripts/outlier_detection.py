"""Entry of rule outlier_detection."""

from jwstsm.job import logged

with logged(snakemake):
    from jwstsm import gather

    context = gather.context_of(snakemake, [snakemake.input.cal])
    gather.clean_exposure(context, snakemake.input.cal, snakemake.input.median, snakemake.output[0])

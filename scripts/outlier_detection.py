"""Entry of rule outlier_detection."""

from jwstsm.job import logged

with logged(snakemake):
    from jwstsm import gather
    from jwstsm.staging import copies

    cal, median = copies([snakemake.input.cal, snakemake.input.median])
    gather.clean_exposure(gather.context_of(snakemake, [cal]), cal, median, snakemake.output[0])

"""Entry of rule resample."""

from jwstsm.job import logged

with logged(snakemake):
    from jwstsm import gather
    from jwstsm.staging import copies

    gather.combine(gather.context_of(snakemake, copies(snakemake.input.crf)), snakemake.output[0])

"""Entry of rule wfs_combine."""

from jwstsm.job import logged

with logged(snakemake):
    from jwstsm import gather, wavefront

    context = gather.context_of(snakemake, snakemake.input.cal, wavefront.PIPELINE)
    wavefront.combine_files(context, snakemake.output[0])

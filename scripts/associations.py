"""Entry of checkpoint associations."""

from jwstsm.job import logged

with logged(snakemake):
    from jwstsm.associations.program import associate_program

    associate_program(
        snakemake.input.uncal,
        dict(snakemake.params.edits),
        pool=snakemake.output.pool,
        index=snakemake.output.index,
    )

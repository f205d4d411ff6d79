"""Entry of rule references."""

from jwstsm.job import logged

with logged(snakemake):
    from jwstsm.references.lock import lock_program

    lock_program(
        snakemake.input.uncal,
        dict(snakemake.params.crds),
        dict(snakemake.params.types),
        snakemake.output.lock,
    )

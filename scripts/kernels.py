"""Entry of rule kernels."""

from jwstsm.job import logged

with logged(snakemake):
    from jwstsm.warmup import compile_kernels

    compile_kernels()

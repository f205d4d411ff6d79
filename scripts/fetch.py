"""Entry of rule fetch."""

from jwstsm.job import logged

with logged(snakemake):
    from jwstsm.archive.cli import fetch_program

    fetch_program(dict(snakemake.params.archive))

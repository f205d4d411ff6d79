"""Entry of rule report."""

from jwstsm.job import logged

with logged(snakemake):
    from jwstsm.config import default_values
    from jwstsm.report.page import write_page

    write_page(
        snakemake.output.page,
        products=snakemake.output.products,
        exposures=snakemake.input.exposures,
        mosaics=snakemake.input.mosaics,
        lock=snakemake.input.lock,
        preset=snakemake.params.preset,
        committed=snakemake.params.lock,
        defaults=default_values(),
        problems=snakemake.params.problems,
    )

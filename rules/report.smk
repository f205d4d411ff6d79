rule describe_mosaic:
    """Picture, numbers, source counts and alignment of one mosaic for the report."""
    input:
        i2d="stage3/{product}_i2d.fits",
        catalog="stage3/{product}_cat.ecsv",
        alignment="stage3/{product}_tweakreg.json",
    output:
        "report/data/{product}_i2d.json",
    log:
        "logs/describe_mosaic/{product}.log",
    benchmark:
        "benchmarks/describe_mosaic/{product}.tsv"
    resources:
        mem_mb=2000,
        runtime=5,
    script:
        "../scripts/describe_mosaic.py"


rule report:
    """The page to look at, when everything that the stages ask for is there.

    The only job that waits for the checkpoints: the graph is planned once when they are done.
    """
    input:
        products=lambda wildcards: targets(program, plan, checkpoints.references.get),
        exposures=lambda wildcards: described_exposures(program, plan),
        mosaics=lambda wildcards: described_mosaics(program, plan),
        lock="references/lock.json",
    output:
        page=report(
            "report/index.html",
            category="Program",
            caption="../docs/report.rst",
        ),
        products=directory("report/products"),
    log:
        "logs/report.log",
    benchmark:
        "benchmarks/report.tsv"
    params:
        version=program.version,
        preset=program.config["preset"],
        lock=program.config["crds"]["lock"],
        problems=program.notes(),
    script:
        "../scripts/report.py"

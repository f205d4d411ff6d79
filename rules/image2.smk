rule image2:
    """Calibrate the rate image of one exposure: WCS, flat, flux (rate -> cal) and its quick-look mosaic (i2d)."""
    input:
        rate="stage1/{exposure}_rate.fits",
        background=lambda wildcards: plan().background_files(wildcards.exposure),
        references=lambda wildcards: locked(wildcards.exposure, "image2"),
        files=program.files("image2"),
    output:
        cal="stage2/{exposure}_cal.fits",
        i2d="stage2/{exposure}_i2d.fits",
        description="report/data/{exposure}_cal.json",
        record="logs/image2/{exposure}.json",
    log:
        "logs/image2/{exposure}.log",
    benchmark:
        "benchmarks/image2/{exposure}.tsv"
    wildcard_constraints:
        exposure=program.image2_pattern("both"),
    threads: 2
    resources:
        mem_mb=lambda wildcards, attempt: program.memory_mb(
            wildcards.exposure, "image2", attempt
        ),
        runtime=lambda wildcards, attempt: program.runtime_min(
            wildcards.exposure, attempt
        ),
    params:
        version=program.version,
        preset=program.config["preset"],
        options=lambda wildcards: program.options("image2", wildcards.exposure),
    script:
        "../scripts/image2.py"


use rule image2 as image2_unresampled with:
    output:
        cal="stage2/{exposure}_cal.fits",
        description="report/data/{exposure}_cal.json",
        record="logs/image2/{exposure}.json",
    wildcard_constraints:
        exposure=program.image2_pattern("cal"),


use rule image2 as image2_integrations with:
    input:
        rate="stage1/{exposure}_rateints.fits",
        background=lambda wildcards: plan().background_files(wildcards.exposure),
        references=lambda wildcards: locked(wildcards.exposure, "image2"),
        files=program.files("image2"),
    output:
        calints="stage2/{exposure}_calints.fits",
        record="logs/image2/{exposure}.json",
    wildcard_constraints:
        exposure=program.image2_pattern("calints"),

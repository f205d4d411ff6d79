rule detector1:
    """Correct the ramps of one exposure and fit their slopes (uncal -> rate, rateints)."""
    input:
        uncal=lambda wildcards: program.uncal(wildcards.exposure),
        references=lambda wildcards: locked(wildcards.exposure, "detector1"),
        files=program.files("detector1"),
    output:
        rate="stage1/{exposure}_rate.fits",
        rateints="stage1/{exposure}_rateints.fits",
        description="report/data/{exposure}_rate.json",
        record="logs/detector1/{exposure}.json",
    log:
        "logs/detector1/{exposure}.log",
    benchmark:
        "benchmarks/detector1/{exposure}.tsv"
    wildcard_constraints:
        exposure=program.pattern(
            [n for n in program.exposures if n not in program.handed_on]
        ),
    threads: 2
    resources:
        mem_mb=lambda wildcards, attempt: program.memory_mb(
            wildcards.exposure, "detector1", attempt
        ),
        runtime=lambda wildcards, attempt: program.runtime_min(
            wildcards.exposure, attempt
        ),
    params:
        version=program.version,
        preset=program.config["preset"],
        options=lambda wildcards: program.options("detector1", wildcards.exposure),
    script:
        "../scripts/detector1.py"


use rule detector1 as detector1_in_turn with:
    # the exposures of a detector one after the other: each hands on the persistence that it leaves
    input:
        uncal=lambda wildcards: program.uncal(wildcards.exposure),
        references=lambda wildcards: locked(wildcards.exposure, "detector1"),
        files=program.files("detector1"),
        windows=lambda wildcards: program.windows_before(wildcards.exposure),
    output:
        rate="stage1/{exposure}_rate.fits",
        rateints="stage1/{exposure}_rateints.fits",
        windows="stage1/{exposure}_persistence.asdf",
        description="report/data/{exposure}_rate.json",
        record="logs/detector1/{exposure}.json",
    wildcard_constraints:
        exposure=program.pattern(program.handed_on),

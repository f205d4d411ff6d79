rule guider:
    """Calibrate guide-star data of the fine guidance sensor (uncal -> cal)."""
    input:
        uncal=lambda wildcards: program.uncal(wildcards.exposure),
        references=lambda wildcards: locked(wildcards.exposure, "guider"),
        files=program.files("guider"),
    output:
        cal="stage1/{exposure}_cal.fits",
        record="logs/guider/{exposure}.json",
    log:
        "logs/guider/{exposure}.log",
    benchmark:
        "benchmarks/guider/{exposure}.tsv"
    wildcard_constraints:
        exposure=program.pattern(program.named("guider")),
    threads: 2
    resources:
        mem_mb=lambda wildcards, attempt: program.memory_mb(
            wildcards.exposure, "guider", attempt
        ),
        runtime=lambda wildcards, attempt: program.runtime_min(
            wildcards.exposure, attempt
        ),
    params:
        version=program.version,
        preset=program.config["preset"],
        options=lambda wildcards: program.options("guider", wildcards.exposure),
    script:
        "../scripts/guider.py"


rule dark:
    """Correct the ramps of one dark exposure, without fitting them (uncal -> dark)."""
    input:
        uncal=lambda wildcards: program.uncal(wildcards.exposure),
        references=lambda wildcards: locked(wildcards.exposure, "dark"),
        files=program.files("dark"),
    output:
        dark="stage1/{exposure}_dark.fits",
        record="logs/dark/{exposure}.json",
    log:
        "logs/dark/{exposure}.log",
    benchmark:
        "benchmarks/dark/{exposure}.tsv"
    wildcard_constraints:
        exposure=program.pattern(program.named("dark")),
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
        options=lambda wildcards: program.options("dark", wildcards.exposure),
    script:
        "../scripts/dark.py"

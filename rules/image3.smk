rule tweakreg:
    """Align the exposures of an association; the corrections go to a sidecar."""
    input:
        cal=lambda wildcards: plan().cal_files(wildcards.product),
        references=lambda wildcards: plan().first_lock(wildcards.product),
        files=program.mosaic_files(plan, "tweakreg"),
    output:
        "stage3/{product}_tweakreg.json",
    log:
        "logs/tweakreg/{product}.log",
    benchmark:
        "benchmarks/tweakreg/{product}.tsv"
    threads: 2
    resources:
        mem_mb=lambda wildcards, attempt: plan().memory_mb(wildcards.product, attempt),
        runtime=lambda wildcards, attempt: plan().runtime_min(
            wildcards.product, attempt
        ),
    params:
        version=program.version,
        preset=program.config["preset"],
        options=lambda wildcards: plan().options(
            wildcards.product, ["assign_mtwcs", "tweakreg"]
        ),
        association=lambda wildcards: plan().association(wildcards.product),
    script:
        "../scripts/tweakreg.py"


rule skymatch:
    """Match the sky levels of the exposures of an association; the levels go to a sidecar."""
    input:
        cal=lambda wildcards: plan().cal_files(wildcards.product),
        references=lambda wildcards: plan().first_lock(wildcards.product),
        files=program.mosaic_files(plan, "skymatch"),
        alignment="stage3/{product}_tweakreg.json",
    output:
        "stage3/{product}_skymatch.json",
    log:
        "logs/skymatch/{product}.log",
    benchmark:
        "benchmarks/skymatch/{product}.tsv"
    threads: 2
    resources:
        mem_mb=lambda wildcards, attempt: plan().memory_mb(wildcards.product, attempt),
        runtime=lambda wildcards, attempt: plan().runtime_min(
            wildcards.product, attempt
        ),
    params:
        version=program.version,
        preset=program.config["preset"],
        options=lambda wildcards: plan().options(wildcards.product, ["skymatch"]),
        association=lambda wildcards: plan().association(wildcards.product),
    script:
        "../scripts/skymatch.py"


rule outlier_median:
    """Combine the exposures of an association to the median that outliers are looked for with."""
    input:
        cal=lambda wildcards: plan().cal_files(wildcards.product),
        references=lambda wildcards: plan().first_lock(wildcards.product),
        alignment="stage3/{product}_tweakreg.json",
        sky="stage3/{product}_skymatch.json",
    output:
        temp("stage3/{product}_median.fits"),
    log:
        "logs/outlier_median/{product}.log",
    benchmark:
        "benchmarks/outlier_median/{product}.tsv"
    threads: 2
    resources:
        mem_mb=lambda wildcards, attempt: plan().memory_mb(wildcards.product, attempt),
        runtime=lambda wildcards, attempt: plan().runtime_min(
            wildcards.product, attempt
        ),
    params:
        version=program.version,
        preset=program.config["preset"],
        options=lambda wildcards: plan().options(
            wildcards.product, ["outlier_detection"]
        ),
        association=lambda wildcards: plan().association(wildcards.product),
    script:
        "../scripts/outlier_median.py"


rule outlier_detection:
    """Flag in one exposure what the others do not show; the cleaned exposure (crf) has corrected WCS and sky level."""
    input:
        unpack(lambda wildcards: plan().common(wildcards.exposure, wildcards.acid)),
        cal="stage2/{exposure}_cal.fits",
        references=lambda wildcards: locked(wildcards.exposure, "image3"),
    output:
        "stage3/{exposure}_{acid}_crf.fits",
    log:
        "logs/outlier_detection/{exposure}_{acid}.log",
    benchmark:
        "benchmarks/outlier_detection/{exposure}_{acid}.tsv"
    resources:
        mem_mb=lambda wildcards, attempt: program.memory_mb(
            wildcards.exposure, "outlier_detection", attempt
        ),
        runtime=lambda wildcards, attempt: program.runtime_min(
            wildcards.exposure, attempt
        ),
    params:
        version=program.version,
        preset=program.config["preset"],
        options=lambda wildcards: plan().options(
            plan().product_of(wildcards.exposure, wildcards.acid),
            ["assign_mtwcs", "tweakreg", "outlier_detection"],
        ),
        association=lambda wildcards: plan().association(
            plan().product_of(wildcards.exposure, wildcards.acid)
        ),
    script:
        "../scripts/outlier_detection.py"


rule resample:
    """Drizzle the cleaned exposures of an association to the mosaic (i2d)."""
    input:
        crf=lambda wildcards: plan().crf_files(wildcards.product),
        references=lambda wildcards: plan().first_lock(wildcards.product),
        files=program.mosaic_files(plan, "resample"),
    output:
        "stage3/{product}_i2d.fits",
    log:
        "logs/resample/{product}.log",
    benchmark:
        "benchmarks/resample/{product}.tsv"
    threads: 2
    resources:
        mem_mb=lambda wildcards, attempt: plan().memory_mb(wildcards.product, attempt),
        runtime=lambda wildcards, attempt: plan().runtime_min(
            wildcards.product, attempt
        ),
    params:
        version=program.version,
        preset=program.config["preset"],
        options=lambda wildcards: plan().options(wildcards.product, ["resample"]),
        association=lambda wildcards: plan().association(wildcards.product),
    script:
        "../scripts/resample.py"


rule source_catalog:
    """Find and measure the sources of a mosaic (cat, segm)."""
    input:
        i2d="stage3/{product}_i2d.fits",
        references=lambda wildcards: plan().first_lock(wildcards.product),
    output:
        catalog="stage3/{product}_cat.ecsv",
        segments="stage3/{product}_segm.fits",
    log:
        "logs/source_catalog/{product}.log",
    benchmark:
        "benchmarks/source_catalog/{product}.tsv"
    resources:
        mem_mb=lambda wildcards, attempt: plan().memory_mb(wildcards.product, attempt),
        runtime=lambda wildcards, attempt: plan().runtime_min(
            wildcards.product, attempt
        ),
    params:
        version=program.version,
        preset=program.config["preset"],
        options=lambda wildcards: plan().options(wildcards.product, ["source_catalog"]),
        association=lambda wildcards: plan().association(wildcards.product),
    script:
        "../scripts/source_catalog.py"

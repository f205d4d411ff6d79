rule wfs_combine:
    """Combine the two images of a wavefront-sensing pair (wfscmb)."""
    input:
        cal=lambda wildcards: plan().pair_files(wildcards.pair),
        references=lambda wildcards: plan().pair_lock(wildcards.pair),
    output:
        "stage3/{pair}.fits",
    log:
        "logs/wfs_combine/{pair}.log",
    benchmark:
        "benchmarks/wfs_combine/{pair}.tsv"
    wildcard_constraints:
        pair="jw[^/]*_wfscmb[^/]*",
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=20,
    params:
        version=program.version,
        preset=program.config["preset"],
        options=lambda wildcards: plan().pair_options(wildcards.pair),
        association=lambda wildcards: plan().pair_association(wildcards.pair),
    script:
        "../scripts/wfs_combine.py"

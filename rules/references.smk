rule references:
    """Select the reference files of every exposure under the pinned CRDS context.

    The one rule that may use the network (to fill the CRDS cache). Writes for each exposure which file serves it, with
    checksums, and the lock of the whole program. All problems are reported together, before any computing starts.
    """
    input:
        uncal=program.uncal_files(),
        committed=program.committed_lock(),
    output:
        lock="references/lock.json",
        exposures=expand("references/{exposure}.json", exposure=program.exposures),
    log:
        "logs/references.log",
    benchmark:
        "benchmarks/references.tsv"
    conda:
        "../envs/jwstsm.yaml"
    params:
        crds=program.config["crds"],
        types=program.all_reference_types(),
    script:
        "../scripts/references.py"

checkpoint references:
    """Select the reference files of every exposure under the pinned CRDS context.

    The one rule that may use the network (to fill the CRDS cache). Writes references/<exposure>_<pipeline>.json, which
    file serves a pipeline on the exposure, with checksums, and the lock of the whole program. All problems are reported
    together, before any computing starts. A checkpoint, because only then is it known whose references have changed:
    the file of an exposure is written again only if its content changes, and only such pipelines run again.
    """
    input:
        uncal=program.uncal_files(),
        committed=program.committed_lock(),
    output:
        lock="references/lock.json",
    log:
        "logs/references.log",
    benchmark:
        "benchmarks/references.tsv"
    params:
        version=program.version,
        crds=program.config["crds"],
        types=program.all_reference_types(),
    script:
        "../scripts/references.py"


@cache
def locked(exposure, pipeline):
    """Return the references of a pipeline on an exposure; asks for the selection first."""
    checkpoints.references.get()
    return program.lock_of(exposure, pipeline)

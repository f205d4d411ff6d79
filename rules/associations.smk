checkpoint associations:
    """Group the exposures by the headers of their uncal files (pool -> Level 2 and Level 3 associations).

    Reads headers only, so that the whole graph is known before any computing starts.
    """
    input:
        uncal=program.uncal_files(),
    output:
        pool="asn/pool.csv",
        index="asn/index.json",
    log:
        "logs/associations.log",
    benchmark:
        "benchmarks/associations.tsv"
    params:
        version=program.version,
        edits=program.config["asn"],
    script:
        "../scripts/associations.py"


@cache
def plan():
    """Return the plan of stages 2 and 3; asks for the associations and the references first."""
    index = checkpoints.associations.get().output.index
    checkpoints.references.get()
    return program.planned(index)

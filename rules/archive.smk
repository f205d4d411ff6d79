rule fetch:
    """Download the uncal files that the section archive of config.yaml asks for (MAST); run by its name only.

    What is there is not fetched again, an interrupted download is continued.
    """
    output:
        touch(".jwstsm/fetched.ok"),
    log:
        "logs/fetch.log",
    benchmark:
        "benchmarks/fetch.tsv"
    params:
        archive=program.config["archive"],
    script:
        "../scripts/fetch.py"

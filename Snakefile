"""jwstsm: JWST exposures from uncal to science products.

The contents page: configuration, rules in the order data flow, one target per stage.
"""

from functools import cache

from snakemake.utils import min_version

min_version("9.0")

from jwstsm.outcome import say_outcome
from jwstsm.running import begin_run, tell_jobs
from jwstsm.workflow import (
    described_exposures,
    described_mosaics,
    open_program,
    plan_swiftly,
    remove_leftovers,
    targets,
)


configfile: "config.yaml"


# used with --software-deployment-method apptainer alone: an image made by the recipe in envs, beside config.yaml
container: "jwstsm.sif"


program = open_program(config)
if workflow.is_main_process:
    begin_run(program)


wildcard_constraints:
    exposure=r"jw[^/]+?",
    product=r"jw[^/]+?",
    acid=r"[a-z]\d{3,4}",


localrules:
    all,
    stage1,
    stage2,
    stage3,
    fetch,
    references,
    associations,


rule all:
    """Everything that the stages in config.yaml ask for, and the report."""
    input:
        "report/index.html",


include: "rules/archive.smk"
include: "rules/references.smk"
include: "rules/detector1.smk"
include: "rules/guider.smk"
include: "rules/associations.smk"
include: "rules/image2.smk"
include: "rules/image3.smk"
include: "rules/wavefront.smk"
include: "rules/report.smk"


rule stage1:
    """Count-rate images of all exposures."""
    input:
        program.stage1_products(),


rule stage2:
    """Calibrated exposures."""
    input:
        lambda wildcards: plan().image2_products(),


rule stage3:
    """Mosaics and catalogs."""
    input:
        lambda wildcards: plan().image3_products(),


plan_swiftly(workflow.rules)


onstart:
    tell_jobs(keep_going=workflow.execution_settings.keep_going)


onsuccess:
    remove_leftovers(program)
    say_outcome(log, True, program)


onerror:
    say_outcome(log, False, program)

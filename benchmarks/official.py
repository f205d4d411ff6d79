"""Run one official pipeline on one file; started with the interpreter of the official package's environment.

Usage: python official.py PIPELINE FILE OUTPUT_DIR [JSON of {step: {parameter: value}}]. The CRDS settings are in the
environment. The parameters of the CRDS ``pars-*`` files apply, as in operations.
"""

import json
import sys

sys.path.pop(0)  # what lies beside this script must not stand in for a package of that environment

from jwst import pipeline as pipelines

CLASSES = {
    "detector1": "Detector1Pipeline",
    "dark": "DarkPipeline",
    "guider": "GuiderPipeline",
    "image2": "Image2Pipeline",
    "image3": "Image3Pipeline",
}

name, file, folder = sys.argv[1:4]
steps = json.loads(sys.argv[4]) if len(sys.argv) > 4 else {}
if name == "wfs-image3":  # a step that stands for a pipeline; ramp_fit alone below
    from jwst.wfs_combine import WfsCombineStep

    for made in WfsCombineStep.call(file, **steps.get("wfs_combine", {})):
        made.save(f"{folder}/{made.meta.filename}")
elif name == "ramp_fit":
    from jwst.ramp_fitting import RampFitStep

    for made in RampFitStep.call(file, **steps.get("ramp_fit", {})):
        made.save(f"{folder}/{made.meta.filename}")
else:
    getattr(pipelines, CLASSES[name]).call(file, output_dir=folder, save_results=True, steps=steps)

"""Run one official pipeline on one file; started with the interpreter of the official package's environment.

Usage: python official.py PIPELINE FILE OUTPUT_DIR [JSON of {step: {parameter: value}}]. The CRDS settings are in the
environment. The parameters of the CRDS ``pars-*`` files apply, as in operations.
"""

import json
import sys

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
getattr(pipelines, CLASSES[name]).call(file, output_dir=folder, save_results=True, steps=steps)

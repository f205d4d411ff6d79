"""Mask the SOSS traces by the official function; run by the judge.

Usage: official_soss.py TREE(JSON) CASES(JSON list of [PWCPOS, subarray, ny]) OUT.npz: masks, False near a trace.
"""

import json
import sys
from types import SimpleNamespace

import numpy as np
from jwst.clean_flicker_noise.clean_flicker_noise import mask_soss_traces


def space(tree):
    """Attributes for keys, arrays for lists of numbers."""
    if isinstance(tree, dict):
        return SimpleNamespace(**{key: space(value) for key, value in tree.items()})
    if isinstance(tree, list) and tree and isinstance(tree[0], dict):
        return [space(entry) for entry in tree]
    return np.array(tree, float) if isinstance(tree, list) else tree


reference = space(json.loads(sys.argv[1]))
masks = {}
for k, (angle, subarray, ny) in enumerate(json.loads(sys.argv[2])):
    words = {"instrument": SimpleNamespace(pupil_position=angle), "subarray": SimpleNamespace(name=subarray)}
    model = SimpleNamespace(meta=SimpleNamespace(**words), data=np.zeros((ny, 2048), np.float32))
    masks[str(k)] = mask_soss_traces(model, np.ones((ny, 2048), bool), soss_refmodel=reference)
np.savez(sys.argv[3], **masks)

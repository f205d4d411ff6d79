"""Run a function of a test module with the compiler switched off, in a process of its own."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SCRIPT = """
import importlib, pickle, sys, warnings
warnings.simplefilter("ignore")  # plain Python warns of divisions that compiled code does without a word
module, name, path = sys.argv[1:]
with open(path, "rb") as file:
    arguments = pickle.load(file)
with open(path, "wb") as file:
    pickle.dump(getattr(importlib.import_module(module), name)(*arguments), file)
"""


def plain_python(function, *arguments, folder: Path):
    """Return ``function(*arguments)`` as plain Python computes it; the function must be at the top of its module."""
    path = folder / f"{function.__name__}.pickle"
    path.write_bytes(pickle.dumps(arguments))
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    subprocess.run(
        [sys.executable, "-c", SCRIPT, function.__module__, function.__name__, str(path)],
        check=True, cwd=ROOT, env=environment,
    )  # fmt: skip
    return pickle.loads(path.read_bytes())

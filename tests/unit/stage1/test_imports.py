"""What every job of stage 1 loads."""

from __future__ import annotations

import subprocess
import sys

_LOAD = """
import sys
from jwstsm import tables
from jwstsm.step import load_step
for name in tables.sequence("detector1", {"INSTRUME": sys.argv[1]}):
    load_step(tables.stage_of("detector1", name), name)
print(*(name for name in sys.modules if name.startswith("scipy.") and not name.startswith("scipy._")))
"""


def test_no_part_of_scipy_is_loaded_before_a_step_needs_it():
    """A short job is mostly imports: half a second of them would be for steps that are off by default."""
    for instrument in ("NIRCAM", "MIRI"):
        done = subprocess.run([sys.executable, "-c", _LOAD, instrument], capture_output=True, text=True, check=True)
        assert set(done.stdout.split()) <= {"scipy.version", "scipy.__config__"}

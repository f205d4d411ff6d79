"""Kernels come from the disk without the compiler."""

from __future__ import annotations

import os
import subprocess
import sys

_RUN = """
import sys
import numpy as np
from jwstsm.stage1.superbias import subtract_bias_inplace
subtract_bias_inplace(np.ones((1, 8, 8), np.float32), np.ones((8, 8), np.float32), False)
print("numba.np.random.legacy" in sys.modules)
"""


def test_a_kernel_on_disk_is_loaded_without_the_tables_of_the_compiler(tmp_path):
    """The first process compiles; the next one loads the kernel, and the compiler's tables are not filled for it."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "NUMBA_DISABLE_JIT": "0", "JWSTSM_NUMBA_CACHE": "1"}
    said = [
        subprocess.run([sys.executable, "-c", _RUN], capture_output=True, text=True, check=True, env=environment).stdout
        for _ in range(2)
    ]
    assert said == ["True\n", "False\n"]

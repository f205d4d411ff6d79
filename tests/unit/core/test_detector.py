"""Detector orientation: every readout direction is turned so that columns run along the fast axis."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from jwstsm.core.detector import DetectorWindow, full_detector, reference_borders

# the eight ways a detector can be read
DIRECTIONS = [(f, s) for f in (-1, 1) for s in (-2, 2)] + [(f, s) for f in (-2, 2) for s in (-1, 1)]


@pytest.mark.parametrize(("fast", "slow"), DIRECTIONS)
def test_the_view_starts_where_the_readout_starts(fast, slow):
    y, x = np.mgrid[0:5, 0:7]
    image = 100 * y + x
    readout = SimpleNamespace(fastaxis=fast, slowaxis=slow, xstart=11, ystart=21, nx=7, ny=5)
    window = DetectorWindow.of(readout, size=50)
    view = window.view(image)
    step = {1: 1, 2: 100}
    # one step along a detector row follows the fast axis, one along a column the slow axis
    assert view[0, 1] - view[0, 0] == np.sign(fast) * step[abs(fast)]
    assert view[1, 0] - view[0, 0] == np.sign(slow) * step[abs(slow)]
    start = {1: 10, -1: 50 - 10 - 7, 2: 20, -2: 50 - 20 - 5}
    assert (window.row0, window.col0) == (start[slow], start[fast])
    assert np.shares_memory(view, image)


@pytest.mark.parametrize(("fast", "slow"), DIRECTIONS)
def test_values_along_columns_and_rows_return_to_the_order_of_the_file(fast, slow):
    y, x = np.mgrid[0:5, 0:7]
    window = DetectorWindow(fast, slow, 0, 0)
    columns, rows = window.view(x + 10 * y)[0], window.view(x + 10 * y)[:, 0]
    along = {1: x[0], 2: 10 * y[:, 0]}
    np.testing.assert_array_equal(np.diff(window.file_columns(columns)), np.diff(along[abs(fast)]))
    np.testing.assert_array_equal(np.diff(window.file_rows(rows)), np.diff(along[abs(slow)]))


def test_reference_borders_of_whole_frames_edges_and_insides():
    near = full_detector("NIRCAM")
    assert reference_borders(near, 1, 1, 2048, 2048) == (4, 4, 4, 4)
    assert reference_borders(near, 3, 1985, 100, 64) == (0, 4, 2, 0)
    assert reference_borders(near, 500, 500, 64, 64) == (0, 0, 0, 0)
    assert reference_borders(full_detector("MIRI"), 1, 1, 1032, 1024) == (0, 0, 4, 4)

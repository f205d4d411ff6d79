"""The order of the rows in a pool has no influence."""

from __future__ import annotations

import random

import pytest

from jwstsm.associations import Pool, generate, read_pool
from tests.unit.associations.archive import NAMES, pool_path
from tests.unit.associations.rows import pool, row


def shuffled(source: Pool, seed: int) -> Pool:
    rows = list(source.rows)
    random.Random(seed).shuffle(rows)
    return Pool(rows, source.columns, source.name)


def contents(source: Pool) -> list[tuple[str, dict]]:
    return [(association.filename, association.to_dict()) for association in generate(source)]


@pytest.mark.parametrize("name", NAMES)
def test_shuffled_archive_pools_give_the_same_files(name):
    source = read_pool(pool_path(name))
    expected = contents(source)
    for seed in range(3):
        assert contents(shuffled(source, seed)) == expected


def test_shuffled_mixture_of_modes_gives_the_same_files():
    background = [("c1000", "background")]
    rows = [
        row(mode, 10 * m + number, obs_num=obs, patt_num=number, candidates=background, **flags)
        for m, mode in enumerate(("nircam", "mrs", "slit", "ifu", "wfss", "niriss", "lrs", "msa"))
        for obs, flags in (("1", {}), ("2", {"bkgdtarg": "t", "targetid": "2"}), ("3", {"is_imprt": "t"}))
        for number in (1, 2, 3)
    ]
    expected = contents(pool(*rows))
    assert len(expected) > 50
    for seed in range(20):
        assert contents(shuffled(pool(*rows), seed)) == expected


def test_an_unsorted_pool_is_numbered_in_its_own_order_on_request():
    rows = [row("nircam", number) for number in (3, 1, 2)]
    kept = Pool(rows, ["filename"], keep_order=True)
    level2 = sorted((a for a in generate(kept) if a.level == 2), key=lambda a: a.sequence)
    # numbers run from the last row to the first
    assert [a.products[0].name[20:25] for a in level2] == ["00002", "00001", "00003"]

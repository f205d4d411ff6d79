"""The archive's test pools give the associations of the official generator, numbers included."""

from __future__ import annotations

import json

import pytest

from jwstsm.associations import generate, read_pool, write
from tests.unit.associations.archive import NAMES, POOLS, pool_path


def summary(content: dict) -> dict:
    """Return what must agree: all but the free texts and versions."""
    kept = ("asn_type", "asn_rule", "asn_id", "program", "target", "degraded_status", "products")
    return {name: content[name] for name in kept}


@pytest.mark.parametrize("name", NAMES)
def test_a_pool_gives_the_expected_files_with_types_rules_products_and_members(name, tmp_path):
    pool = read_pool(pool_path(name))
    expected = json.loads((POOLS / "expected" / f"{name}.json").read_text())
    files = write(generate(pool), tmp_path)
    made = {path.name: summary(json.loads(path.read_text())) for path in files}
    assert sorted(made) == sorted(expected)
    for file, content in expected.items():
        assert made[file] == summary(content), file


def test_every_pool_that_is_here_is_tested():
    if not POOLS.exists():
        pytest.skip(f"no test pools in {POOLS}")
    assert sorted(path.stem for path in POOLS.glob("*.csv")) == sorted(NAMES)

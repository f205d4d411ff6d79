"""The same pools through the official generator: other options, random mixtures, unsorted rows, and its reader."""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path

import pytest

from jwstsm.associations import Association, Pool, generate, read_pool, write, write_pool
from tests.parity.judge import JUDGE, needs_judge
from tests.unit.associations.archive import NAMES, POOLS, pool_path
from tests.unit.associations.rows import MODES, pool, row

pytestmark = [pytest.mark.parity, needs_judge]

LARGE = {"pool_004_wfs", "pool_013_coron_nircam", "pool_018_all_exptypes"}  # minutes in the official generator
SMALL = [name for name in NAMES if name not in LARGE]
OPTIONS = {
    "discover": (["--discover"], {"discover": True}),
    "all-candidates": (["--all-candidates"], {"all_candidates": True}),
    "merge": (["--merge"], {"merge": True}),
}


def official(jobs: list[dict]) -> list[dict]:
    """Return what the official generator makes of each job (``pool`` and ``args``)."""
    script = Path(__file__).with_name("official_associations.py")
    done = subprocess.run(
        [str(JUDGE), "-W", "ignore", str(script)], input=json.dumps(jobs), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def theirs(answer: dict) -> list[tuple]:
    """Return (file, type, rule, products) of an official answer, members sorted."""
    assert "error" not in answer, answer
    return sorted(
        (file, kind, rule, [(name, sorted(map(tuple, members))) for name, members in products])
        for file, kind, rule, products in answer["associations"]
    )


def ours(associations: list[Association]) -> list[tuple]:
    """Return the same of ours."""
    return sorted(
        (a.filename, a.type, a.rule, [(p.name, sorted((m.expname, m.exptype) for m in p.members)) for p in a.products])
        for a in associations
    )


def without_numbers(found: list[tuple]) -> list[tuple]:
    return sorted(entry[1:] for entry in found)


@pytest.fixture(scope="module")
def answers() -> dict[tuple[str, str], dict]:
    """Return the official answers for the small pools with every option, made in one process."""
    if not POOLS.exists():
        pytest.skip(f"no test pools in {POOLS}")
    keys = [(name, option) for name in SMALL for option in (*OPTIONS, "ids")]
    jobs = []
    for name, option in keys:
        args = OPTIONS[option][0] if option in OPTIONS else ["-i", *some_ids(name)]
        jobs.append({"pool": str(pool_path(name)), "args": args})
    return dict(zip(keys, official(jobs), strict=True))


def some_ids(name: str) -> list[str]:
    """Return the first and the last candidate of a pool."""
    ids = sorted({identifier for identifier, _ in read_pool(pool_path(name)).candidates()})
    return [ids[0], ids[-1]]


@pytest.mark.parametrize("option", [*OPTIONS, "ids"])
@pytest.mark.parametrize("name", SMALL)
def test_options_give_the_official_associations_and_numbers(answers, name, option):
    choice = OPTIONS[option][1] if option in OPTIONS else {"ids": dict.fromkeys(some_ids(name))}
    assert ours(generate(read_pool(pool_path(name)), **choice)) == theirs(answers[name, option])


def mixture(seed: int) -> Pool:
    """Return a small random program of one or two modes with all flags and candidate types."""
    rng = random.Random(seed)
    modes = rng.sample(sorted(MODES), 2) if seed % 3 else [rng.choice(sorted(MODES))]
    groups = [("c1000", rng.choice(["background", "group", "mosaic", "direct_image"]))]
    groups += [("c1001", rng.choice(["background", "coron"]))]
    rows = []
    for number in range(rng.randint(4, 9)):
        values = {
            "obs_num": rng.choice("12"),
            "bkgdtarg": rng.choice("fffft"),
            "targetid": rng.choice("1112"),
            "mostilno": rng.choice("112"),
            "dithptin": rng.choice("123"),
            "patt_num": rng.choice("1235"),
            "expspcin": rng.choice("112"),
            "patttype": rng.choice(["null", "none", "2-point-nod", "4-point-nod", "along-slit-nod"]),
            "exposerr": rng.choice(["null"] * 5 + ["bad"]),
            "candidates": [group for group in groups if rng.random() < 0.6],
        }
        mode = rng.choice(modes)
        flag = "is_imprt" if MODES[mode]["instrume"] == "nirspec" else "is_psf"  # no exposure can be both
        values[flag] = rng.choice("ffft")
        if rng.random() < 0.1:
            values["exp_type"] = {"nircam": "nrc_tacq", "nirspec": "nrs_taconfirm", "miri": "mir_taconfirm"}.get(
                MODES[mode]["instrume"], "nis_tacq"
            )
        rows.append(row(mode, number, **values))
    return pool(*rows)


def test_random_mixtures_give_the_official_associations(tmp_path):
    pools = {seed: mixture(seed) for seed in range(60)}
    jobs = [{"pool": str(write_pool(p, tmp_path / f"p{seed}.csv")), "args": []} for seed, p in pools.items()]
    made = 0
    for seed, answer in zip(pools, official(jobs), strict=True):
        expected = without_numbers(theirs(answer))
        assert without_numbers(ours(generate(pools[seed]))) == expected, f"mixture {seed}"
        made += len(expected)
    assert made > 400


def test_an_unsorted_pool_in_its_own_order_gets_the_official_numbers(tmp_path):
    rows = [row(mode, 10 * m + n, obs_num=m % 2 + 1) for m, mode in enumerate(("miri", "mrs", "slit")) for n in (3, 1, 2)]
    random.Random(1).shuffle(rows)
    source = Pool(rows, list(pool(*rows).columns), keep_order=True)
    path = write_pool(source, tmp_path / "unsorted.csv")
    (answer,) = official([{"pool": str(path), "args": []}])
    assert ours(generate(read_pool(path, keep_order=True))) == theirs(answer)


def test_the_official_reader_accepts_our_files(tmp_path):
    made = generate(pool(*(row(mode, n) for n, mode in enumerate(MODES))))
    files = write(made, tmp_path)
    assert len(files) > 15
    code = (
        "import sys\nfrom jwst.associations import load_asn\n"
        "for name in sys.argv[1:]:\n    assert load_asn(open(name))['products'][0]['members'], name\n"
    )
    done = subprocess.run([str(JUDGE), "-c", code, *map(str, files)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]

"""Association rows: grouping an 800-row pool of all modes, ours and the official generator; ours alone on 10,000 rows.

``python -m benchmarks.associations`` measures only these.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import ROOT, Measured, best_of, judge_python, measure

__all__ = ["make_pool", "ours_alone", "rows"]

SEED = Path(os.environ.get("JWSTSM_TEST_DATA", ROOT.parent / "shared" / "data")) / "pools" / "pool_018_all_exptypes.csv"
_OURS = "from jwstsm.associations import generate, read_pool, write; write(generate(read_pool('{pool}')), '{out}')"
_OFFICIAL = "from jwst.associations.main import Main; Main.cli(['{pool}', '-p', '{out}'])"
_COPIES_PER_PROGRAM = 11


def make_pool(path: Path, count: int, seed: Path | None = None) -> Path:
    """Write a pool of ``count`` rows: copies of the pool of all exposure types with new programs and observations.

    Without the seed file, a program of NIRCam mosaics, MIRI MRS and NIRSpec slit nods is repeated.
    """
    seed = seed or SEED
    if seed.exists():
        lines = [line for line in seed.read_text().splitlines() if line and not line.startswith("#")]
        header, *body = (line.split("|") for line in lines)
    else:
        header, body = _small_program()
    columns = {name: i for i, name in enumerate(header)}
    observations = max(int(row[columns["obs_num"]]) for row in body)
    rows = []
    while len(rows) < count:
        copy = len(rows) // len(body)
        program, shift = 10000 + copy // _COPIES_PER_PROGRAM, copy % _COPIES_PER_PROGRAM * observations
        for source in body:
            row = list(source)
            number = int(row[columns["obs_num"]]) + shift
            row[columns["program"]], row[columns["obs_num"]] = str(program), str(number)
            row[columns["filename"]] = f"jw{program}{number:03d}001_{source[columns['filename']][2:]}"
            row[columns["asn_candidate"]] = re.sub(
                r"'([a-z])(\d+)'",
                lambda match, shift=shift: f"'{match[1]}{int(match[2]) + shift:0{len(match[2])}d}'",
                row[columns["asn_candidate"]],
            )
            rows.append(row)
    path.write_text("\n".join("|".join(row) for row in [header, *rows[:count]]) + "\n")
    return path


def _small_program() -> tuple[list[str], list[list[str]]]:
    header = ["filename", "program", "obs_num", "visitype", "exp_type", "instrume", "detector", "channel", "targetid"]
    header += ["pntgtype", "expspcin", "mostilno", "filter", "pupil", "patttype", "numdthpt", "subpxpts", "patt_num"]
    header += ["subarray", "grating", "fxd_slit", "band", "bkgdtarg", "is_imprt", "is_psf", "tsovisit"]
    header += ["asn_candidate"]
    modes = [
        ("nrc_image", "nircam", ("nrca1", "nrcalong"), {"filter": "f200w", "pupil": "clear", "channel": "short"}),
        ("mir_mrs", "miri", ("mirifulong", "mirifushort"), {"band": "short", "channel": "12"}),
        ("nrs_fixedslit", "nirspec", ("nrs1",), {"filter": "f290lp", "grating": "g395m", "fxd_slit": "s200a1"}),
    ]
    rows = []
    for number, (kind, instrument, detectors, optics) in enumerate(modes, start=1):
        for dither in (1, 2, 3):
            for detector in detectors:
                row = dict.fromkeys(header, "null") | {
                    "filename": f"jw_{number:02d}{dither:03d}_{detector}_uncal.fits",
                    "program": "1",
                    "obs_num": str(number),
                    "visitype": "prime_targeted_fixed",
                    "exp_type": kind,
                    "instrume": instrument,
                    "detector": detector,
                    "targetid": "1",
                    "pntgtype": "science",
                    "expspcin": "1",
                    "mostilno": "1",
                    "patt_num": str(dither),
                    "numdthpt": "3",
                    "subpxpts": "1",
                    "subarray": "full",
                    "asn_candidate": f"[('o{number:03d}', 'observation'), ('c1000', 'group')]",
                }
                rows.append([(row | optics)[name] for name in header])
    return header, rows


def rows(folder: Path, runs: int = 3) -> list[tuple[str, Measured, Measured]]:
    """Return (what, ours, official) for an 800-row pool, whole processes from the pool file to the JSON files."""
    pool = make_pool(folder / "pool_800.csv", 800)
    official = folder / "official_asn"
    official.mkdir(exist_ok=True)
    theirs = measure([judge_python(), "-W", "ignore", "-c", _OFFICIAL.format(pool=pool, out=official)])
    return [("associations, 800 exposures of all modes", ours_alone(folder, 800, runs), theirs)]


def ours_alone(folder: Path, count: int = 10_000, runs: int = 1) -> Measured:
    """Measure ours on a pool of ``count`` rows, a whole process from the pool file to the JSON files."""
    pool = make_pool(folder / f"pool_{count}.csv", count)
    return best_of(runs, [sys.executable, "-c", _OURS.format(pool=pool, out=folder / f"ours_asn_{count}")])


def main() -> int:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="jwstsm-bench-") as name:
        folder = Path(name)
        large = ours_alone(folder)
        sys.stdout.write(f"10,000 exposures, ours: {large.seconds:.2f} s, {large.peak_mb:.0f} MB\n")
        for what, ours, official in rows(folder):
            sys.stdout.write(
                f"{what}: ours {ours.seconds:.2f} s, {ours.peak_mb:.0f} MB; official {official.seconds:.1f} s, "
                f"{official.peak_mb:.0f} MB; {official.seconds / ours.seconds:.0f} x, "
                f"{official.cpu / ours.cpu:.0f} x in processor time\n"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())

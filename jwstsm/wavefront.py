"""calwebb_wfs-image3 between files: pairs of calibrated images to their combination.

One function serves the rule ``wfs_combine`` and :func:`run_pairs`, which takes all pairs of an association file.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jwstsm.calibrate import write_record
from jwstsm.core.compiled import set_threads
from jwstsm.errors import InputError
from jwstsm.members import Association, Context
from jwstsm.products import read
from jwstsm.products.fitsio import write
from jwstsm.products.names import pair_file
from jwstsm.products.provenance import Inputs
from jwstsm.references import References

__all__ = ["PIPELINE", "combine_files", "run_pairs"]

PIPELINE = "wfs-image3"


def combine_files(context: Context, output: str | Path) -> None:
    """Write the combination of the two members of a pair (rule wfs_combine, product wfscmb)."""
    one, _ = context.step("wfs_combine")
    members = context.association.members
    if len(members) != 2:
        raise InputError(f"{context.association.product}: a wavefront-sensing pair has two images, this has {len(members)}")
    made_of = Inputs(members)
    pair = [read(path) for path in members]
    made, record = context.run("wfs_combine", lambda options: one(pair, context.references, options))
    if made is None:
        raise InputError("wfs_combine is switched off, but its product is asked for; switch it on")
    made.primary["S_WFSCOM"] = (record["status"], "Status of step wfs_combine")
    if context.association.name:
        made.primary["ASNTABLE"] = context.association.name
    made.history.append(record)
    context.add_run(made, made_of.sums(), [record])
    write(made, output, "wfscmb")


def run_pairs(
    path: str | Path,
    folder: str | Path,
    *,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    preset: str = "official",
    threads: int | None = None,
    record: str | Path | None = None,
) -> dict[str, Path]:
    """Combine all pairs of an association.

    Parameters
    ----------
    path : path
        Association file, its members beside it.
    folder : path
        Where the products go.
    options, preset
        As for one exposure.
    threads : int, optional
    record : path, optional
        Where a JSON record of the steps is written.

    Returns
    -------
    dict of str to Path
        What was written, numbered.
    """
    start = time.time()
    set_threads(threads)
    path, records, written = Path(path), [], {}
    Association.read(path)  # says what is wrong with it
    content = json.loads(path.read_text())
    for number, product in enumerate(content["products"]):
        names = [m["expname"] for m in product["members"] if m["exptype"] == "science"]
        members = [path.parent / name for name in names]
        association = Association(product["name"], members, content.get("asn_id", ""), name=path.name)
        references = References({}, None, "")
        context = Context(association, references, options=options, preset=preset, pipeline=PIPELINE)
        context.records = records
        written[f"wfscmb {number}"] = Path(folder) / pair_file(product["name"])
        combine_files(context, written[f"wfscmb {number}"])
    if record is not None:
        write_record(record, PIPELINE, path.with_suffix(""), records, time.time() - start, preset)
    return written

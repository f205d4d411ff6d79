"""The associations of a program directory, as the workflow's checkpoint makes them."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from jwstsm import tables
from jwstsm.associations.association import write
from jwstsm.associations.pool import write_pool
from jwstsm.associations.settings import decide_with, pool_with
from jwstsm.errors import InputError
from jwstsm.headers import HeaderCache

__all__ = ["associate_program"]

log = logging.getLogger(__name__)


def associate_program(uncal: Iterable[str], settings: Mapping[str, Any], *, pool: str | Path, index: str | Path) -> None:
    """Group the exposures of a program; write the pool, the associations, and the index that the workflow reads.

    Parameters
    ----------
    uncal : iterable of path
        Files whose header cannot be read, or that have no known exposure type, are left out with a message: they fail
        in their own jobs.
    settings : mapping
        The section ``asn`` of the configuration.
    pool : path
        Where the pool is written (the archive's columns).
    index : path
        Where the index is written (JSON): for each association ``file``, ``level``, ``type``, ``rule``, ``id``,
        ``pipeline`` and ``products`` with their members. The association files lie beside it.
    """
    headers, errors = HeaderCache().get(uncal)
    rows = []
    for path, header in headers.items():
        try:
            tables.exposure_type(header, Path(path).name)
        except InputError as error:
            errors[path] = str(error)
            continue
        rows.append((path, header))
    for message in errors.values():
        log.warning("left out of all associations: %s", message)
    table = pool_with(rows, settings)
    outcome = decide_with(table, settings)
    associations = outcome.associations
    folder = Path(index).parent
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob("*_asn.json"):
        stale.unlink()
    files = write(associations, folder)
    write_pool(table, pool)
    entries = []
    for association, file in zip(associations, files, strict=True):
        content = association.to_dict()
        entries.append(
            {
                "file": Path(file).name,
                "level": association.level,
                "type": association.type,
                "rule": association.rule,
                "id": association.asn_id,
                "pipeline": association.type,
                "products": [
                    {"name": p["name"], "members": [{k: m[k] for k in ("expname", "exptype")} for m in p["members"]]}
                    for p in content["products"]
                ],
            }
        )
    Path(index).write_text(json.dumps(entries, indent=1) + "\n")
    log.info("%d associations of %d exposures", len(entries), len(rows))

"""What the archive has: the uncal files of a proposal, from the MAST portal's programming interface.

A request is a JSON text in the form field ``request`` of ``/api/v0/invoke``: ``Mast.Caom.Filtered`` finds the
observations of a proposal, ``Mast.Caom.Products`` their files (https://mast.stsci.edu/api/v0/). A long query answers
``EXECUTING`` until it is done; long tables come in pages.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import json
import logging
import re
import time
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from jwstsm.archive.web import Web
from jwstsm.errors import InputError

__all__ = ["ArchiveFile", "choose", "list_uncal"]

log = logging.getLogger(__name__)

_PAGE_ROWS = 20000
_IDS_PER_REQUEST = 100
_NAME = re.compile(r"jw(?P<proposal>\d{5})(?P<observation>\d{3})(?P<visit>\d{3})_")


@dataclasses.dataclass(frozen=True)
class ArchiveFile:
    """A file of the archive.

    Attributes
    ----------
    name : str
    uri : str
        Such as ``mast:JWST/product/jw..._uncal.fits``.
    size : int
        As the archive lists it [byte]; 0 if it does not say.
    public : bool
        Whether everybody may have it.
    """

    name: str
    uri: str
    size: int
    public: bool = True

    @property
    def observation(self) -> int:
        """Number of the observation, from the name; 0 if it has none."""
        match = _NAME.match(self.name)
        return int(match["observation"]) if match else 0


def list_uncal(web: Web, proposal: int) -> list[ArchiveFile]:
    """Return the uncal files of a proposal, sorted by name.

    Parameters
    ----------
    web : Web
    proposal : int
        Proposal (program) number.

    Raises
    ------
    InputError
        If the archive knows no such proposal, or cannot be reached.
    """
    filters = [
        {"paramName": "obs_collection", "values": ["JWST"]},
        {"paramName": "proposal_id", "values": [str(int(proposal))]},
    ]
    rows = _ask(web, "Mast.Caom.Filtered", {"columns": "obsid,obs_id,proposal_id", "filters": filters})
    ids = sorted({str(row["obsid"]) for row in rows})
    if not ids:
        raise InputError(f"the archive has no JWST observations of proposal {proposal}; check the number")
    found: dict[str, ArchiveFile] = {}
    for i in range(0, len(ids), _IDS_PER_REQUEST):
        products = _ask(web, "Mast.Caom.Products", {"obsid": ",".join(ids[i : i + _IDS_PER_REQUEST])})
        found |= {file.name: file for file in _uncal(products)}
        log.info("%d of %d observations listed, %d uncal files", min(i + _IDS_PER_REQUEST, len(ids)), len(ids), len(found))
    return [found[name] for name in sorted(found)]


def _uncal(rows: Iterable[Mapping[str, Any]]) -> Iterator[ArchiveFile]:
    for row in rows:
        name = str(row.get("productFilename", ""))
        if name.endswith("_uncal.fits") and "/" not in name and not name.startswith("."):
            yield ArchiveFile(
                name, str(row["dataURI"]), int(row.get("size") or 0), row.get("dataRights") != "EXCLUSIVE_ACCESS"
            )


def choose(
    files: Iterable[ArchiveFile], observations: Sequence[int] = (), patterns: Sequence[str] = ()
) -> list[ArchiveFile]:
    """Return the files of some observations whose names match one of some patterns (all, if none are given)."""
    return [
        file
        for file in files
        if (not observations or file.observation in observations)
        and (not patterns or any(fnmatch.fnmatch(file.name, pattern) for pattern in patterns))
    ]


def _ask(web: Web, service: str, params: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return all rows of the answer to a request."""
    rows: list[dict[str, Any]] = []
    page, last = 1, 1
    while page <= last:
        request = {"service": service, "params": dict(params), "format": "json", "pagesize": _PAGE_ROWS, "page": page}
        answer = _finished(web, request)
        rows += answer.get("data") or []
        last = int((answer.get("paging") or {}).get("pagesFiltered") or 1)
        page += 1
    return rows


def _finished(web: Web, request: Mapping[str, Any], patience_s: float = 600) -> dict[str, Any]:
    """Send a request until the archive has finished it."""
    body = urllib.parse.urlencode({"request": json.dumps(request)}).encode()
    end = time.monotonic() + patience_s
    while True:
        text = web.post("/api/v0/invoke", body)
        try:
            answer = json.loads(text)
        except ValueError:
            raise InputError(f"the archive's answer to {request['service']} is not JSON; try again later") from None
        status = answer.get("status")
        if status == "COMPLETE":
            return answer
        if status != "EXECUTING":
            raise InputError(f"the archive refused {request['service']}: {answer.get('msg') or status}")
        if time.monotonic() > end:
            raise InputError(f"the archive did not finish {request['service']} in {patience_s:.0f} s; try again later")
        time.sleep(web.delay_s)

"""An archive for tests: the requests of MAST's portal and its downloads, with the faults of a network."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import threading
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Mast:
    """What the archive holds and how it misbehaves.

    Attributes
    ----------
    files : dict
        Name to content; observations are made of the names.
    listed : dict
        Name to a size that is listed instead of the true one.
    cut : dict
        Name to numbers of bytes after which the next answers end.
    refuse : dict
        Name to HTTP states of the next answers.
    busy : int
        How many requests are answered with EXECUTING first.
    ranges : bool
        Whether parts can be asked for.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    listed: dict[str, int] = field(default_factory=dict)
    cut: dict[str, list[int]] = field(default_factory=dict)
    refuse: dict[str, list[int]] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)
    busy: int = 0
    rows_per_page: int = 3
    ranges: bool = True
    url: str = ""
    log: list[tuple[str, str]] = field(default_factory=list)

    def answer(self, request: dict) -> dict:
        if self.busy:
            self.busy -= 1
            return {"status": "EXECUTING", "data": []}
        rows = {"Mast.Caom.Filtered": self._observations, "Mast.Caom.Products": self._products}[request["service"]](
            request["params"]
        )
        first = (request["page"] - 1) * self.rows_per_page
        pages = -(-len(rows) // self.rows_per_page)
        return {
            "status": "COMPLETE",
            "msg": "",
            "data": rows[first : first + self.rows_per_page],
            "paging": {"page": request["page"], "pageSize": self.rows_per_page, "pagesFiltered": pages},
        }

    def _observations(self, params: dict) -> list[dict]:
        wanted = {f["paramName"]: f["values"] for f in params["filters"]}
        assert wanted["obs_collection"] == ["JWST"]
        names = [n for n in self.files if int(n[2:7]) == int(wanted["proposal_id"][0])]
        return [{"obsid": i, "obs_id": n[:25]} for i, n in enumerate(self.files) if n in names]

    def _products(self, params: dict) -> list[dict]:
        names = list(self.files)
        rows = []
        for i in map(int, params["obsid"].split(",")):
            for name in (names[i], names[i].replace("_uncal", "_rate"), names[i].replace("_uncal.fits", "_uncal.jpg")):
                rows.append(
                    {
                        "obsID": i,
                        "productFilename": name,
                        "dataURI": f"mast:JWST/product/{name}",
                        "size": self.listed.get(name, len(self.files.get(name, b"x"))),
                        "dataRights": "EXCLUSIVE_ACCESS" if name in self.closed else "PUBLIC",
                    }
                )
        return rows


@contextlib.contextmanager
def mast_server(mast: Mast) -> Iterator[Mast]:
    """Serve the archive on a local port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            form = urllib.parse.parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            assert self.path == "/api/v0/invoke"
            self._send(200, json.dumps(mast.answer(json.loads(form["request"][0]))).encode(), {})

        def do_GET(self):
            query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
            name = query["uri"][0].rpartition("/")[2]
            asked = self.headers.get("Range", "")
            mast.log.append((name, asked))
            if mast.refuse.get(name):
                self._send(mast.refuse[name].pop(0), b"", {})
                return
            if name in mast.closed and self.headers.get("Authorization") != "token secret":
                self._send(401, b"", {})
                return
            data = mast.files[name]
            tag = f'"{hashlib.md5(data).hexdigest()}"'
            start, status = 0, 200
            match = re.fullmatch(r"bytes=(\d+)-", asked)
            if mast.ranges and match and self.headers.get("If-Range", tag) == tag:
                start, status = int(match[1]), 206
            headers = {"ETag": tag} | ({"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"} if start else {})
            end = len(data)
            if mast.cut.get(name):
                end = min(end, start + mast.cut[name].pop(0))
            self._send(status, data[start:], headers, end - start)

        def _send(self, status: int, data: bytes, headers: dict, only: int | None = None):
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[:only])
            if only is not None and only < len(data):
                self.close_connection = True

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        mast.url = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield mast
        finally:
            server.shutdown()

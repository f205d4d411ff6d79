"""A CRDS server for tests: answers the calls of the crds client and hands out the files of a folder."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import re
import threading
from base64 import b64encode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class CrdsServer:
    """What the server holds and how it misbehaves.

    Parameters
    ----------
    cache : Path
        A CRDS cache whose files it hands out.
    """

    def __init__(self, cache: Path) -> None:
        self.files = {p.name: p for p in cache.rglob("*") if p.is_file() and p.parent.name != "config"}
        self.damaged: set[str] = set()
        self.gone: set[str] = set()
        self.asked: list[str] = []
        self.url = ""

    def info(self) -> dict:
        metadata = {
            name: {"size": str(path.stat().st_size), "sha1sum": hashlib.sha1(path.read_bytes()).hexdigest()}
            for name, path in self.files.items()
        }
        packed = b64encode(gzip.compress(json.dumps(metadata).encode())).decode()
        where = {kind: {"unchecked": {"jwst": f"{self.url}/{kind}/"}} for kind in ("reference", "mapping")}
        return {
            "operational_context": "jwst_9001.pmap",
            "observatory": "jwst",
            "bad_files": "",
            "bad_files_set": [],
            "reference_url": where["reference"],
            "mapping_url": where["mapping"],
            "download_metadata": {"crds_encoded": "1.0", "crds_payload": packed},
        }


@contextlib.contextmanager
def crds_server(cache: Path) -> Iterator[CrdsServer]:
    """Serve a cache on a local port."""
    served = CrdsServer(cache)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            call = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            assert call["method"] == "get_server_info"
            self._send(200, json.dumps({"error": None, "result": served.info(), "id": call["id"]}).encode())

        def do_GET(self):
            name = re.sub(r".*/", "", self.path)
            served.asked.append(name)
            if name in served.gone or name not in served.files:
                self._send(404, b"not found")
                return
            data = served.files[name].read_bytes()
            self._send(200, data[:-1] + bytes([data[-1] ^ 1]) if name in served.damaged else data)

        def _send(self, status: int, data: bytes):
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        served.url = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield served
        finally:
            server.shutdown()

"""Run by the official package's own Python: make associations with it and print them as JSON.

Reads a list of ``{"pool": path, "args": [...]}`` from standard input and prints, for each, the list of associations
``[file, type, rule, [[product, [[expname, exptype], ...]], ...]]`` and the seconds it took.
"""

from __future__ import annotations

import json
import logging
import sys
import time

from jwst.associations.main import Main

logging.disable(logging.CRITICAL)


def run(pool: str, args: list[str]) -> dict:
    """Return what the official generator makes of one pool."""
    start = time.perf_counter()
    try:
        made = Main.cli([pool, "--dry-run", *args]).associations
    except Exception as error:  # the comparison wants to see that it failed
        return {"error": f"{type(error).__name__}: {error}"}
    seconds = time.perf_counter() - start
    found = [
        [
            f"{asn.asn_name}.json",
            asn["asn_type"],
            asn["asn_rule"],
            [[p["name"], [[m["expname"], m["exptype"]] for m in p["members"]]] for p in asn["products"]],
        ]
        for asn in made
    ]
    return {"associations": found, "seconds": seconds}


if __name__ == "__main__":
    sys.stdout.write(json.dumps([run(job["pool"], job["args"]) for job in json.load(sys.stdin)]))

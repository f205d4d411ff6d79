"""What surrounds the work of one workflow job: its log file and the one line a failure leaves."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from jwstsm import staging
from jwstsm.errors import JwstsmError

__all__ = ["leave", "logged", "setup_logging"]

log = logging.getLogger("jwstsm")

_FORMAT = "%(asctime)s %(levelname)-7s %(message)s"


def setup_logging(path: str | Path | None = None, level: int = logging.INFO) -> None:
    """Send this package's messages to a file (or to standard error), with warnings of the libraries among them."""
    handler = logging.FileHandler(path, mode="w") if path else logging.StreamHandler()
    handler.setFormatter(logging.Formatter(_FORMAT, datefmt="%Y-%m-%d %H:%M:%S"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    log.setLevel(level)
    logging.captureWarnings(True)
    warnings.simplefilter("once")
    warnings.filterwarnings("ignore", "File may have been truncated")  # an error of ours says it, and what to do


@contextlib.contextmanager
def logged(snakemake) -> Iterator[None]:
    """Run the body of a workflow script with its log, and end the process after it.

    A known error ends the job with one line, not a traceback.
    """
    path = Path(str(snakemake.log[0])) if snakemake.log else None
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
    setup_logging(path)
    try:
        with staging.on_scratch(snakemake.resources.get("scratch")):
            yield
    except JwstsmError as error:
        log.error("%s", error)
        sys.stderr.write(f"{snakemake.rule}: {error}\n")
        sys.exit(1)
    except Exception:
        log.exception("unexpected error in rule %s", snakemake.rule)
        raise
    leave()


def leave() -> NoReturn:
    """End the process, successfully and at once: taking the compiler down piece by piece takes a quarter of a second."""
    logging.shutdown()
    with contextlib.suppress(BrokenPipeError):  # nobody listens any more
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(0)

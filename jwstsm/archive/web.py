"""Requests to the archive: tried again when the network or the server fails, in one line when they are refused."""

from __future__ import annotations

import dataclasses
import http.client
import logging
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import TypeVar

from jwstsm.errors import InputError

__all__ = ["SERVER", "TryAgain", "Web"]

log = logging.getLogger(__name__)

SERVER = "https://mast.stsci.edu"

T = TypeVar("T")


class TryAgain(Exception):
    """An attempt failed in a way that another may not."""


@dataclasses.dataclass(frozen=True)
class Web:
    """How the archive is reached.

    Attributes
    ----------
    server : str
    token : str
        For data that are not public yet; default ``MAST_API_TOKEN`` of the environment.
    attempts : int
        How often a request is tried without progress.
    delay_s : float
        Pause after the first failure [s]; it doubles with each further one, up to a minute.
    timeout_s : float
        How long to wait for an answer [s].
    """

    server: str = SERVER
    token: str = dataclasses.field(default_factory=lambda: os.environ.get("MAST_API_TOKEN", ""), repr=False)
    attempts: int = 5
    delay_s: float = 2.0
    timeout_s: float = 60.0

    def open(self, path: str, data: bytes | None = None, headers: dict[str, str] | None = None):
        """Open a URL below the server; HTTP errors that another attempt may cure raise :class:`TryAgain`."""
        request = urllib.request.Request(self.server.rstrip("/") + path, data, headers or {})
        if self.token:
            # not a header that is handed on when the archive sends us elsewhere (to its store of public files)
            request.add_unredirected_header("Authorization", f"token {self.token}")
        try:
            return urllib.request.urlopen(request, timeout=self.timeout_s)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code in (401, 403):
                raise InputError(
                    f"the archive refuses {path} (HTTP {error.code}): it is not public; "
                    "set MAST_API_TOKEN to a token of https://auth.mast.stsci.edu/tokens"
                ) from None
            if error.code in (408, 416, 425, 429) or error.code >= 500:
                raise TryAgain(f"HTTP {error.code} {error.reason}") from None
            raise InputError(f"the archive refuses {path} (HTTP {error.code} {error.reason})") from None
        except (OSError, http.client.HTTPException) as error:
            raise TryAgain(_words(error)) from None

    def post(self, path: str, data: bytes) -> bytes:
        """Return the answer to a form."""

        def once() -> bytes:
            try:
                with self.open(path, data, {"Content-Type": "application/x-www-form-urlencoded"}) as answer:
                    return answer.read()
            except (OSError, http.client.HTTPException) as error:
                raise TryAgain(_words(error)) from None

        return self.persist(path, once, lambda: 0)

    def persist(self, what: str, once: Callable[[], T], progress: Callable[[], int]) -> T:
        """Call a function until it succeeds; attempts that make progress do not count.

        Parameters
        ----------
        what : str
            For messages.
        once : callable
            Raises :class:`TryAgain` when it may be called again.
        progress : callable
            Returns a number that grows when there is progress.
        """
        failures, before = 0, progress()
        while True:
            try:
                return once()
            except TryAgain as error:
                now = progress()
                failures = 0 if now > before else failures + 1
                before = now
                if failures >= self.attempts:
                    raise InputError(f"{self.server}: {what}: {error} ({failures} times); try again later") from None
                pause = min(60.0, self.delay_s * 2 ** max(0, failures - 1))
                log.warning("%s: %s; again in %.0f s", what, error, pause)
                time.sleep(pause)


def _words(error: Exception) -> str:
    """Return why a request failed, without the wrapping of the libraries."""
    reason = getattr(error, "reason", error)
    return " ".join(str(reason).split()) or type(reason).__name__

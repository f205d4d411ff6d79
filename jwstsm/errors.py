"""Errors that a user can act on: one line that names the file, the keyword or option, and what to do."""

from __future__ import annotations

__all__ = ["ConfigError", "InputError", "JwstsmError", "ReferenceError_"]


class JwstsmError(Exception):
    """Base of every error that is reported in one line, without a traceback."""


class InputError(JwstsmError):
    """An input file is missing, damaged, or lacks something that is needed."""


class ConfigError(JwstsmError):
    """An option is misspelt, out of range, or of the wrong type."""


class ReferenceError_(JwstsmError):
    """A reference file is missing, ambiguous, or does not fit the exposure."""

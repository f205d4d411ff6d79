"""The command ``jwstsm sim PRESET DIR``."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from jwstsm.errors import ConfigError

__all__ = ["add_parser"]

log = logging.getLogger(__name__)


def add_parser(subparsers) -> argparse.ArgumentParser:
    """Add ``sim`` to the subcommands of ``jwstsm``; the parsed arguments carry the ``function`` to call."""
    parser = subparsers.add_parser("sim", help="simulate a program with known truth and the references it needs")
    parser.add_argument("preset", help="which program: tiny, small, medium, demo, ...")
    parser.add_argument("folder", type=Path, help="gets uncal/, crds_cache/ and truth/")
    parser.add_argument("--seed", type=int, default=1, help="same seed, same arrays (default 1)")
    parser.add_argument("--workers", type=int, default=None, help="processes side by side (default: one per core)")
    parser.add_argument("--ngroups", type=int, default=None, help="groups per integration instead of the preset's")
    parser.add_argument("--nints", type=int, default=None, help="integrations per exposure instead of the preset's")
    parser.set_defaults(function=run)
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Simulate; return the exit status."""
    from jwstsm.sim.presets import PRESETS
    from jwstsm.sim.program import simulate_program

    if arguments.preset not in PRESETS:
        raise ConfigError(f"there is no simulated program {arguments.preset!r}; there are {', '.join(sorted(PRESETS))}")

    names = ("ngroups", "nints")
    options = {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}
    paths = simulate_program(arguments.folder, arguments.preset, arguments.seed, arguments.workers, **options)
    log.info("%d uncal files in %s", len(paths.uncal), paths.folder / "uncal")
    return 0

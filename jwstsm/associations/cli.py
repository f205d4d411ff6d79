"""``jwstsm asn generate | list | show | from-list``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from jwstsm.errors import InputError


def add_parser(subparsers) -> argparse.ArgumentParser:
    """Add the command ``asn`` to the subparsers of ``jwstsm``; each parser sets ``function``."""
    parser = subparsers.add_parser("asn", help="make and look at associations: which exposures belong together")
    commands = parser.add_subparsers(required=True, metavar="action")
    _add_generate(commands)

    one = commands.add_parser("list", help="table of the associations in a folder")
    one.add_argument("paths", nargs="+", type=Path, help="folders or *_asn.json files")
    one.set_defaults(function=_list)

    one = commands.add_parser("show", help="members of associations and what they have in common")
    one.add_argument("paths", nargs="+", type=Path, help="*_asn.json files")
    one.set_defaults(function=_show)

    one = commands.add_parser("from-list", help="make one association of files chosen by hand")
    one.add_argument("files", nargs="+", help="members")
    one.add_argument("-o", "--output", required=True, type=Path, help="the association file to write")
    one.add_argument("--product-name", help="name of the product (needed at level 3)")
    one.add_argument("--type", default="image3", help="image2, spec2, image3, spec3, tso3, ... (default %(default)s)")
    one.add_argument("-i", "--id", default="a3001", help="candidate identifier (default %(default)s)")
    one.add_argument(
        "--role", action="append", default=[], metavar="PATTERN=ROLE", help="members that are not science; repeatable"
    )
    one.set_defaults(function=_from_list)
    return parser


def _add_generate(commands) -> None:
    one = commands.add_parser(
        "generate",
        help="group the exposures of a pool file or of uncal files",
        description="Without -i, --discover or --all-candidates, all candidates and discovered groups are made.",
    )
    one.add_argument("inputs", nargs="+", type=Path, help="one pool (*.csv), or uncal files or folders of them")
    one.add_argument("-o", "--output", type=Path, default=Path(), help="folder for the files (default: here)")
    choice = one.add_mutually_exclusive_group()
    choice.add_argument("-i", "--ids", nargs="+", help="only these candidates, e.g. o001 c1000")
    choice.add_argument("--discover", action="store_true", help="only groups across candidates")
    choice.add_argument("--all-candidates", action="store_true", help="only the candidates")
    one.add_argument("--candidates", nargs="+", metavar="TYPE", help="only candidates of these types, e.g. observation")
    one.add_argument(
        "--version-id", nargs="?", const=True, help="stamp in the file names; without a value, the present time"
    )
    one.add_argument("--merge", action="store_true", help="one level 2 association per candidate and type")
    one.add_argument("--level", type=int, choices=(2, 3), help="only this level")
    one.add_argument("--config", type=Path, metavar="YAML", help="use section asn of this configuration file")
    one.add_argument("--save-pool", type=Path, metavar="CSV", help="write the pool too")
    one.add_argument("-n", "--dry-run", action="store_true", help="write no files, only the table")
    one.add_argument("--why", action="store_true", help="also list what was left out, and why")
    one.set_defaults(function=_generate)


def _generate(arguments: argparse.Namespace) -> int:
    from jwstsm.associations.association import write
    from jwstsm.associations.listing import association_rows, format_table, left_out
    from jwstsm.associations.pool import write_pool
    from jwstsm.associations.settings import decide_with

    settings = _settings(arguments.config)
    folder = arguments.config.parent if arguments.config else Path()
    pool = _pool(arguments.inputs, settings, folder)
    levels = (arguments.level,) if arguments.level else (2, 3)
    chosen = {name: getattr(arguments, name) for name in ("ids", "discover", "all_candidates", "merge", "version_id")}
    chosen = {name: value for name, value in chosen.items() if value} | {"levels": levels}
    if arguments.candidates:
        chosen["candidate_types"] = arguments.candidates
    outcome = decide_with(pool, {**settings, **chosen}, folder)
    if arguments.save_pool:
        write_pool(pool, arguments.save_pool)
    if not arguments.dry_run:
        write(outcome.associations, arguments.output)
    sys.stdout.write(format_table(association_rows(outcome.associations)))
    if arguments.why:
        rows = left_out(outcome, levels)
        sys.stdout.write("\n" + (format_table(rows) or "nothing was left out\n"))
    sys.stdout.write(f"\n{len(outcome.associations)} associations of {len(pool)} exposures\n")
    return 0


def _settings(path: Path | None) -> dict:
    if path is None:
        return {}
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except FileNotFoundError:
        raise InputError(f"{path}: no such configuration file") from None
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not YAML ({error})") from None
    return content.get("asn") or {}


def _pool(inputs: list[Path], settings: dict, folder: Path):
    from jwstsm.associations.pool import read_pool

    if inputs[0].suffix.lower() in (".csv", ".txt"):
        if len(inputs) > 1:
            raise InputError("give one pool file, or uncal files")
        return read_pool(inputs[0])
    from jwstsm.associations.settings import pool_with
    from jwstsm.headers import HeaderCache

    files = [file for path in inputs for file in (sorted(path.rglob("*_uncal.fits*")) if path.is_dir() else [path])]
    if not files:
        raise InputError(f"{', '.join(map(str, inputs))}: no *_uncal.fits files here")
    headers, errors = HeaderCache().get(files)
    if errors:
        raise InputError("; ".join(errors.values()))
    return pool_with(headers.items(), settings, folder)


def _read_all(paths: list[Path]) -> list:
    from jwstsm.associations.association import read

    files = [file for path in paths for file in (sorted(path.glob("*_asn.json")) if path.is_dir() else [path])]
    if not files:
        raise InputError(f"{', '.join(map(str, paths))}: no *_asn.json files here")
    return [read(file) for file in files]


def _list(arguments: argparse.Namespace) -> int:
    from jwstsm.associations.listing import association_rows, format_table

    sys.stdout.write(format_table(association_rows(_read_all(arguments.paths))))
    return 0


def _show(arguments: argparse.Namespace) -> int:
    from jwstsm.associations.listing import format_table, member_rows

    for association in _read_all(arguments.paths):
        lines = [
            association.filename,
            f"  level {association.level}, {association.type}, rule {association.rule}, candidate {association.asn_id}",
            f"  program {association.program}, target {association.target}, pool {association.pool}",
            f"  in common: {association.constraints or 'nothing recorded'}",
        ]
        sys.stdout.write("\n".join(lines) + "\n" + format_table(member_rows(association)) + "\n")
    return 0


def _from_list(arguments: argparse.Namespace) -> int:
    from jwstsm.associations.association import write
    from jwstsm.associations.edits import from_list

    wrong = [entry for entry in arguments.role if "=" not in entry]
    if wrong:
        raise InputError(f"--role {wrong[0]}: write PATTERN=ROLE, e.g. --role '*_00002_*=background'")
    association = from_list(
        arguments.files,
        product=arguments.product_name,
        kind=arguments.type,
        asn_id=arguments.id,
        roles=dict(entry.split("=", 1) for entry in arguments.role),
        file=arguments.output.name,
    )
    write([association], arguments.output.parent)
    return 0

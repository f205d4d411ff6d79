"""The association pool: one row of facts per exposure, from a pool file or from FITS headers.

A pool is the only input of the association generator. The archive ships one per program as text with ``|``
between the cells; the same table is made here from the primary headers of uncal files. All values are
lower-case strings, as in the archive's files.

Source: the archive's pool files and the pool section of the official documentation (column names, defaults,
the words that mean "undefined").
"""

from __future__ import annotations

import ast
import csv
import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from jwstsm.errors import InputError

log = logging.getLogger(__name__)

# Lower-case words that stand for "this cell has no value" ("n" and "f" make a false flag undefined).
UNDEFINED = frozenset({"", "null", "--", "n", "f", "false", "n/a"})
# Without these no rule can be applied at all.
REQUIRED = ("filename", "program", "exp_type", "instrume", "asn_candidate")
DELIMITER = "|"


class PoolError(InputError):
    """A pool file or a header cannot be used; the message says which file, which column and what to do."""


@dataclass
class Pool:
    """Rows of an association pool.

    Attributes
    ----------
    rows : list of dict
        One mapping per exposure, column name -> lower-case text, sorted by file name. Sorting makes the
        associations independent of the order in which the rows arrived; nearly all archive pools are sorted.
    columns : list of str
        Column names in the order of the file.
    name : str
        Name of the pool file, written to ``asn_pool`` of each association.
    keep_order : bool
        Leave the rows as they are; numbers the associations of an unsorted pool as the official generator does.
    notes : list of str
        What was put right while reading.
    """

    rows: list[dict[str, str]]
    columns: list[str]
    name: str = "in-memory"
    keep_order: bool = False
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        rows = self.rows
        if not self.keep_order:
            rows = sorted(rows, key=lambda row: (row["filename"], sorted(row.items())))
        self.rows = _unique_rows(rows, self)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, str]]:
        return iter(self.rows)

    def candidates(self) -> dict[tuple[str, str], list[int]]:
        """Return (candidate id, candidate type) -> indices of its rows, grouped by type as first met."""
        found: dict[tuple[str, str], list[int]] = {}
        for index, row in enumerate(self.rows):
            for candidate in parse_candidates(row["asn_candidate"]):
                found.setdefault(candidate, []).append(index)
        types = list(dict.fromkeys(kind for _, kind in found))
        return {key: found[key] for kind in types for key in found if key[1] == kind}


def read_pool(path: str | os.PathLike[str], delimiter: str = DELIMITER, *, keep_order: bool = False) -> Pool:
    """Read a pool file.

    Parameters
    ----------
    path : path
        Text file: a header line with the column names (any case), then one line per exposure. Blank lines and
        lines that start with ``#`` are skipped.
    delimiter : str
        What separates the cells.
    keep_order : bool
        Do not sort the rows by file name; see `Pool`.

    Returns
    -------
    Pool

    Raises
    ------
    PoolError
        If the file is missing or empty, a required column is missing, a line has too few or too many cells,
        a file name is empty or used by two different exposures, or a candidate list cannot be read.
    """
    path = Path(path)
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            lines = [
                (number, cells)
                for number, cells in enumerate(csv.reader(stream, delimiter=delimiter), start=1)
                if any(cell.strip() for cell in cells) and not cells[0].lstrip().startswith("#")
            ]
    except FileNotFoundError:
        raise PoolError(
            f"{path}: no such pool file; give the path of a *_pool.csv or let the pool be made from the headers"
        ) from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise PoolError(
            f"{path}: not a text table ({error}); a pool is text with '{delimiter}' between the cells"
        ) from None
    if not lines:
        raise PoolError(f"{path}: the file is empty; a pool needs a line of column names and one line per exposure")
    columns = [cell.strip().lower() for cell in lines[0][1]]
    _check_columns(columns, path, delimiter)
    rows = []
    for number, cells in lines[1:]:
        if len(cells) != len(columns):
            raise PoolError(
                f"{path}, line {number}: {len(cells)} cells but {len(columns)} columns; write 'null' "
                f"in cells without a value and check for a missing or extra '{delimiter}'"
            )
        row = {name: cell.strip().lower() or "null" for name, cell in zip(columns, cells, strict=True)}
        _check_row(row, f"{path}, line {number}")
        rows.append(row)
    return Pool(rows, columns, path.name, keep_order)


def write_pool(pool: Pool, path: str | os.PathLike[str]) -> Path:
    """Write a pool as the archive does (``|`` between cells, lower case); the file appears complete or not at all."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with partial.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, delimiter=DELIMITER, lineterminator="\n")
        writer.writerow(pool.columns)
        writer.writerows([row.get(name, "null") for name in pool.columns] for row in pool.rows)
    partial.replace(path)
    return path


@lru_cache(maxsize=4096)
def parse_candidates(text: str) -> tuple[tuple[str, str], ...]:
    """Return the (id, type) pairs of an ``ASN_CANDIDATE`` cell; an undefined cell has none.

    Raises
    ------
    PoolError
        If the text is not a list of pairs such as ``[('o001', 'observation'), ('c1000', 'background')]``.
    """
    if text in UNDEFINED:
        return ()
    try:
        pairs = ast.literal_eval(text)
        return tuple((str(name).lower(), str(kind).lower()) for name, kind in pairs)
    except (ValueError, SyntaxError, TypeError):
        raise PoolError(
            f"column asn_candidate: cannot read {text!r}; it must be a list of (id, type) pairs such as "
            "[('o001', 'observation'), ('c1000', 'background')]"
        ) from None


def _check_columns(columns: list[str], path: Path, delimiter: str) -> None:
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        hint = f"is '{delimiter}' the separator of this file?" if len(columns) == 1 else "add it to the first line"
        raise PoolError(f"{path}: column {', '.join(missing)} is missing; {hint}")
    twice = [name for name, count in Counter(columns).items() if count > 1]
    if twice:
        raise PoolError(f"{path}: column {', '.join(twice)} appears twice; remove one of them")


def _check_row(row: Mapping[str, str], where: str) -> None:
    if row["filename"] in UNDEFINED:
        raise PoolError(f"{where}: column filename is empty; every row must name an uncal file")
    try:
        parse_candidates(row["asn_candidate"])
    except PoolError as error:
        raise PoolError(f"{where}, {error}") from None


def _unique_rows(rows: list[dict[str, str]], pool: Pool) -> list[dict[str, str]]:
    """Merge rows that name the same file; two different exposures under one name are an error."""
    unique: dict[str, dict[str, str]] = {}
    for row in rows:
        first = unique.setdefault(row["filename"], row)
        if first is row:
            continue
        differ = [name for name in pool.columns if first.get(name) != row.get(name) and name != "asn_candidate"]
        if differ:
            raise PoolError(
                f"{pool.name}: {row['filename']} is in two rows that differ in {', '.join(differ)}; keep the right one"
            )
        merged = dict.fromkeys(parse_candidates(first["asn_candidate"]) + parse_candidates(row["asn_candidate"]))
        unique[row["filename"]] = {**first, "asn_candidate": str(list(merged))}
        pool.notes.append(f"{row['filename']} is in the pool more than once; its rows were merged")
        log.warning("%s: %s", pool.name, pool.notes[-1])
    return list(unique.values())


def from_headers(
    headers: Iterable[tuple[str | os.PathLike[str], Mapping]],
    *,
    candidates: Mapping[str, Mapping] | None = None,
    overrides: Iterable[Mapping] | None = None,
    name: str = "pool.csv",
) -> Pool:
    """Make a pool from the primary headers of uncal files; see `jwstsm.associations.headers`."""
    from jwstsm.associations.headers import pool_from_headers

    return pool_from_headers(headers, candidates=candidates, overrides=overrides, name=name)

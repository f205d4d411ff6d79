"""Associations: which exposures are reduced together (pool -> level 2 and level 3 associations).

>>> from jwstsm.associations import from_headers, generate, write
>>> pool = from_headers([(path, header), ...])          # doctest: +SKIP
>>> write(generate(pool), "asn")                        # doctest: +SKIP
"""

from __future__ import annotations

from jwstsm.associations.association import (
    Association,
    AssociationError,
    Member,
    Product,
    read,
    validate,
    write,
)
from jwstsm.associations.generate import Outcome, decide, generate
from jwstsm.associations.pool import Pool, PoolError, from_headers, read_pool, write_pool

__all__ = [
    "Association",
    "AssociationError",
    "Member",
    "Outcome",
    "Pool",
    "PoolError",
    "Product",
    "decide",
    "from_headers",
    "generate",
    "read",
    "read_pool",
    "validate",
    "write",
    "write_pool",
]

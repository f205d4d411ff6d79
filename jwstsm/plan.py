"""What follows from the associations: products of stages 2 and 3, their inputs, parameters and needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from jwstsm import config as configuration
from jwstsm import tables
from jwstsm.errors import InputError
from jwstsm.products.names import pair_file, split_name

if TYPE_CHECKING:
    from jwstsm.workflow import Program

__all__ = ["Plan", "grown"]

_PAIRS = "wfs-image3"  # the pipeline that combines pairs


class Plan:
    """Products of stages 2 and 3, from the index of associations.

    Parameters
    ----------
    program : Program
    index : list of dict
        As the rule ``associations`` writes it: ``file``, ``level``, ``type``, ``id``, ``products`` with ``name`` and
        ``members`` (``expname``, ``exptype``).
    """

    def __init__(self, program: Program, index: Sequence[Mapping[str, Any]]) -> None:
        self.program = program
        self.index = index

    @cached_property
    def level2(self) -> dict[str, dict]:
        """Exposure name -> its Level 2 association and product."""
        out: dict[str, dict] = {}
        for entry in self._of_level(2):
            for product in entry["products"]:
                science = [m for m in product["members"] if m["exptype"] == "science"]
                name = split_name(science[0]["expname"])[0] if science else ""
                if name in self.program.exposures and _richer(product, out.get(name)):
                    out[name] = {"asn": entry, "members": product["members"], "product": product["name"]}
        return out

    @cached_property
    def mosaics(self) -> dict[str, dict]:
        """Product name -> Level 3 imaging association: ``asn``, ``members`` (exposure names)."""
        out: dict[str, dict] = {}
        for entry in self._of_level(3):
            if entry["pipeline"] == "image3":
                out |= {p["name"]: _listed(entry, p) for p in entry["products"]}
        return out

    @cached_property
    def pairs(self) -> dict[str, dict]:
        """File stem of a combined wavefront-sensing pair -> its association: ``asn``, ``members``, ``acid``."""
        out: dict[str, dict] = {}
        for entry in self._of_level(3):
            if entry["pipeline"] == _PAIRS:
                out |= {pair_file(p["name"]).removesuffix(".fits"): _listed(entry, p) for p in entry["products"]}
        return out

    def pair_files(self, pair: str) -> list[str]:
        """Return the two calibrated images of a pair."""
        return [f"stage2/{name}_cal.fits" for name in self.pairs[pair]["members"]]

    def pair_lock(self, pair: str) -> str:
        """Return the references of the first image of a pair."""
        return self.program.lock_of(self.pairs[pair]["members"][0], _PAIRS)

    def pair_association(self, pair: str) -> dict[str, str]:
        """Return what the combination of a pair writes into its header."""
        entry = self.pairs[pair]
        return {"product": pair, "acid": entry["acid"], "file": entry["asn"]["file"]}

    def pair_options(self, pair: str) -> dict[str, dict]:
        """Return what the user set for the combination of a pair."""
        first = self.pairs[pair]["members"][0]
        header = self.program.exposures[first].header
        steps = tables.sequence(_PAIRS)
        return configuration.options_for(self.program.config, steps, header, pipeline=_PAIRS, exposure=first)

    @cached_property
    def _products(self) -> dict[tuple[str, str], str]:
        """(exposure, candidate) -> the mosaic that it belongs to."""
        return {(name, e["acid"]): product for product, e in self.mosaics.items() for name in e["members"]}

    def background_files(self, exposure: str) -> list[str]:
        """Return the stage 1 products that serve as background of an exposure."""
        suffix = tables.pipeline_input(self.program.exposures[exposure].header)
        members = self.level2.get(exposure, {}).get("members", [])
        names = [split_name(m["expname"])[0] for m in members if m["exptype"] == "background"]
        return [f"stage1/{name}_{suffix}.fits" for name in names]

    def image2_products(self) -> list[str]:
        """Return the paths of all stage 2 imaging products."""
        suffixes = {"both": ["cal", "i2d"], "cal": ["cal"], "calints": ["calints"]}
        names = [n for n in self.program.named("image2") if n in self.level2]
        return [f"stage2/{n}_{s}.fits" for n in names for s in suffixes[self.program.image2_kind(n)]]

    def image3_products(self) -> list[str]:
        """Return the paths of all mosaics, catalogs and cleaned exposures."""
        out = []
        for product in self.mosaics:
            out += [f"stage3/{product}_i2d.fits", f"stage3/{product}_cat.ecsv", f"stage3/{product}_segm.fits"]
            out += self.crf_files(product)
        return out

    def crf_files(self, product: str) -> list[str]:
        """Return the cleaned exposures of an association."""
        entry = self.mosaics[product]
        return [f"stage3/{name}_{entry['acid']}_crf.fits" for name in entry["members"]]

    def cal_files(self, product: str) -> list[str]:
        """Return the calibrated exposures of an association."""
        return [f"stage2/{name}_cal.fits" for name in self.mosaics[product]["members"]]

    def first_lock(self, product: str) -> str:
        """Return the references of the first member, which serve the gathering steps."""
        return self.program.lock_of(self.mosaics[product]["members"][0], "image3")

    def association(self, product: str) -> dict[str, str]:
        """Return what the gathering steps write into headers and names."""
        entry = self.mosaics[product]
        return {"product": product, "acid": entry["acid"], "file": entry["asn"]["file"]}

    def memory_mb(self, product: str, attempt: int = 1) -> int:
        """Return the memory to ask for [MB]: the arrays of one exposure, and some planes of the mosaic."""
        members = self.mosaics[product]["members"]
        pixels = max(self.program.megapixels(name) for name in members)
        return grown(450 + pixels * (40 + 12 * len(members)), attempt)

    def runtime_min(self, product: str, attempt: int = 1) -> int:
        """Return the time to ask for [minutes]: for a slow node, by the number of exposures."""
        return grown(10 + len(self.mosaics[product]["members"]), attempt)

    def product_of(self, exposure: str, acid: str) -> str:
        """Return the mosaic that a cleaned exposure belongs to."""
        found = self._products.get((exposure, acid))
        if found is not None:
            return found
        raise InputError(f"exposure {exposure} is in no association {acid}")

    def common(self, exposure: str, acid: str) -> dict[str, str]:
        """Return what the exposures of an association share when outliers are flagged: its sidecars and the median."""
        product = self.product_of(exposure, acid)
        names = {"alignment": "tweakreg.json", "sky": "skymatch.json", "median": "median.fits"}
        return {key: f"stage3/{product}_{name}" for key, name in names.items()}

    def options(self, product: str, steps: Sequence[str]) -> dict[str, dict]:
        """Return what the user set for some stage 3 steps of a mosaic; headers are those of its first member."""
        entry = self.mosaics[product]
        header = self.program.exposures[entry["members"][0]].header
        return configuration.options_for(
            self.program.config, steps, header, pipeline="image3", association=product, exposure=entry["members"][0]
        )

    def _of_level(self, level: int) -> Iterable[Mapping[str, Any]]:
        return (entry for entry in self.index if entry["level"] == level)


def _listed(entry: Mapping, product: Mapping) -> dict:
    """Return the science members of a Level 3 product, as names of exposures, with its association."""
    names = [split_name(m["expname"])[0] for m in product["members"] if m["exptype"] == "science"]
    return {"asn": entry, "members": names, "acid": entry["id"]}


def _richer(product: Mapping, other: Mapping | None) -> bool:
    """Whether a Level 2 product has more members than another of the same exposure."""
    return other is None or len(product["members"]) > len(other["members"])


def grown(need: float, attempt: int) -> int:
    """Return what to ask for on an attempt: half as much again each time."""
    return int(need * (1 + 0.5 * (attempt - 1)))

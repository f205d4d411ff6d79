"""Generate what is written about parameters elsewhere from the steps' signatures.

``python -m jwstsm.schema`` writes ``jwstsm/config.schema.json``, the comments of ``config.yaml`` and
``docs/parameters.md``; with ``--check`` it fails when they have drifted.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from jwstsm import tables
from jwstsm.associations import settings as associations
from jwstsm.step import Step, load_step

__all__ = ["all_steps", "config_schema", "config_yaml", "parameters_page"]

ROOT = Path(__file__).resolve().parents[1]


def all_steps() -> dict[str, list[tuple[str, Step]]]:
    """Import every step; return name -> list of (pipeline stage, step). A step may live in two stages (resample)."""
    found: dict[str, list[tuple[str, Step]]] = {}
    for pipeline in tables.sequences():
        for name in tables.sequence(pipeline):
            stage = tables.stage_of(pipeline, name)
            if all(s != stage for s, _ in found.get(name, [])):
                found.setdefault(name, []).append((stage, load_step(stage, name)))
    return found


def config_schema() -> dict:
    """Return the JSON schema of ``config.yaml``."""
    steps = {}
    for name, homes in all_steps().items():
        parameters: dict = {}
        references: dict = {}
        for _, one in homes:
            parameters.update({k: p.schema() for k, p in one.parameters.items() if k not in parameters})
            references.update(dict.fromkeys(one.references))
        parameters["save_results"] = {
            "type": "boolean",
            "default": False,
            "description": "Also write the product as it is after this step.",
        }
        for kind in references:
            parameters[f"override_{kind}"] = {"type": "string", "description": f"Use this file as {kind} reference."}
        steps[name] = {
            "type": "object",
            "description": homes[0][1].summary,
            "additionalProperties": False,
            "properties": parameters,
            "x-keyword": homes[0][1].keyword,
            "x-references": list(references),
        }
    section = {"type": "object", "additionalProperties": False, "properties": steps}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "jwstsm configuration",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "uncal": {"type": ["string", "array"], "description": "Glob (or list of globs) of the uncal files."},
            "crds": {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "context": {"type": "string", "description": "Pinned CRDS context, such as jwst_1464.pmap."},
                    "path": {"type": "string", "description": "Folder of the CRDS cache."},
                    "server": {"type": ["string", "null"], "description": "CRDS server; empty never uses the network."},
                    "lock": {"type": ["string", "null"], "description": "Lock that the reference files must agree with."},
                },
            },
            "stages": {"type": "array", "items": {"enum": [1, 2, 3]}},
            "preset": {"type": "string", "description": "Versioned set of parameters."},
            "steps": section,
            "overrides": {
                "type": "array",
                "items": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["match", "steps"],
                    "properties": {"match": {"type": "object"}, "steps": {"$ref": "#/properties/steps"}},
                },
            },
            "asn": associations.SCHEMA,
            "archive": {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "proposal": {"type": "integer", "description": "Number of the proposal."},
                    "observations": {"type": "array", "items": {"type": "integer"}, "description": "Only these."},
                    "match": {"type": ["string", "array"], "description": "Patterns of file names, only these."},
                    "folder": {"type": "string", "description": "Where the files go."},
                },
            },
        },
    }


_HEAD = """\
# Configuration of jwstsm. Edit anything at any time: the next `snakemake` run redoes what depends on it.

# The uncalibrated exposures: a glob, or a list of them, relative to this folder.
uncal: uncal/*_uncal.fits

# Reference files. The context is pinned: results change only when you change it here.
crds:
  context: {context}
  path: {path}            # the CRDS cache
  server: {server}   # empty: never use the network
  # lock: references.lock.json  # hold every run to the files of this lock (jwstsm refs lock)

# Which stages to run: 1 uncal -> rate, 2 rate -> cal, 3 cal -> i2d and catalog.
stages: [1, 2, 3]

# Set of parameters to start from: {presets}.
preset: official

# Parameters of the steps, for every exposure. What is commented out is the default.
steps:
"""

_TAIL = """
# The same for some exposures only. `match` takes header keywords (text, list, or * and ? patterns), `exposure`,
# `association` and `pipeline`; later entries win.
overrides: []
#  - match: {FILTER: [F200W, F210M], DETECTOR: NRCB*}
#    steps:
#      jump: {rejection_threshold: 5}

# Associations: your own files, and small edits of the generated ones (see README).
asn: {}

# Archive: what `snakemake fetch` downloads from MAST into uncal/. Empty: nothing is fetched.
archive: {}
#  proposal: 1234
#  observations: [1, 2]
#  match: ["*nrcb*"]
"""


def config_yaml(
    context: str = "jwst_1464.pmap", path: str = "~/crds_cache", server: str = "https://jwst-crds.stsci.edu"
) -> str:
    """Return a commented ``config.yaml`` with every parameter at its default."""
    from jwstsm.config import preset_names

    lines = [_HEAD.format(context=context, path=path, server=server or '""', presets=", ".join(preset_names()))]
    for name, homes in all_steps().items():
        lines.append(f"  # {name}: {homes[0][1].summary}\n")
        lines.append(f"  {name}:\n")
        seen = set()
        for _, one in homes:
            for key, parameter in one.parameters.items():
                if key in seen:
                    continue
                seen.add(key)
                value = json.dumps(parameter.default)
                choices = f"one of {', '.join(map(str, parameter.choices))}; " if parameter.choices else ""
                text = f"    # {key}: {value}"
                note = f"{choices}{parameter.description}" if key != "skip" else ""
                lines.append(f"{text:<44}  # {note}".rstrip(" #") + "\n" if note else f"{text}\n")
    return "".join(lines) + _TAIL


def parameters_page() -> str:
    """Return the manual's page of parameters (Markdown)."""
    out = ["# Parameters of the steps\n\nGenerated from the functions' signatures; names are the official ones.\n"]
    for name, homes in all_steps().items():
        one = homes[0][1]
        refs = ", ".join(f"`{r}`" for r in one.references) or "none"
        out.append(f"\n## {name}\n\n{one.summary} Status keyword `{one.keyword}`; references: {refs}.\n\n")
        out.append("| parameter | default | meaning |\n|---|---|---|\n")
        for key, p in one.parameters.items():
            choices = f" One of {', '.join(f'`{c}`' for c in p.choices)}." if p.choices else ""
            out.append(f"| `{key}` | `{json.dumps(p.default)}` | {p.description}{choices} |\n")
    return "".join(out)


def _targets() -> dict[Path, str]:
    return {
        ROOT / "jwstsm" / "config.schema.json": json.dumps(config_schema(), indent=1) + "\n",
        ROOT / "config.yaml": config_yaml(),
        ROOT / "docs" / "parameters.md": parameters_page(),
    }


def main(argv: list[str]) -> int:
    """Write the generated files, or with ``--check`` say which have drifted."""
    targets = _targets()
    stale = [p for p, text in targets.items() if not p.exists() or p.read_text() != text]
    if "--check" in argv:
        for path in stale:
            sys.stderr.write(f"{path.relative_to(ROOT)} is not what the signatures say; run python -m jwstsm.schema\n")
        return int(bool(stale))
    for path in stale:
        path.write_text(targets[path])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

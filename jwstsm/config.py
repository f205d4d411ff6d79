"""The configuration: reading ``config.yaml``, checking every word of it, and resolving the parameters of a step.

Precedence, lowest first: the function's default, the preset, the CRDS ``pars-*`` reference, ``steps:`` of
``config.yaml``, a matching entry of ``overrides:`` (a preset may ask to stand above the CRDS reference instead).
The schema is generated from the steps' signatures (``python -m jwstsm.schema``) and read here, so that checking a
configuration imports no step.
"""

from __future__ import annotations

import difflib
import functools
import json
import os
import re
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from jwstsm import tables
from jwstsm.errors import ConfigError
from jwstsm.files import parse_yaml
from jwstsm.step import Parameter, Range

__all__ = [
    "check",
    "check_keys_once",
    "check_preset",
    "default_values",
    "files_in",
    "load",
    "merge",
    "options_for",
    "parameters_of",
    "preset_options",
    "resolve",
    "step_parameters",
]

DEFAULTS: dict[str, Any] = {
    "uncal": "uncal/*_uncal.fits",
    "crds": {"context": None, "path": "~/crds_cache", "server": "https://jwst-crds.stsci.edu", "lock": None},
    "stages": [1, 2, 3],
    "preset": "official",
    "steps": {},
    "overrides": [],
    "asn": {},
    "archive": {},
}


@functools.cache
def _schema() -> dict:
    return json.loads(resources.files("jwstsm").joinpath("config.schema.json").read_text())


@functools.cache
def step_parameters() -> dict[str, dict[str, Parameter]]:
    """Return the parameters of every step by name, from the generated schema."""
    out: dict[str, dict[str, Parameter]] = {}
    kinds = {"boolean": bool, "integer": int, "number": float, "string": str, "array": list}
    for name, section in _schema()["properties"]["steps"]["properties"].items():
        out[name] = {}
        for key, spec in section["properties"].items():
            if key == "save_results" or key.startswith("override_"):
                continue  # what every step has; not parameters of the function
            if "enum" in spec:
                choices = tuple(c for c in spec["enum"] if c is not None)
                out[name][key] = Parameter(key, type(choices[0]), spec["default"], choices, None, None in spec["enum"])
                continue
            kind = spec["type"]
            optional = isinstance(kind, list)
            base = kinds[kind[0] if optional else kind]
            limits = Range(spec.get("minimum", spec.get("minItems")), spec.get("maximum", spec.get("maxItems")))
            item = kinds[spec["items"]["type"]] if "items" in spec else None
            out[name][key] = Parameter(key, base, spec["default"], (), item, optional, limits)
    return out


def reference_types_of(step: str) -> list[str]:
    """Return the reference types that a step declares, from the generated schema."""
    return _schema()["properties"]["steps"]["properties"][step].get("x-references", [])


def load(path: str | Path) -> dict:
    """Read and check a ``config.yaml``.

    Raises
    ------
    ConfigError
        If it is not YAML, or a key or value in it is not known.
    """
    path = Path(path)
    check_keys_once(path)
    try:
        content = parse_yaml(path.read_text()) or {}
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); make one with 'jwstsm init'") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: is not valid YAML: {' '.join(str(error).split())}") from error
    return check(content, str(path))


def check_keys_once(path: str | Path) -> None:
    """Refuse a file in which a key is there twice: of two, YAML silently forgets the first, with all that is in it.

    Raises
    ------
    ConfigError
        Naming the key and both lines.
    """
    path = Path(path)
    try:
        waiting = [yaml.compose(path.read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))]
    except (OSError, yaml.YAMLError):
        return  # who reads it says so
    while waiting:
        node = waiting.pop()
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
        elif isinstance(node, yaml.MappingNode):
            lines: dict[str, int] = {}
            for key, value in node.value:
                line = key.start_mark.line + 1
                if lines.setdefault(key.value, line) != line:
                    raise ConfigError(
                        f"{path}: '{key.value}' is there twice, in lines {lines[key.value]} and {line}, and the "
                        "first would be forgotten; write all of it at one of them"
                    )
                waiting.append(value)


def default_values() -> dict[str, dict[str, Any]]:
    """Return the parameters of every step at their defaults."""
    return {step: {key: one.default for key, one in of.items()} for step, of in step_parameters().items()}


def check(content: Mapping[str, Any], where: str = "config.yaml") -> dict:
    """Check a configuration and fill in the defaults of its top keys.

    Raises
    ------
    ConfigError
        On the first wrong word, naming it and what is possible.
    """
    if not isinstance(content, Mapping):
        raise ConfigError(f"{where}: must be a mapping of keys such as 'uncal: uncal/*_uncal.fits'")
    out = {**DEFAULTS}
    for key, value in content.items():
        _known(key, DEFAULTS, f"{where}: key")
        out[key] = DEFAULTS[key] if value is None else value
    crds = out["crds"]
    if not isinstance(crds, Mapping):
        raise ConfigError(f"{where}: 'crds' must be a mapping with context, path, server and lock")
    for key in crds:
        _known(key, DEFAULTS["crds"], f"{where}: crds: key")
    out["crds"] = {**DEFAULTS["crds"], **crds}
    if str(out["crds"]["lock"] or "").startswith("references/"):
        raise ConfigError(
            f"{where}: crds: lock is {crds['lock']}, which every run writes anew; "
            "copy it out of the folder references, or make one with 'jwstsm refs lock'"
        )
    out["archive"] = _check_archive(out["archive"], f"{where}: archive")
    if not isinstance(out["stages"], list) or not set(out["stages"]) <= {1, 2, 3}:
        raise ConfigError(f"{where}: 'stages' is {out['stages']!r} but must be a list of 1, 2 and 3")
    check_preset(out["preset"], f"{where}: ")
    out["steps"] = check_steps(out["steps"] or {}, f"{where}: steps")
    if not isinstance(out["overrides"], list):
        raise ConfigError(f"{where}: 'overrides' must be a list of entries with 'match' and 'steps'")
    out["overrides"] = [
        _check_override(entry, f"{where}: overrides[{i}]") for i, entry in enumerate(out["overrides"] or [])
    ]
    return out


def _check_archive(content: Any, where: str) -> dict[str, Any]:
    """Check the section that says what ``snakemake fetch`` downloads; empty if it does nothing."""
    known: dict[str, Any] = {"proposal": None, "observations": [], "match": [], "folder": "uncal"}
    if not isinstance(content, Mapping):
        raise ConfigError(f"{where}: must be a mapping such as {{proposal: 1234, observations: [1, 2]}}")
    for key in content:
        _known(key, known, f"{where}: key")
    if not content:
        return {}
    out = {**known, **content}
    out["match"] = [out["match"]] if isinstance(out["match"], str) else out["match"]
    if not isinstance(out["proposal"], int):
        raise ConfigError(f"{where}: 'proposal' is {out['proposal']!r} but must be the number of a proposal")
    if not isinstance(out["observations"], list) or not all(isinstance(n, int) for n in out["observations"]):
        raise ConfigError(f"{where}: 'observations' is {out['observations']!r} but must be a list of numbers")
    return out


def _check_override(entry: Any, where: str) -> dict:
    if not isinstance(entry, Mapping) or set(entry) != {"match", "steps"}:
        raise ConfigError(f"{where}: must have exactly the keys 'match' and 'steps'")
    if not isinstance(entry["match"], Mapping) or not entry["match"]:
        raise ConfigError(f"{where}: 'match' must name header keywords and their values, such as {{FILTER: F200W}}")
    return {"match": dict(entry["match"]), "steps": check_steps(entry["steps"] or {}, f"{where}: steps")}


def check_steps(steps: Mapping[str, Any], where: str) -> dict[str, dict]:
    """Check a ``steps`` section; return it with values of the declared types."""
    if not isinstance(steps, Mapping):
        raise ConfigError(f"{where}: must be a mapping of step names to their parameters")
    out: dict[str, dict] = {}
    for name, options in steps.items():
        _known(name, step_parameters(), f"{where}: step")
        if options is None:
            continue
        if not isinstance(options, Mapping):
            raise ConfigError(f"{where}: '{name}' must be a mapping such as '{{skip: true}}'")
        out[name] = {}
        for key, value in options.items():
            if key.startswith("override_"):
                if key.removeprefix("override_") not in reference_types_of(name):
                    types = ", ".join(reference_types_of(name)) or "none"
                    raise ConfigError(f"{where}: step '{name}' uses no reference '{key[9:]}'; it uses {types}")
                out[name][key] = str(value)
                continue
            if key == "save_results":
                out[name][key] = Parameter(key, bool, False).check(value, f"{where}: {name}")
                continue
            parameters = step_parameters()[name]
            _known(key, parameters, f"{where}: step '{name}' has no parameter; '{name}' parameter")
            out[name][key] = parameters[key].check(value, f"{where}: {name}")
    return out


def _known(word: Any, possible: Iterable[str], what: str) -> None:
    possible = list(possible)
    if word not in possible:
        near = difflib.get_close_matches(str(word), possible, 1)
        hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(possible)}"
        raise ConfigError(f"{what} '{word}' is not known; {hint}")


def preset_names() -> list[str]:
    """Return the names of the presets."""
    return sorted(p.name.removesuffix(".yaml") for p in resources.files("jwstsm.presets").iterdir() if ".yaml" in p.name)


def parameters_of(lock: Mapping[str, Any], pipeline: str) -> dict[str, dict]:
    """Return what the ``pars-*`` references of a lock set for a pipeline."""
    found = lock.get("parameters", {})
    return merge(found.get("", {}), found.get(pipeline, {}))


def check_preset(name: str, where: str = "") -> None:
    """Raise a ConfigError if there is no such preset."""
    if name not in preset_names():
        raise ConfigError(f"{where}there is no preset '{name}'; there are {', '.join(preset_names())}")


@functools.cache
def _preset(name: str) -> dict:
    check_preset(name)
    content = parse_yaml(resources.files("jwstsm.presets").joinpath(f"{name}.yaml").read_text())
    for i, rule in enumerate(content["rules"]):
        rule["steps"] = check_steps(rule["steps"], f"preset {name}: rules[{i}]")
    return content


def merge(*sections: Mapping[str, Mapping]) -> dict[str, dict]:
    """Merge ``{step: {parameter: value}}`` sections; later ones win."""
    out: dict[str, dict] = {}
    for section in sections:
        for name, options in section.items():
            out.setdefault(name, {}).update(options)
    return out


def _matching(rules: Iterable[Mapping], header: Mapping[str, Any], **more: str) -> dict[str, dict]:
    # the words that are not keywords (pipeline, exposure, association) are matched beside the header
    seen = {**{k: header[k] for k in header}, **more}
    return merge(*(rule["steps"] for rule in rules if tables.matches(rule["match"], seen)))


def preset_options(name: str, header: Mapping[str, Any], pipeline: str) -> tuple[dict, dict]:
    """Return what a preset sets for a header: ``(below the CRDS parameter references, above them)``."""
    names = ["official"] if name == "official" else ["official", name]
    below: dict = {}
    above: dict = {}
    for each in names:
        content = _preset(each)
        found = _matching(content["rules"], header, pipeline=pipeline)
        if content["applies"] == "before_pars":
            below = merge(below, found)
        else:
            above = merge(above, found)
    return below, above


def options_for(config: Mapping[str, Any], steps: Iterable[str], header: Mapping[str, Any], **more: str) -> dict:
    """Return what ``config.yaml`` itself sets for some steps: ``steps`` with matching ``overrides`` on top.

    Parameters
    ----------
    config : mapping
        A checked configuration.
    steps : iterable of str
        Steps to keep; a rule's parameters are those of its own steps only.
    header : mapping
        Of the exposure, or of the first member of an association.
    **more : str
        What else ``match`` may name: ``pipeline``, ``exposure``, ``association``.
    """
    found = merge(config["steps"], _matching(config["overrides"], header, **more))
    return {name: found[name] for name in steps if found.get(name)}


def files_in(options: Mapping[str, Mapping[str, Any]], header: Mapping[str, Any] | None = None, exposure: str = "") -> list:
    """Return the files that options name: those that are there, and products that the workflow makes.

    Parameters
    ----------
    options : mapping
        ``{step: {parameter: value}}``. A value is a file's name if it has a slash or a dot in it.
    header : mapping, optional
        Of the exposure: ``{detector}`` and other keywords in braces stand for their values in lower case.
    exposure : str
        What ``{exposure}`` stands for. Without a header, names with braces are returned as they are.
    """
    values = [value for given in options.values() for value in (given or {}).values()]
    listed = [name for value in values for name in (value if isinstance(value, list) else [value])]
    names = {name for name in listed if isinstance(name, str) and ("/" in name or "." in name)}
    if header is None:
        return sorted(names)
    words = {"exposure": exposure, **{key.lower(): str(header[key]).lower() for key in header}}
    paths = {re.sub(r"\{(\w+)\}", lambda match: words.get(match[1], match[0]), name) for name in names}
    return sorted(p for p in paths if os.path.isfile(p) or p.startswith(("stage1/", "stage2/", "stage3/")))


def resolve(
    pipeline: str,
    header: Mapping[str, Any],
    *,
    preset: str = "official",
    pars: Mapping[str, Mapping] | None = None,
    options: Mapping[str, Mapping] | None = None,
) -> dict[str, dict]:
    """Return ``{step: {parameter: value}}`` of every step of a pipeline for a header, defaults included."""
    names = tables.sequence(pipeline, header)
    defaults = {n: {k: p.default for k, p in step_parameters()[n].items()} for n in names if n in step_parameters()}
    below, above = preset_options(preset, header, pipeline)
    found = merge(defaults, below, pars or {}, above, options or {})
    return {name: found[name] for name in names if name in found}

"""What a step is: a function with a status keyword, reference types, and parameters read from its signature.

The keyword-only arguments of the function are the parameters of the step. Their names, types, defaults and ranges come
from the signature, their descriptions from the docstring; nothing about a parameter is written anywhere else.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import re
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from jwstsm.errors import ConfigError

__all__ = ["Parameter", "Range", "Skipped", "Step", "load_step", "step"]


class Skipped(NamedTuple):
    """What a step returns when it does not apply: the product as it came, and the reason in words."""

    product: Any
    reason: str


@dataclass(frozen=True)
class Range:
    """Inclusive limits of a number, or of the length of a list; used as ``Annotated[float, Range(min=0)]``."""

    min: float | None = None
    max: float | None = None


@dataclass(frozen=True)
class Parameter:
    """One parameter of a step, as its signature declares it."""

    name: str
    type: type
    default: Any
    choices: tuple = ()
    item: type | None = None
    optional: bool = False
    range: Range = Range()
    description: str = ""

    def schema(self) -> dict:
        """Return the JSON schema of the parameter."""
        names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array"}
        if self.choices:
            out = {"enum": [*self.choices, *([None] if self.optional else [])]}
        else:
            kind = names[self.type]
            out = {"type": [kind, "null"] if self.optional else kind}
        low, high = ("minItems", "maxItems") if self.type is list else ("minimum", "maximum")
        if self.range.min is not None:
            out[low] = self.range.min
        if self.range.max is not None:
            out[high] = self.range.max
        if self.item is not None:
            out["items"] = {"type": names[self.item]}
        if self.description:
            out["description"] = self.description
        out["default"] = self.default
        return out

    def check(self, value: Any, where: str) -> Any:
        """Return ``value`` as the parameter's type.

        Parameters
        ----------
        value : object
            What the user, a parameter reference file or a preset gave. Strings are read as the command line and
            parameter reference files write them.
        where : str
            Where the value came from, for the error message.

        Raises
        ------
        ConfigError
            If the value has the wrong type, is none of the choices, or lies outside the range.
        """
        if isinstance(value, str) and (self.type is not str or self.optional):
            value = _from_text(value, self)
        if value is None:
            if self.optional:
                return None
            raise ConfigError(f"{where}: '{self.name}' cannot be empty; its default is {self.default!r}")
        if self.choices:
            if value not in self.choices:
                hint = ", ".join(map(repr, self.choices))
                raise ConfigError(f"{where}: '{self.name}' is {value!r} but must be one of {hint}")
            return value
        if self.type is list:
            if not isinstance(value, (list, tuple)):
                value = [value]
            value = [_as_type(v, self.item or str, self.name, where) for v in value]
            size: float = len(value)
        else:
            value = _as_type(value, self.type, self.name, where)
            size = value if self.type in (int, float) else 0
        low, high = self.range.min, self.range.max
        if (low is not None and size < low) or (high is not None and size > high):
            limits = (
                f"between {low} and {high}"
                if None not in (low, high)
                else (f"at least {low}" if high is None else f"at most {high}")
            )
            what = "have a length" if self.type is list else "be"
            raise ConfigError(f"{where}: '{self.name}' is {value!r} but must {what} {limits}")
        return value


@dataclass(frozen=True)
class Step:
    """A step: its official name, status keyword, reference types, and the function that does it."""

    name: str
    keyword: str
    references: tuple[str, ...]
    scope: str
    function: Callable

    @cached_property
    def accepts(self) -> type:
        """Type of product that the step works on (the annotation of its first argument)."""
        hints = get_type_hints(self.function)
        first = next(iter(inspect.signature(self.function).parameters))
        return hints[first]

    @cached_property
    def parameters(self) -> dict[str, Parameter]:
        """The parameters by name, in the order of the signature; ``skip`` comes first."""
        hints = get_type_hints(self.function, include_extras=True)
        text = _described(self.function.__doc__ or "")
        found = {"skip": Parameter("skip", bool, False, description=text.get("skip", "Do not run this step."))}
        for name, spec in inspect.signature(self.function).parameters.items():
            if spec.kind is inspect.Parameter.KEYWORD_ONLY:
                found[name] = _parameter(name, hints[name], spec.default, text.get(name, ""))
        return found

    @property
    def summary(self) -> str:
        """First line of the function's docstring."""
        return (inspect.getdoc(self.function) or "").split("\n")[0]

    def check(self, options: Mapping[str, Any], where: str) -> dict[str, Any]:
        """Check options against the signature; return them as the declared types.

        Raises
        ------
        ConfigError
            If an option does not exist (with the nearest name) or its value is not acceptable.
        """
        out = {}
        for name, value in options.items():
            if name not in self.parameters:
                near = difflib.get_close_matches(name, self.parameters, 1)
                hint = f"; did you mean '{near[0]}'?" if near else f"; it has {', '.join(self.parameters)}"
                raise ConfigError(f"{where}: step '{self.name}' has no parameter '{name}'{hint}")
            out[name] = self.parameters[name].check(value, where)
        return out

    def __call__(self, product, refs, options: Mapping[str, Any]):
        """Run the function with checked options (``skip`` is the frame's business)."""
        passed = {k: v for k, v in options.items() if k in inspect.signature(self.function).parameters}
        return self.function(product, refs, **passed)


def step(keyword: str, references: list[str] | tuple[str, ...] = (), scope: str = "exposure") -> Callable:
    """Declare a function to be a step.

    Parameters
    ----------
    keyword : str
        The status keyword, such as ``S_DARK``.
    references : list of str
        Reference types that the step may ask for.
    scope : {"exposure", "integration", "association"}
        ``integration``: the function can be called on a block of integrations at a time. ``exposure``: it needs the
        whole exposure. ``association``: it gathers several exposures.

    Returns
    -------
    callable
        Decorator that returns the function itself, with the :class:`Step` as its attribute ``step``.
    """
    if scope not in ("exposure", "integration", "association"):
        raise ValueError(f"scope '{scope}' is not known")

    def declare(function: Callable) -> Callable:
        function.step = Step(function.__name__, keyword, tuple(references), scope, function)
        return function

    return declare


def load_step(stage: str, name: str) -> Step:
    """Import ``jwstsm.<stage>.<name>`` and return its step; nothing else is imported."""
    module = importlib.import_module(f"jwstsm.{stage}.{name}")
    return getattr(module, name).step


def _parameter(name: str, hint: Any, default: Any, description: str) -> Parameter:
    """Read one annotation; raise TypeError for a form that the schema could not express."""
    limits = Range()
    if get_origin(hint) is Annotated:
        hint, *extra = get_args(hint)
        limits = next((e for e in extra if isinstance(e, Range)), limits)
    optional = False
    if get_origin(hint) in (Union, types.UnionType):
        members = [m for m in get_args(hint) if m is not type(None)]
        optional = len(members) < len(get_args(hint))
        if len(members) != 1:
            raise TypeError(f"parameter '{name}' has more than one type: {hint}")
        hint = members[0]
        if get_origin(hint) is Annotated:
            hint, *extra = get_args(hint)
            limits = next((e for e in extra if isinstance(e, Range)), limits)
    if get_origin(hint) is Literal:
        choices = tuple(c for c in get_args(hint) if c is not None)
        optional = optional or None in get_args(hint)
        return Parameter(name, type(choices[0]), default, choices, None, optional, limits, description)
    if get_origin(hint) is list:
        return Parameter(name, list, default, (), get_args(hint)[0], optional, limits, description)
    if hint not in (bool, int, float, str):
        raise TypeError(f"parameter '{name}' has type {hint}, which the config schema cannot express")
    return Parameter(name, hint, default, (), None, optional, limits, description)


def _described(doc: str) -> dict[str, str]:
    """Return the descriptions of a numpydoc ``Parameters`` section by name."""
    match = re.search(
        r"\n\s*Parameters\n\s*-{3,}\n(.*?)(?:\n\s*\n\s*\w[\w ]*\n\s*-{3,}\n|\Z)", inspect.cleandoc(doc) + "\n", re.S
    )
    if not match:
        return {}
    out: dict[str, str] = {}
    current: list[str] = []
    for line in match.group(1).splitlines():
        if re.match(r"[\w*, ]+ : ", line):
            current = [n.strip() for n in line.split(" : ")[0].split(",")]
            out.update(dict.fromkeys(current, ""))
        elif line.startswith("    "):
            for name in current:
                out[name] = f"{out[name]} {line.strip()}".strip()
    return out


def _from_text(text: str, parameter: Parameter) -> Any:
    """Read a value written as text, as on a command line or in a parameter reference file."""
    word = text.strip()
    if parameter.optional and word.lower() in ("none", "null", ""):
        return None
    if parameter.type is bool and word.lower() in ("true", "false", "yes", "no"):
        return word.lower() in ("true", "yes")
    if parameter.type is list:
        return [v for v in re.split(r"[,\s]+", word.strip("[]() ")) if v]
    return text


def _as_type(value: Any, kind: type, name: str, where: str) -> Any:
    """Convert without losing anything: 3 and "3" are integers, 3.5 is not."""
    try:
        if kind is bool and isinstance(value, bool):
            return value
        if kind in (int, float) and not isinstance(value, bool):
            number = float(value)
            if kind is float:
                return number
            if number == int(number):
                return int(number)
        if kind is str and not isinstance(value, (list, dict)):
            return str(value)
    except (TypeError, ValueError):
        pass
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
    raise ConfigError(f"{where}: '{name}' is {value!r} but must be {words[kind]}")

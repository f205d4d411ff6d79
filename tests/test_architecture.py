"""Imports point one way: from the frame to the stages to the rooms below, and stages never import each other."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from jwstsm import tables

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "jwstsm"

# room -> rooms of this package it may import at module level
BASE = {"errors", "", "files", "step", "tables", "headers"}
ALLOWED = {
    "core": {"core", "errors", "files"},
    "wcs": {"wcs", "core", "errors"},
    "products": {"products", "core", "wcs", "errors", "files"},
    "references": {"references", "products", "core", "wcs", "config"} | BASE,
    "associations": {"associations", "products"} | BASE,
    "archive": {"archive"} | BASE,
    "stage1": {"stage1", "products", "references", "core", "wcs", "step", "errors", "files"},
    "stage2": {"stage2", "products", "references", "core", "wcs", "step", "errors", "files"},
    "stage3": {"stage3", "products", "references", "core", "wcs", "step", "errors", "files"},
    "report": {"report", "products", "core"} | BASE,
}
# the official package may judge, never be used
FORBIDDEN = {"jwst", "stcal", "stpipe", "tweakwcs", "drizzle"}


def imported(path: Path) -> list[str]:
    """Return the dotted names that a module imports anywhere in it."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [f"{node.module}.{a.name}" if node.module == "jwstsm" else node.module for a in node.names]
    return found


@pytest.mark.parametrize("room", ALLOWED)
def test_no_arrow_points_back(room):
    wrong = []
    for path in (PACKAGE / room).rglob("*.py"):
        for name in imported(path):
            if name.startswith("jwstsm.") and name.split(".")[1] not in ALLOWED[room] | {"__version__"}:
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_the_official_package_is_never_imported():
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in PACKAGE.rglob("*.py")
        for name in imported(path)
        if name.split(".")[0] in FORBIDDEN
    ]
    assert not wrong, "\n".join(wrong)


def test_every_rule_has_a_script_of_its_own_and_says_what_it_does():
    scripts = {p.stem for p in (ROOT / "scripts").glob("*.py")}
    used = set()
    for path in (ROOT / "rules").glob("*.smk"):
        text = path.read_text()
        for match in re.finditer(
            r"^(?:rule|checkpoint) (\w+):\n(.*?)(?=^(?:rule|checkpoint|use|def) |\Z)", text, re.M | re.S
        ):
            name, body = match.groups()
            assert '"""' in body.split("\n")[0] + body.split("\n")[1], f"rule {name} has no docstring"
            for needed in ("output:", "log:", "benchmark:"):
                assert needed in body, f"rule {name} has no {needed[:-1]}"
            script = re.search(r'"\.\./scripts/(\w+)\.py"', body).group(1)
            assert script == name, f"rule {name} runs scripts/{script}.py"
            used.add(script)
    assert scripts == used


def test_every_step_of_the_sequences_is_a_module_with_its_name_and_a_test():
    for pipeline in tables.sequences():
        for name in tables.sequence(pipeline):
            module = PACKAGE / tables.stage_of(pipeline, name) / f"{name}.py"
            assert module.exists(), f"{pipeline}: {module} is missing"
            tests = list((ROOT / "tests").rglob(f"test_*{name}*.py"))
            assert tests, f"step {name} has no test module"


def test_stage_rooms_never_compare_with_an_instrument_literal():
    pattern = re.compile(r"""[!=]=\s*["'](NIRCAM|NIRISS|NIRSPEC|MIRI|FGS|NRC_|NRS_|MIR_|NIS_)""")
    wrong = []
    for stage in ("stage1", "stage2", "stage3", "core"):
        for path in (PACKAGE / stage).glob("*.py"):
            for number, line in enumerate(path.read_text().splitlines(), 1):
                if pattern.search(line) and "#" not in line:
                    wrong.append(f"{path.relative_to(ROOT)}:{number} {line.strip()}")
    assert not wrong, "\n".join(wrong)

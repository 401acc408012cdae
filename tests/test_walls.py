"""Imports between the rooms of the package point one way."""

import ast
from pathlib import Path

import pytest

import bayesgan

HOUSE = Path(bayesgan.__file__).parent
# a room may import the rooms before its own
ORDER = [
    "basics",
    "data",
    "objectives",
    "ensemble",
    "networks",
    "sampler",
    "evaluation",
    "resampling",
    "options",
    "store",
    "training",
    "report",
    "commands",
    "benchmarks",
    "experiments",
]


def imported(file: Path) -> set[str]:
    """Rooms of the package that a file imports from, anywhere in it."""
    rooms = set()
    for node in ast.walk(ast.parse(file.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} imports relatively; name the package"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        rooms |= {name.split(".")[1] for name in names if name.startswith("bayesgan.")}
    return rooms & set(ORDER)


def test_every_folder_is_a_room():
    assert {path.parent.name for path in HOUSE.glob("*/__init__.py")} == set(ORDER)
    assert {path.name for path in HOUSE.glob("*.py")} == {"__init__.py", "__main__.py", "house.py"}


@pytest.mark.parametrize("room", ORDER)
def test_no_import_points_back(room):
    before = set(ORDER[: ORDER.index(room) + 1])
    for file in (HOUSE / room).rglob("*.py"):
        assert imported(file) <= before, f"{file.relative_to(HOUSE)} imports {imported(file) - before}"


def test_the_sampler_knows_nothing_of_gans():
    for file in (HOUSE / "sampler").rglob("*.py"):
        assert imported(file) <= {"basics", "ensemble", "sampler"}
    for file in (HOUSE / "resampling").rglob("*.py"):
        assert not imported(file) & {"networks", "sampler", "options", "store", "training"}

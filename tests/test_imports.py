"""Which module may import which, read from the source: no circles, and nothing heavy below the settings."""

import ast
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import nnssl_plugin

PACKAGE = Path(nnssl_plugin.__file__).parent
# Of no room: these import nothing of ours.
GROUND = {"nnssl_plugin.settings.validation"}


def imported_names(tree: ast.Module, functions: bool) -> Iterator[str]:
    """Full names of what a module imports, as it is loaded or for types; what its functions import if asked for."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and not functions:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        waiting += ast.iter_child_nodes(node)


def sources(folder: Path) -> dict[str, str]:
    """Module → its source, of a package; packages' own files, which are empty, left out."""
    files = [file for file in folder.rglob("*.py") if file.name != "__init__.py"]
    return {".".join(file.relative_to(folder.parent).with_suffix("").parts): file.read_text("utf-8") for file in files}


def graph(modules: Mapping[str, str], functions: bool = False) -> dict[str, set[str]]:
    """Module → modules of ours that it imports."""
    found = {name: set(imported_names(ast.parse(source), functions)) for name, source in modules.items()}
    return {name: {one for one in names if one in modules and one != name} for name, names in found.items()}


def circle_in(edges: Mapping[str, set[str]]) -> list[str]:
    """A circle, or nothing."""
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def rooms(modules: Mapping[str, set[str]], left_out: set[str]) -> dict[str, set[str]]:
    """Room (package) → rooms that its modules import from; modules beside the rooms are their own."""

    def room(module: str) -> str:
        return ".".join(module.split(".")[:2])

    edges: dict[str, set[str]] = defaultdict(set)
    for module, imported in modules.items():
        if module not in left_out:
            edges[room(module)] |= {room(one) for one in imported - left_out} - {room(module)}
    return edges


@pytest.mark.parametrize(
    ("modules", "circle"),
    [
        ({"p.a": "import p.b", "p.b": "from p import c", "p.c": ""}, False),
        ({"p.a": "import p.b", "p.b": "from p import a"}, True),
        ({"p.a": "from p.b import x", "p.b": "if TYPE_CHECKING:\n    from p.a import y"}, True),
        ({"p.a": "from p.b import x", "p.b": "def f():\n    from p.a import y"}, False),
    ],
)
def test_circles_are_found(modules: dict[str, str], circle: bool) -> None:
    assert bool(circle_in(graph(modules))) == circle


def test_no_module_imports_itself_over_others() -> None:
    modules = graph(sources(PACKAGE))
    assert len(modules) > 100
    assert sum(map(len, modules.values())) > 200
    assert circle_in(modules) == []


def test_no_room_imports_itself_over_others() -> None:
    modules = graph(sources(PACKAGE))
    assert all(not modules[one] for one in GROUND)
    assert circle_in(rooms(modules, GROUND)) == []


def test_objectives_draw_and_measure_nothing() -> None:
    for name, source in sources(PACKAGE / "objectives").items():
        for imported in imported_names(ast.parse(source), functions=True):
            assert imported.split(".")[0] not in ("matplotlib", "sklearn", "nnunetv2"), f"{name} imports {imported}"


def test_the_settings_bring_no_plots_no_measures_and_no_nnunet() -> None:
    lines = (
        "import sys, nnssl_plugin.settings.settings; print({'matplotlib', 'sklearn', 'nnunetv2'} & set(sys.modules))"
    )
    printed = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "set()"

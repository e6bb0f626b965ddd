import ast
import os
import pathlib
import subprocess
import sys

from programs import true

import processkit

ROOT = pathlib.Path(processkit.__file__).parent
# Who may import whom: a room may import from the rooms behind it in this order, and from itself. `_core` is imported by all.
ALLOWED = {
    "_abi": {"_abi"},
    "_core": {"_core"},
    "_os": {"_os", "_abi", "_core"},
    "_drive": {"_drive", "_os", "_core"},
    "api": {"api", "_drive", "_os", "_core"},
    "facade": {"api"},
    "_cli": {"_cli", "facade"},
}
API = {"_base", "_plan", "_host", "_process", "_group", "_pipeline", "_command"}
# The API's own types that the lower rooms name for the type checker only are under TYPE_CHECKING and do not count.


def modules():
    for path in sorted(ROOT.rglob("*.py")):
        yield path, ast.parse(path.read_text(encoding="utf-8"))


def room_of(path):
    relative = path.relative_to(ROOT)
    if relative.parts[0] in API:
        return "api"
    if len(relative.parts) > 1:
        return relative.parts[0]
    return {"__init__.py": "facade", "__main__.py": "_cli"}.get(relative.name, "api")


def imports_that_run(tree):
    """Import statements that are not under `if TYPE_CHECKING`."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            waiting += node.orelse
            continue
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield node
        waiting += ast.iter_child_nodes(node)


def target_rooms(path, node):
    """The rooms that a relative import reaches."""
    base = path.parent
    for _ in range(node.level - 1):
        base = base.parent
    names = (node.module or "").split(".") if node.module else []
    places = [base.joinpath(*names)] if names else [base / alias.name for alias in node.names]
    for place in places:
        file = place.with_suffix(".py")
        if not file.exists() and not place.is_dir():
            file = (base if names == [] else place.parent) / "__init__.py"
        yield room_of(file if file.exists() else place / "__init__.py")


def test_imports_run_one_way_downwards():
    wrong = []
    for path, tree in modules():
        for node in imports_that_run(tree):
            if not isinstance(node, ast.ImportFrom) or not node.level:
                continue
            wrong += [
                f"{path.relative_to(ROOT)}:{node.lineno} imports from {room}"
                for room in target_rooms(path, node)
                if room not in ALLOWED[room_of(path)]
            ]
    assert wrong == []


def test_every_import_of_our_own_is_relative_so_that_a_vendored_copy_works():
    for path, tree in modules():
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
            assert not any(name.split(".")[0] == "processkit" for name in names), path


def test_only_the_abi_room_imports_ctypes_and_only_system_rooms_ask_for_the_platform():
    for path, tree in modules():
        room = room_of(path)
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                assert room == "_abi" or "ctypes" not in [alias.name for alias in node.names], path
            if isinstance(node, ast.ImportFrom):
                assert room == "_abi" or node.module != "ctypes", path
            if isinstance(node, ast.Attribute) and node.attr == "platform" and getattr(node.value, "id", "") == "sys":
                assert room in ("_os", "_abi"), path


def test_the_core_knows_no_system_no_thread_and_no_clock():
    for path, tree in modules():
        if room_of(path) == "_core":
            for node in imports_that_run(tree):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module]
                assert not {"os", "time", "signal", "threading", "_thread", "select", "socket"} & set(names), path


def test_no_file_is_longer_than_six_hundred_lines_and_no_function_than_sixty():
    for path in [*ROOT.rglob("*.py"), *(ROOT.parent / "tests").glob("*.py"), *(ROOT.parent / "tools").glob("*.py")]:
        text = path.read_text(encoding="utf-8")
        assert text.count("\n") <= 600, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and ROOT in path.parents:
                assert node.end_lineno - node.lineno < 60, (path, node.name)


def test_every_module_class_and_public_function_says_what_it_is():
    for path, tree in modules():
        assert path.name == "py.typed" or ast.get_docstring(tree) or path.stat().st_size == 0, path
        protocols = {
            child
            for node in ast.walk(tree)
            if isinstance(node, ast.ClassDef) and any(getattr(base, "id", "") == "Protocol" for base in node.bases)
            for child in ast.walk(node)
        }
        refusing = path.name == "unsupported.py"
        for node in ast.walk(tree):
            if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and node not in protocols:
                public = not node.name.startswith("_") and not refusing and room_of(path) != "_abi"
                nested = isinstance(node, ast.FunctionDef) and any(
                    node in ast.walk(other) and node is not other
                    for other in ast.walk(tree)
                    if isinstance(other, (ast.FunctionDef, ast.AsyncFunctionDef))
                )
                assert not public or nested or ast.get_docstring(node), (path.name, node.name)


def test_importing_the_package_imports_none_of_the_slow_modules():
    code = "import sys; before = set(sys.modules); import processkit; print(*sorted(set(sys.modules) - before))"
    loaded = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(ROOT.parent)!r}); {code}"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert "processkit" in loaded
    slow = {"asyncio", "subprocess", "typing", "dataclasses", "inspect", "logging", "tempfile", "json", "ctypes", "threading"}
    assert not slow & set(loaded)


def test_the_command_line_of_a_plain_run_imports_none_of_the_slow_modules():
    code = (
        f"import sys; sys.argv = ['processkit', 'run', '--', *{[true().program, *true().arguments]!r}]\n"
        "from processkit._cli import main\n"
        "assert main() == 0\n"
        "print(*sys.modules)"
    )
    loaded = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(ROOT.parent)!r})\n{code}"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    slow = {"asyncio", "subprocess", "typing", "dataclasses", "inspect", "logging", "tempfile", "json", "threading", "pathlib"}
    assert not slow & set(loaded)


def test_the_public_names_are_sorted_unique_and_importable():
    names = processkit.__all__
    assert list(names) == sorted(set(names))
    for name in names:
        value = getattr(processkit, name)
        if isinstance(value, type) or callable(value):
            assert getattr(value, "__module__", "processkit") in ("processkit", "typing"), name
    assert set(names) <= set(dir(processkit))


def test_the_marker_of_a_typed_package_is_shipped():
    assert (ROOT / "py.typed").exists()
    assert os.path.getsize(ROOT / "py.typed") == 0

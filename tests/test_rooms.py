import ast
import os
import pathlib
import subprocess
import sys

from programs import true

import processkit

ROOT = pathlib.Path(processkit.__file__).parent
# The rooms, the lowest first, and what each may import when it runs; every room may import from itself. `_os` is what all
# systems share, its `__init__` (`_os:face`) the one place where the system is chosen.
BASE = {"_base", "_core"}
SYSTEM = {"_os:face", "_os"}
ROOMS = {
    "_abi": set(),
    "_core": set(),
    "_base": {"_core"},
    "_os": {"_abi", "_core"},
    "_os/posix": {"_os", "_abi", "_core"},
    "_os/linux": {"_os/posix", "_os", "_abi", "_core"},
    "_os/windows": {"_os", "_abi", "_core"},
    "_os:face": {"_os/linux", "_os/windows", "_os/posix", "_os", "_abi"},
    "_drive": {*SYSTEM, "_core"},
    "_plan": {*BASE, *SYSTEM},
    "_host": {*BASE, *SYSTEM, "_plan", "version"},
    "_process": {*BASE, *SYSTEM, "_plan", "_host", "_drive"},
    "_group": {*BASE, *SYSTEM, "_plan", "_host", "_drive", "_process"},
    "_pipeline": {*BASE, *SYSTEM, "_plan", "_host", "_drive", "_process"},
    "_command": {*BASE, *SYSTEM, "_plan", "_host", "_drive", "_process", "_group", "_pipeline"},
    "facade": {"_base", "_plan", "_host", "_process", "_group", "_pipeline", "_command", "version"},
    "_cli": {"facade"},
    "version": set(),
}
SIGNATURE = "the public signature of a verb names what users hold in their hands"
#: What is named against the arrow for the type checker only; when it runs it is not imported.
NAMED_UPWARDS = {
    ("_group/group.py", "_command/command.py"): SIGNATURE,
    ("_pipeline/pipeline.py", "_command/command.py"): SIGNATURE,
    ("_process/verbs.py", "_command/command.py"): SIGNATURE,
}


def read(root=ROOT):
    """Every module by its path below the package."""
    return {path.relative_to(root).as_posix(): ast.parse(path.read_text(encoding="utf-8")) for path in sorted(root.rglob("*.py"))}


MODULES = read()


def modules():
    return [(ROOT / name, tree) for name, tree in MODULES.items()]


def room_of(name):
    """The room of a module, given by its path, absolute or below the package."""
    relative = name.relative_to(ROOT).as_posix() if isinstance(name, pathlib.Path) else name
    own = {"__init__.py": "facade", "__main__.py": "_cli", "_version.py": "version", "_os/__init__.py": "_os:face"}
    return own.get(relative) or relative.rpartition("/")[0]


TOP, LATE, TYPE = "top", "late", "type"


def imports(tree, kind=TOP):
    """Every import statement with its kind: run at the import of its module, late (in a function), or for the type checker only."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            yield from imports(ast.Module(node.body, []), TYPE)
            yield from imports(ast.Module(node.orelse, []), kind)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            yield node, kind
        else:
            inside = LATE if kind == TOP and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) else kind
            yield from imports(node, inside)


def imports_that_run(tree):
    return [node for node, kind in imports(tree) if kind != TYPE]


def targets(name, node, known):
    """The modules that a relative import reaches."""
    base = name.split("/")[:-1]
    base = base[: len(base) - (node.level - 1)] + (node.module.split(".") if node.module else [])
    whole = "/".join(base)
    for alias in node.names:
        part = f"{whole}/{alias.name}" if whole else alias.name
        candidates = (f"{part}.py", f"{part}/__init__.py", f"{whole}.py", f"{whole}/__init__.py" if whole else "__init__.py")
        yield next(candidate for candidate in candidates if candidate in known)


def arrows(known=MODULES):
    """(importing module, imported module, kind, line) of every import of our own."""
    return [
        (name, target, kind, node.lineno)
        for name, tree in known.items()
        for node, kind in imports(tree)
        if isinstance(node, ast.ImportFrom) and node.level
        for target in targets(name, node, known)
        if target != name
    ]


def circles(edges):
    """Modules that reach themselves."""
    reaches = {}
    for one, other in edges:
        reaches.setdefault(one, set()).add(other)
    found = []
    for start, first in reaches.items():
        seen, waiting = set(), [*first]
        while waiting:
            module = waiting.pop()
            if module not in seen:
                seen.add(module)
                waiting += reaches.get(module, ())
        if start in seen:
            found.append(start)
    return found


def against_the_arrow(edges, kinds):
    return [
        (one, other, line)
        for one, other, kind, line in edges
        if kind in kinds and room_of(one) != room_of(other) and room_of(other) not in ROOMS[room_of(one)]
    ]


def test_every_module_has_a_room():
    assert {room_of(name) for name in MODULES} - {"_os:face"} <= set(ROOMS)


def test_imports_run_one_way_downwards_late_ones_included():
    assert against_the_arrow(arrows(), (TOP, LATE)) == []


def test_what_is_named_upwards_for_the_type_checker_is_a_short_list():
    order = [*ROOMS]
    upwards = {
        (one, other)
        for one, other, kind, _ in arrows()
        if kind == TYPE and order.index(room_of(other)) > order.index(room_of(one)) and room_of(other) != "version"
    }
    assert upwards == set(NAMED_UPWARDS)


def test_no_module_reaches_itself_by_imports_that_run():
    assert circles([(one, other) for one, other, kind, _ in arrows() if kind != TYPE]) == []


def test_an_import_against_the_arrow_and_a_circle_would_be_seen():
    top, late, typed = (ast.parse(text) for text in (
        "from ..beta.two import x",
        "def f():\n    from ..alpha.one import y",
        "if TYPE_CHECKING:\n    from .one import z",
    ))  # fmt: skip
    known = {"alpha/one.py": top, "beta/two.py": late, "alpha/three.py": typed}
    assert [(one, other, kind) for one, other, kind, _ in arrows(known)] == [
        ("alpha/one.py", "beta/two.py", TOP),
        ("beta/two.py", "alpha/one.py", LATE),
        ("alpha/three.py", "alpha/one.py", TYPE),
    ]
    assert circles([(one, other) for one, other, _, _ in arrows(known)]) == ["alpha/one.py", "beta/two.py"]
    assert against_the_arrow([("_core/lines.py", "_os/port.py", LATE, 1)], (TOP, LATE)) != []


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
                assert room in ("_os:face", "_abi") or room.startswith("_os"), path


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
        functions = [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
        nested = {inner for outer in functions for inner in ast.walk(outer) if inner is not outer}
        for node in ast.walk(tree):
            if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and node not in protocols:
                public = not node.name.startswith("_") and not refusing and room_of(path) != "_abi"
                assert not public or node in nested or ast.get_docstring(node), (path.name, node.name)


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
    # What ctypes itself needs is its own affair: Python 3.14's imports sysconfig, and with it threading.
    needed = subprocess.run(
        [sys.executable, "-I", "-S", "-c", "import sys, ctypes; print(*sys.modules)"], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not slow & set(loaded) - set(needed)


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


def test_no_global_is_annotated_behind_the_function_that_sets_it():
    """PyPy refuses that: "annotated name can't be global"."""
    late = []
    for path in sorted(ROOT.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        annotated = {
            node.target.id: node.lineno
            for node in tree.body
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Global):
                late += [f"{path.name}:{annotated[name]}" for name in node.names if annotated.get(name, 0) > node.lineno]
    assert late == []

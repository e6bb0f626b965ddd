"""Every command and snippet of the README runs."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
COMMANDS = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
ENV = {**os.environ, "PYTHONPATH": str(ROOT)}


def test_there_are_two_commands_and_no_more():
    assert [command.strip() for command in COMMANDS] == [
        "python -m processkit run -- git --version",
        "python -m pytest -q tests",
    ]


def test_the_first_command_does_the_main_job():
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    words = COMMANDS[0].split()
    done = subprocess.run([sys.executable, *words[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("git version")


def test_the_second_command_finds_these_tests():
    words = COMMANDS[1].split()
    done = subprocess.run(
        [sys.executable, *words[1:], "--collect-only", "-p", "no:cacheprovider"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "test_readme.py" in done.stdout


@pytest.mark.parametrize("number", range(len(SNIPPETS)))
def test_each_snippet_runs_as_it_stands(number):
    for program in re.findall(r'(?:Command\(|run\(\[)"(\w+)"', SNIPPETS[number]):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SNIPPETS[number]], env=ENV, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout


def test_bytecode_that_is_compiled_beside_a_copy_is_used(tmp_path):
    compiling = "python -m compileall -q processkit"
    assert f"`{compiling}`" in TEXT
    shutil.copytree(
        ROOT / "processkit", tmp_path / "processkit", ignore=shutil.ignore_patterns("__pycache__"), copy_function=shutil.copyfile
    )
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    env.pop("PYTHONPYCACHEPREFIX", None)
    subprocess.run([sys.executable, *compiling.split()[1:]], cwd=tmp_path, env=env, check=True)
    told = [sys.executable, "-c", "import processkit; print(processkit.__cached__)"]
    assert pathlib.Path(
        subprocess.run(told, cwd=tmp_path, env=env, capture_output=True, text=True, check=True).stdout.strip()
    ).exists()


@pytest.mark.parametrize("command", ["doctor", "doctor --json", "run --help"])
def test_the_commands_of_the_tables_exist(command):
    done = subprocess.run(
        [sys.executable, "-m", "processkit", *command.split()], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 1), done.stderr
    assert done.stderr == ""


def test_the_builders_and_verbs_that_it_names_exist():
    from processkit import Command, RunningProcess

    row = re.search(r"each builder \((.*?)…\)", TEXT, re.DOTALL).group(1)
    for name in re.findall(r"`(\w+)`", row):
        assert callable(getattr(Command, name)), name
    for line in re.findall(r"^\| (`[a-z_`, ]+`) \|", TEXT, re.MULTILINE):
        for name in re.findall(r"`(\w+)`", line):
            if name in ("cgroup_v2", "process_group"):
                continue
            of_a_command = hasattr(Command, name)
            assert callable(getattr(Command if of_a_command else RunningProcess, name)), name
            if of_a_command and name != "start":
                assert callable(getattr(Command, "a" + name)), name

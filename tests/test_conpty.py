"""Consoles for children on Windows: api.md §13. They need a caller with a console, so a program of its own plays the caller."""

import json
import os
import subprocess
import sys

import pytest
from programs import POSIX

pytestmark = pytest.mark.skipif(POSIX, reason="this is about the consoles of Windows")

CALLER = r"""
import ctypes, json, sys
kernel = ctypes.WinDLL("kernel32")
kernel.FreeConsole()
for number in (-10, -11, -12):
    kernel.SetStdHandle(ctypes.c_uint32(number & 0xFFFFFFFF), None)
said = {"console": bool(kernel.AllocConsole())}
sys.path.insert(0, sys.argv[2])
import processkit._os.windows.spawn as spawn
# Where nobody shows the console that was just made, its handles are not known as such; they are, all the same.
spawn.is_console = lambda handle: True
from processkit import Command

def py(script):
    return Command(sys.executable, ["-c", script]).pty(cols=90, rows=20).timeout(60).sanitize_vt()

def tell(name, act):
    try:
        said[name] = act()
    except Exception as error:
        said[name] = f"{type(error).__name__}: {error}"

def shown(command):
    result = command.output()
    return [result.code, result.stdout, result.stderr]

def conversation():
    with py("while True: print('<' + input() + '>', flush=True)").keep_stdin_open().start() as process:
        with process.stdin_writer("utf-8") as stdin:
            print("one", file=stdin)
            return process.wait_for_line("<one>", timeout=60).count("<one>")

if said["console"]:
    tell("where", lambda: shown(py("import os, sys; print(sys.stdout.isatty(), sys.stdin.isatty(), tuple(os.get_terminal_size()))")))
    tell("typed", lambda: shown(py("print('got', input())").stdin_text("hello\n")))
    tell("ended", lambda: shown(py("import sys; print('got', repr(sys.stdin.read()))")))
    tell("code", lambda: shown(py("import sys; print('x' * 3); sys.exit(7)")))
    tell("conversation", conversation)
with open(sys.argv[1], "w") as file:
    json.dump(said, file)
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """What the caller saw."""
    path = tmp_path_factory.mktemp("console") / "said"
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    subprocess.run([sys.executable, "-c", CALLER, str(path), root], check=True, timeout=300)
    found = json.loads(path.read_text())
    if not found.pop("console"):
        pytest.skip("no console can be had here")
    return found


def unspaced(text):
    """A console may skip blanks by moving its cursor, and what moves it is no text."""
    return text.replace(" ", "")


def test_its_streams_are_a_console_of_the_size_that_was_asked_for(said):
    code, out, err = said["where"]
    assert (code, err) == (0, "")
    assert "TrueTrue(90,20)" in unspaced(out)


def test_what_is_typed_is_read(said):
    assert said["typed"][0] == 0
    assert "gothello" in unspaced(said["typed"][1])


def test_without_a_source_its_input_ends_at_once(said):
    assert said["ended"][0] == 0
    assert "got''" in unspaced(said["ended"][1])


def test_its_code_and_its_last_words_are_told(said):
    assert said["code"][0] == 7
    assert "xxx" in said["code"][1]


def test_a_conversation(said):
    assert said["conversation"] == 1

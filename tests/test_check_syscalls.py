"""tools/check_syscalls.py: it passes what is right, and names the line of everything that is planted wrong."""

from __future__ import annotations

import importlib.util
import os
import re
import runpy
import shutil
import subprocess
import sys
from typing import NamedTuple

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ABI = os.path.join(ROOT, "processkit", "_abi")
TOOL = os.path.join(ROOT, "tools", "check_syscalls.py")
HAS_ZIG = bool(importlib.util.find_spec("ziglang") or os.environ.get("PROCESSKIT_ZIG_PYTHON"))

needs_cc = pytest.mark.skipif(
    shutil.which("cc") is None or not sys.platform.startswith("linux"), reason="no `cc` with Linux headers here"
)
needs_zig = pytest.mark.skipif(not HAS_ZIG, reason="no ziglang here, nor a PROCESSKIT_ZIG_PYTHON")


class Ran(NamedTuple):
    status: int
    output: str


def check(*arguments: str, environment: dict[str, str] | None = None) -> Ran:
    done = subprocess.run(
        [sys.executable, TOOL, *arguments],
        cwd=os.path.dirname(ROOT),
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert not done.stderr, done.stderr
    return Ran(done.returncode, done.stdout)


class Planted:
    """A copy of the declarations to spoil."""

    def __init__(self, directory: str) -> None:
        self.directory = directory

    def path(self, module: str) -> str:
        return os.path.join(self.directory, module)

    def text(self, module: str) -> str:
        with open(self.path(module), encoding="utf-8") as file:
            return file.read()

    def spoil(self, module: str, pattern: str, replacement: str) -> int:
        """Replace the one match of `pattern`, and return the line it starts on."""
        text = self.text(module)
        (match,) = re.finditer(pattern, text, re.MULTILINE)
        with open(self.path(module), "w", encoding="utf-8") as file:
            file.write(text[: match.start()] + match.expand(replacement) + text[match.end() :])
        return text.count("\n", 0, match.start()) + 1

    def caught(self, module: str, line: int, name: str, *words: str, target: str = "native") -> None:
        """The tool fails and says so of this line and name, with all the words."""
        ran = check("--target", target, "--abi", self.directory)
        said = [text for text in ran.output.splitlines() if text.startswith(f"{self.path(module)}:{line}: {name}: ")]
        assert ran.status == 1, ran.output
        assert any(all(word in text for word in words) for text in said), ran.output


@pytest.fixture
def planted(tmp_path):
    directory = str(tmp_path / "_abi")
    shutil.copytree(ABI, directory, ignore=shutil.ignore_patterns("__pycache__"))
    return Planted(directory)


@needs_cc
def test_the_declarations_are_what_this_machines_headers_say():
    ran = check("--target", "native")
    assert ran.status == 0, ran.output
    assert re.search(r"^native: \d+ constants, \d+ structures, \d+ prototypes, \d+ types, \d+ system calls", ran.output)
    assert ran.output.endswith("\n")


@needs_zig
def test_the_declarations_are_what_the_headers_of_64_and_32_bit_targets_say():
    targets = ("x86_64-linux-gnu", "aarch64-linux-musl", "s390x-linux-gnu", "x86-linux-gnu", "arm-linux-gnueabihf")
    ran = check("--require-all", *(word for target in targets for word in ("--target", target)))
    assert ran.status == 0, ran.output
    assert "5 of 5 targets" in ran.output
    assert "not in its headers" not in ran.output


@needs_cc
@pytest.mark.parametrize(
    ("name", "pattern", "replacement", "declared", "actual"),
    [
        ("PROT_EXEC", r"^PROT_EXEC = 0x4", "PROT_EXEC = 0x8", "declared 8 (0x8)", "says 4 (0x4)"),
        ("PRIO_PROCESS", r"^PRIO_PROCESS = 0", "PRIO_PROCESS = -1", "declared -1", "says 0"),
        ("CLONE_CLEAR_SIGHAND", r"^(CLONE_CLEAR_SIGHAND = 0x1)0(0+)", r"\1\2", "declared 268435456", "says 4294967296"),
        ("KERNEL_SIGSET_BYTES", r"^KERNEL_SIGSET_BYTES = 8", "KERNEL_SIGSET_BYTES = 128", "declared 128", "says 8"),
        ("KERNEL_SIGACTION_BYTES", r"^KERNEL_SIGACTION_BYTES = 32", "KERNEL_SIGACTION_BYTES = 16", "declared 16", "says"),
    ],
)
def test_a_wrong_constant_is_caught(planted, name, pattern, replacement, declared, actual):
    planted.caught("linux.py", planted.spoil("linux.py", pattern, replacement), name, declared, actual)


@needs_cc
def test_a_constant_in_the_wrong_base_is_caught(planted):
    line = planted.spoil("signals.py", r"^SIGXFSZ = 25", "SIGXFSZ = 0o25")
    planted.caught("signals.py", line, "SIGXFSZ", "declared 21 (0x15)", "says 25 (0x19)")


@needs_cc
def test_a_field_of_the_wrong_size_is_caught(planted):
    line = planted.spoil("linux.py", r'\("tls", ctypes.c_uint64\)', '("tls", ctypes.c_uint32)')
    planted.caught("linux.py", line, "clone_args.tls", "declared size 4", "says size 8")


@needs_cc
def test_a_field_of_the_wrong_sign_is_caught(planted):
    line = planted.spoil("linux.py", r'\("exit_signal", ctypes.c_uint64\)', '("exit_signal", ctypes.c_int64)')
    planted.caught("linux.py", line, "clone_args.exit_signal", "declared signed", "says unsigned")


@needs_cc
def test_swapped_fields_are_caught(planted):
    line = planted.spoil("linux.py", r'(\("rlim_cur", .*\)), (\("rlim_max", .*?\))(?=])', r"\2, \1")
    planted.caught("linux.py", line, "rlimit64.rlim_cur", "declared offset 8", "says offset 0")


@needs_cc
def test_a_missing_field_is_caught_at_the_field_behind_it(planted):
    line = planted.spoil("linux.py", r'^ *\("pidfd", ctypes.c_uint64\),\n', "")
    planted.caught("linux.py", line, "clone_args.child_tid", "declared offset 8", "says offset 16")


@needs_cc
def test_a_missing_last_field_is_caught_where_no_version_of_the_kernel_ends(planted):
    planted.spoil("linux.py", r'^ *\("set_tid_size", ctypes.c_uint64\),\n *\("cgroup", ctypes.c_uint64\),\n', "")
    line = planted.text("linux.py").split("class clone_args")[0].count("\n") + 1
    planted.caught("linux.py", line, "clone_args", "declared size 72", "says size 88")


@needs_cc
def test_a_parameter_of_the_wrong_type_is_caught(planted):
    line = planted.spoil("linux.py", r"^def mprotect\(addr: void_p, length: size_t", "def mprotect(addr: void_p, length: c_int")
    planted.caught("linux.py", line, "mprotect", "declared int (void *, int, int)", "says int (void *, size_t,")


@needs_cc
@pytest.mark.parametrize(
    ("name", "pattern"), [("mprotect", r"^(def mprotect.* -> )c_int"), ("syscall", r"^(def syscall\(.*\) -> )c_long")]
)
def test_a_wrong_result_type_is_caught(planted, name, pattern):
    line = planted.spoil("linux.py", pattern, r"\1void_p")
    planted.caught("linux.py", line, name, "declared void * (")


@needs_cc
@pytest.mark.parametrize("decorator", ["@libc.prototype()", "@libc.prototype", "@libc.prototype(variadic=False)"])
def test_a_prototype_without_a_rule_for_its_failure_is_caught(planted, decorator):
    line = planted.spoil("linux.py", r"^@libc.prototype\(fails=minus_one\)(?=\ndef mprotect)", decorator) + 1
    planted.caught("linux.py", line, "mprotect", "fails=")


@needs_cc
def test_a_type_that_is_not_what_c_calls_so_is_caught_in_the_module_that_defines_it(planted):
    line = planted.spoil("foreign.py", r"^c_int = ctypes.c_int", "c_int = ctypes.c_uint")
    planted.caught("foreign.py", line, "c_int", "declared unsigned", "says signed")


@needs_cc
def test_a_wrong_system_call_number_is_caught(planted):
    line = planted.spoil("syscalls.py", r'"execve": .*', f'"execve": ({", ".join(["9999"] * 8)}),')
    planted.caught("syscalls.py", line, "execve", "declared 9999")


@needs_cc
def test_a_none_for_a_call_that_exists_is_caught(planted):
    line = planted.spoil("syscalls.py", r'"chdir": .*', f'"chdir": ({", ".join(["None"] * 8)}),')
    planted.caught("syscalls.py", line, "chdir", "declared None", "says")


@needs_cc
def test_a_row_of_the_wrong_length_is_caught(planted):
    line = planted.spoil("syscalls.py", r'("kill": .*), 37\)', r"\1)")
    planted.caught("syscalls.py", line, "kill", "7 numbers for 8 architectures")


@needs_cc
def test_a_declaration_without_a_header_above_it_is_caught(planted):
    line = planted.spoil("linux.py", r"^(libc = Library.*)", r"FIRST = 1; \1")
    planted.caught("linux.py", line, "FIRST", "no comment above")


@needs_cc
@pytest.mark.parametrize("statement", ["ODD = int('3')", "ODD: int = len('x')"])
def test_a_declaration_that_cannot_be_read_is_caught_rather_than_passed_over(planted, statement):
    line = planted.spoil("linux.py", r"^F_SETFD = 2", statement)
    planted.caught("linux.py", line, "ODD", "nothing checks it")


@needs_cc
def test_a_module_that_the_tool_does_not_know_is_caught(planted):
    shutil.copy(planted.path("linux.py"), planted.path("plan9.py"))
    planted.caught("plan9.py", 1, "plan9.py", "nothing checks it")


@pytest.mark.parametrize(
    ("architecture", "right", "wrong"), [("x86_64", '"f30f1efa', '"f30f1efb'), ("aarch64", '"5f2403d5', '"5f2403d4')]
)
def test_a_flipped_byte_of_the_machine_code_is_caught(planted, architecture, right, wrong):
    native = shutil.which("cc") and sys.platform == "linux" and os.uname().machine == architecture
    if not native and not HAS_ZIG:
        pytest.skip(f"nothing here assembles for {architecture}")
    planted.spoil("machine_code.py", right, wrong)
    line = planted.text("machine_code.py").split(f'    "{architecture}": bytes')[0].count("\n") + 1
    target = "native" if native else f"{architecture}-linux-gnu"
    planted.caught("machine_code.py", line, architecture, "at byte 3", target=target)


@pytest.mark.parametrize(
    ("architecture", "instructions"),
    [
        (
            "x86_64",
            ["%rax, {RESULT}(%rbx)", "cmp {LOWEST}(%rbx)", "cmp {HIGHEST}(%rbx)", "mov {OTHERWISE}(%rbx)", "add ${WORDS},"],
        ),
        (
            "aarch64",
            ["str x0, [x19, #{RESULT}]", "ldp x1, x2, [x19, #{LOWEST}]", "ldr x19, [x19, #{OTHERWISE}]", "x19, #{WORDS}"],
        ),
    ],
)
def test_the_machine_code_keeps_to_the_layout_of_a_record(architecture, instructions):
    values = runpy.run_path(os.path.join(ABI, "machine_code.py"))
    offsets = {word: 8 * values[word] for word in ("RESULT", "LOWEST", "HIGHEST", "OTHERWISE", "WORDS")}
    source = " ".join(values["SOURCES"][architecture].split())
    assert [text for text in instructions if text.format(**offsets) not in source] == []
    assert offsets["HIGHEST"] == offsets["LOWEST"] + 8  # aarch64 loads both with one `ldp`
    assert offsets["WORDS"] == values["RECORD_BYTES"]


@needs_zig
@pytest.mark.parametrize(
    ("name", "pattern", "replacement", "words"),
    [
        ("PIDFD_GET_INFO", "0xC058FF0B", "0xC050FF0B", ["declared 3226533643", "says 3227057931"]),
        ("PIDFD_NONE", r"^PIDFD_INFO_EXIT = 8", "PIDFD_NONE = 8", ["no such thing"]),
        ("pidfd_info.exit_code", r'\("exit_code", ctypes.c_int32\)', '("exit_code", ctypes.c_uint32)', ["says signed"]),
        ("<linux/none.h>", r"^# <linux/pidfd.h>", "# <linux/none.h>", ["no such thing"]),
    ],
)
def test_a_mistake_where_this_machines_headers_are_too_old_is_caught_by_another_target(
    planted, name, pattern, replacement, words
):
    line = planted.spoil("linux.py", pattern, replacement)
    planted.caught("linux.py", line, name, *words, target="x86-linux-gnu")


def test_a_target_without_a_compiler_is_skipped_aloud_and_refused_when_all_are_required(tmp_path):
    broken = {"PATH": str(tmp_path)}
    for extra in ((), ("--require-all",)):
        ran = check("--target", "native", *extra, environment=broken)
        assert ran.status == 1, ran.output
        assert "native: skipped: no `cc`" in ran.output
        assert "0 of 1 targets" in ran.output


def test_the_list_names_every_target():
    targets = check("--list").output.split()
    assert {"native", "x86_64-linux-gnu", "powerpc64le-linux-musl", "x86-linux-gnu", "arm-linux-gnueabihf"} <= set(targets)
    assert len(targets) == len(set(targets))

"""Compares every declaration of `processkit/_abi` with the C headers themselves, by compiling.

    python tools/check_syscalls.py [--target T ...] [--list] [--require-all] [--abi DIR]

Declarations belong to the header that the comment line above them names (`# <linux/prctl.h>`), and each header's block becomes
one C unit of assertions. A unit that compiles is right. Of one that does not every check is compiled alone, and what the header
says instead is read out of an object file, so that no compiler's wording decides anything. Structures are compared with a mirror
of the C types that the ctypes fields stand for: a layout computed on this machine is not the layout of another.

The compilers are `cc` with this machine's headers (target `native`; what these are too old to know is skipped aloud) and `zig cc`
with the headers of every target: PyPI's `ziglang`, in the interpreter that runs this file or that PROCESSKIT_ZIG_PYTHON names.
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import itertools
import os
import re
import runpy
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from pathlib import Path
from typing import Callable, Iterable, Iterator, NamedTuple

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
NATIVE = "native"
MACHINES = ("x86_64", "aarch64", "riscv64", "powerpc64le", "s390x", "loongarch64", "x86", "arm")
LINUX = tuple(f"{name}-linux-{libc}{'eabihf' * (name == 'arm')}" for libc in ("gnu", "musl") for name in MACHINES)
# What zig and gcc call a machine, where the columns of `syscalls.py` call it otherwise.
COLUMNS = {"powerpc64le": "ppc64le", "x86": "i386", "i486": "i386", "i586": "i386", "i686": "i386", "arm": "armhf"}
# Structures that the kernel lengthens from release to release, with the prefix of the macros that hold their published
# sizes: ours may be shorter than the header's, but only by whole versions.
EXTENSIBLE = {"clone_args": "CLONE_ARGS", "pidfd_info": "PIDFD_INFO"}
# An ioctl number carries the size of its structure: the declared number means the declared layout, not the header's.
SIZED = {"PIDFD_GET_INFO": "pidfd_info"}
CODE, STATUS = "offsetof(siginfo_t, si_code) / sizeof(int)", "offsetof(siginfo_t, si_status) / sizeof(int)"
# Names that no header defines, and how they are held all the same: a header, the condition on `{value}`, what to report.
OWN_NAMES = {
    # `sigsetsize`. The kernel's sigset_t is on 32 bits still the one before the rt_ calls; libc's number of signals holds everywhere.
    "KERNEL_SIGSET_BYTES": (
        ("asm/signal.h", "sizeof(long) == 4 || sizeof(sigset_t) == {value}", "sizeof(sigset_t)"),
        ("signal.h", "_NSIG / 8 == {value}", "_NSIG / 8"),
    ),
    # An upper bound: memory that rt_sigaction(2) may read. The 32-bit headers show only the smaller struct before the rt_ call.
    "KERNEL_SIGACTION_BYTES": (("asm/signal.h", "sizeof(struct sigaction) <= {value}", "sizeof(struct sigaction)"),),
    "SIGINFO_CODE_AT": (("signal.h", f"{CODE} == {{value}}", CODE),),
    **{f"SIGINFO_STATUS_AT_{8 * n}": (("signal.h", f"sizeof(long) != {n} || {STATUS} == {{value}}", STATUS),) for n in (4, 8)},
}

# What the types of ctypes are in C, and whether they have a sign to get wrong.
OPAQUE = {"char": "char", "wchar": "wchar_t", "bool": "_Bool", "void_p": "void *", "char_p": "char *", "wchar_p": "wchar_t *"}
CTYPES = {
    **{f"c_{sign}int{bits}": (f"{sign}int{bits}_t", True) for sign in ("", "u") for bits in (8, 16, 32, 64)},
    **{f"c_{name}": (name, True) for name in ("short", "int", "long", "size_t", "ssize_t")},
    **{f"c_u{name}": (f"unsigned {name}", True) for name in ("short", "int", "long")},
    **{f"c_{sign}longlong": (f"{sign and 'unsigned '}long long", True) for sign in ("", "u")},
    **{f"c_{name}": (c_type, False) for name, c_type in OPAQUE.items()},
}

KINDS = ("constant", "structure", "prototype", "type", "system call", "machine code")
MARK = "processkit probe:"
output_of = partial(subprocess.run, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


class Mistake(NamedTuple):
    """A wrong line; `{}` in the text stands for the targets that say so."""

    path: str
    line: int
    name: str
    text: str


class Result(NamedTuple):
    """What one job looked at, as (kind, name); what is wrong in it; and what this machine's headers are too old for."""

    checked: frozenset[tuple[str, str]] = frozenset()
    mistakes: tuple[Mistake, ...] = ()
    lacking: tuple[str, ...] = ()


class Need(NamedTuple):
    """What must compile before a check can mean anything; `newer`: an old header may rightly lack it."""

    name: str
    text: str
    newer: bool = True


class Check(NamedTuple):
    """One C assertion on one declaration, with the expressions for what is declared and what the header has."""

    line: int
    kind: str
    name: str
    assertion: str
    form: str
    declared: str
    actual: str
    needs: tuple[Need, ...] = ()

    @property
    def subject(self) -> tuple[str, str]:
        return self.kind, self.name.partition(".")[0]


class Unit(NamedTuple):
    """The checks that are compiled together: those of one header. `line` is where the module names it."""

    path: str
    line: int
    header: str
    preamble: str
    checks: tuple[Check, ...]


class Rules(NamedTuple):
    """What is particular to one module: where it holds, who reads it, and what its units need before the header."""

    system: str
    targets: tuple[str, ...]
    jobs: Callable[[str, Rules, Compiler], Iterator[Callable[[], Result]]]
    preamble: str = ""
    types_header: str = "sys/types.h"
    types: tuple[tuple[str, str], ...] = ()
    convention: str = ""
    undeclared: tuple[str, ...] = ()  # exported, but in no header that there is: one that has it after all is a mistake


class Compiler:
    """One C compiler for one target. With `old`, its headers may lack what is newer than they are."""

    def __init__(self, target: str, command: list[str], triple: str, directory: str, *, old: bool) -> None:
        self.target = target
        self.triple = triple
        self.old = old
        self.column = column_of(triple)
        self._command = command
        self._directory = directory
        self._numbers = itertools.count()
        self.compiles = lru_cache(maxsize=None)(lambda text: self.run(text)[0] is not None)

    def run(self, text: str, suffix: str = ".c") -> tuple[bytes | None, str]:
        """The object file that `text` compiles to, or None; and the compiler's messages."""
        stem = os.path.join(self._directory, f"{self.target}-{next(self._numbers)}")
        Path(stem + suffix).write_text(text, encoding="utf-8")
        options = ["-std=gnu11", "-Werror=incompatible-pointer-types"] if suffix == ".c" else []
        command = [*self._command, *options, "-c", stem + suffix, "-o", stem + ".o"]
        environment = {**os.environ, "LC_ALL": "C", "ZIG_LOCAL_CACHE_DIR": self._directory}
        done = output_of(command, cwd=self._directory, env=environment, errors="replace", timeout=300)
        return None if done.returncode else Path(stem + ".o").read_bytes(), done.stderr

    def value(self, preamble: str, expression: str) -> int | None:
        """What the constant expression is on the target, or None if it is no constant there."""
        nibbles = ", ".join(f"'A' + (int)((unsigned long long)({expression}) >> {shift} & 15)" for shift in range(60, -4, -4))
        letters = f"\"{MARK}\", {{ {nibbles}, ({expression}) < 0 ? '-' : '+' }}"
        content, _ = self.run(f"{preamble}const struct {{ char mark[{len(MARK)}], letters[17]; }} probe = {{ {letters} }};\n")
        if content is None:
            return None
        *digits, sign = content.partition(MARK.encode())[2][:17]
        bits = int("".join(f"{digit - ord('A'):x}" for digit in digits), 16)
        return bits - (1 << 64) if sign == ord("-") else bits


class Module:
    """The declarations of one module as checks, by header; what cannot be read is a mistake, never passed over."""

    def __init__(self, path: str, rules: Rules) -> None:
        self.path = path
        self.rules = rules
        self.mistakes: list[Mistake] = []
        self._foreign = os.path.join(os.path.dirname(path), "foreign.py")
        self._imported: dict[str, ast.expr] = {}
        self._aliases: dict[str, str] = {}
        self._numbers: dict[str, int] = {}
        self._structures: dict[str, str] = {}
        self._mirrors: list[str] = []
        self._checks: dict[str, list[Check]] = defaultdict(list)
        source = Path(path).read_text(encoding="utf-8")
        self._headers = headers_of(source)
        for statement in ast.parse(source).body:
            if "TYPE_CHECKING" not in ast.dump(statement):
                self._read(statement)

    def units(self) -> Iterator[Unit]:
        """One unit a header, and one for the types imported from `foreign.py`."""
        include = f"{self.rules.preamble}#include <stddef.h>\n#include <stdint.h>\n#include <HEADER>\n"
        lines, mirrors = {header: line for line, header in reversed(self._headers)}, "".join(self._mirrors)
        for header, checks in self._checks.items():
            yield Unit(self.path, lines.get(header, 1), header, include.replace("HEADER", header) + mirrors, tuple(checks))
        header = self.rules.types_header
        types = (check for name, value in self._imported.items() for check in self._type_checks(value, name))
        yield Unit(self._foreign, 1, header, include.replace("HEADER", header), tuple(types))

    def _wrong(self, line: int, name: str, text: str) -> None:
        self.mistakes.append(Mistake(self.path, line, name, text))

    def _add(self, line: int, name: str, checks: Iterable[Check]) -> None:
        above = [header for at, header in self._headers if at < line]
        if above:
            self._checks[above[-1]].extend(checks)
        else:
            self._wrong(line, name, "declared, but no comment above names its header")

    def _read(self, node: ast.stmt) -> None:
        if isinstance(node, ast.ImportFrom) and node.module == "foreign":
            values = named_values(Path(self._foreign).read_text(encoding="utf-8"))
            names = (name.name for name in node.names)
            self._imported.update((name, values[name]) for name in names if ctypes_name(values.get(name)))
            self._aliases.update((name, ctypes_name(value)) for name, value in self._imported.items())
        elif isinstance(node, ast.ClassDef):
            self._aliases.setdefault(node.name, "")
            self._structure(node)
        elif isinstance(node, ast.FunctionDef):
            self._function(node)
        elif named(node):
            self._assignment(node.lineno, *named(node))
        elif not isinstance(node, (ast.Import, ast.ImportFrom, ast.Expr)):
            self._wrong(node.lineno, type(node).__name__, "this tool cannot read it, so nothing checks it")

    def _assignment(self, line: int, name: str, value: ast.expr) -> None:
        if (number := integer(value, self._numbers)) is not None:
            self._numbers[name] = number
            self._constant(line, name, number)
        elif ctypes_name(value):
            self._aliases[name] = ctypes_name(value)
            self._add(line, name, self._type_checks(value, name))
        elif not (isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "Library"):
            self._wrong(line, name, "this tool cannot read its value, so nothing checks it")

    def _constant(self, line: int, name: str, number: int) -> None:
        literal, row = f"(-{-number}LL)" if number < 0 else f"{number}ULL", partial(Check, line, "constant", name)
        for header, condition, expression in OWN_NAMES.get(name, ()):
            self._checks[header].append(row(static_assert(condition.format(value=literal)), "value", literal, expression))
        ours, theirs = (f"(sizeof(struct {kind}{SIZED.get(name)}) << 16)" for kind in ("mirror_", ""))
        actual = f"({name} - {theirs} + {ours})" if name in SIZED else name
        condition = f"(unsigned long long)({actual}) == (unsigned long long){literal} && (({actual}) < 0) == {int(number < 0)}"
        if name not in OWN_NAMES:
            need = Need(name, f"__typeof__({name}) need;")
            self._add(line, name, [row(static_assert(condition), "value", literal, actual, (need,))])

    def _type_checks(self, value: ast.expr, name: str) -> Iterator[Check]:
        theirs, (ours, signed) = self._c_type(name), CTYPES[ctypes_name(value)]
        row = partial(Check, value.lineno, "type", name, needs=(Need(name, f"{theirs} need;"),))
        yield row(*same("size", f"sizeof({ours})", f"sizeof({theirs})"))
        if signed:
            yield row(*same("sign", f"({ours})-1 < 0", f"({theirs})-1 < 0"))

    def _c_type(self, name: str) -> str:
        spelled = re.sub(r"^(const_)?(.+)_p$", lambda match: f"{'const ' if match[1] else ''}{match[2]} *", name)
        return dict(self.rules.types).get(name) or CTYPES.get(name, (spelled,))[0]

    def _function(self, node: ast.FunctionDef) -> None:
        calls = [(call, getattr(call, "func", call)) for call in node.decorator_list]
        call = next((call for call, function in calls if getattr(function, "attr", "") == "prototype"), None)
        if call is None:
            return
        rules = {word.arg: word.value for word in getattr(call, "keywords", ())}
        if not isinstance(rules.get("fails"), (ast.Name, ast.Attribute)):
            self._wrong(node.lineno, node.name, "declared without a rule for its failure (fails=)")
        annotations = [node.returns, *(argument.annotation for argument in ast.walk(node.args) if isinstance(argument, ast.arg))]
        names = ["void" if getattr(a, "value", a) is None and a else getattr(a, "id", "of an expression") for a in annotations]
        for unknown in [name for name in names if name not in self._aliases and name != "void"]:
            self._wrong(node.lineno, node.name, f"declared with the type {unknown}, which nothing declares")
        make = partial(prototype_check, convention=self.rules.convention, variadic="variadic" in rules)
        if node.name in self.rules.undeclared:
            make = lambda line, name, *_: Check(line, "prototype", name, f"extern int {name};", "value", "0", "0")  # noqa: E731
        self._add(node.lineno, node.name, [make(node.lineno, node.name, *map(self._c_type, names))])

    def _structure(self, node: ast.ClassDef) -> None:
        body = dict(filter(None, map(named, node.body)))
        c_name = re.match(r"(?:(?:struct|union) )?\w+", ast.get_docstring(node) or "")
        keyword = {"Structure": "struct", "Union": "union"}.get(getattr(node.bases[0], "attr", "") if node.bases else "")
        rows = getattr(body.pop("_fields_", None), "elts", [])
        pack = integer(body.pop("_pack_", None), self._numbers)
        if body or not (c_name and keyword and rows and all(len(row.elts) == 2 for row in rows)):
            self._wrong(node.lineno, node.name, "this tool cannot read the structure, so nothing checks it")
            return
        mirror, fields, checks = f"{keyword} mirror_{node.name}", [], []
        for row in rows:
            name, (base, bounds, signed) = row.elts[0].value, self._field_type(row.elts[1])
            if not base:
                self._wrong(row.lineno, f"{node.name}.{name}", "this tool cannot read its type, so nothing checks it")
                return
            fields.append(f" {base} m_{name}{bounds};")
            checks += field_checks(row.lineno, node.name, name, c_name[0], mirror, signed=signed)
        text = f"{mirror} {{{''.join(fields)} }};\n"
        self._mirrors.append(f"#pragma pack(push, {pack})\n{text}#pragma pack(pop)\n" if pack else text)
        self._structures[node.name] = mirror
        self._add(node.lineno, node.name, [*size_checks(node.lineno, node.name, c_name[0], mirror), *checks])

    def _field_type(self, node: ast.expr) -> tuple[str, str, bool]:
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
            base, bounds, _ = self._field_type(node.left)
            count = integer(node.right, self._numbers)
            return base if count is not None else "", f"[{count}]{bounds}", False
        if isinstance(node, ast.Name) and node.id in self._structures:
            return self._structures[node.id], "", False
        base, signed = CTYPES.get(self._aliases.get(getattr(node, "id", ""), ctypes_name(node)), ("", False))
        return base, "", signed


def column_of(triple: str) -> str:
    """What `syscalls.py` calls the machine of a target."""
    machine = triple.partition("-")[0]
    return COLUMNS.get(machine, machine)


def headers_of(source: str) -> list[tuple[int, str]]:
    """The lines that name a header for what follows them, with the header."""
    matches = ((line, re.match(r"# <([^<>\s]+)>", text)) for line, text in enumerate(source.splitlines(), 1))
    return [(line, match[1]) for line, match in matches if match]


def named(node: ast.stmt) -> tuple[str, ast.expr] | None:
    """The one name that an assignment sets, with its expression."""
    target = node.targets[0] if isinstance(node, ast.Assign) else node.target if isinstance(node, ast.AnnAssign) else None
    return (target.id, node.value) if isinstance(target, ast.Name) else None  # type: ignore[attr-defined]


def named_values(source: str) -> dict[str, ast.expr]:
    """The expressions that a module's names are set to."""
    return dict(filter(None, map(named, ast.parse(source).body)))


def ctypes_name(node: ast.expr | None) -> str:
    """`c_int` for the expression `ctypes.c_int`, and nothing for any other."""
    text = ast.unparse(node) if node else ""
    return text[7:] if text.startswith("ctypes.") and text[7:] in CTYPES else ""


def integer(node: ast.expr | None, known: dict[str, int]) -> int | None:
    """The value of an integer expression over literals and `known` names; None if it is no such thing."""
    try:
        value = eval(compile(ast.Expression(node), "", "eval"), {"__builtins__": {}}, known)  # type: ignore[arg-type]
    except (AttributeError, NameError, TypeError, ValueError):
        return None
    return value if type(value) is int and not any(isinstance(part, ast.Call) for part in ast.walk(node)) else None


def static_assert(condition: str) -> str:
    """A declaration that compiles only if `condition` holds."""
    return f'_Static_assert({condition}, "");'


def same(form: str, declared: str, actual: str) -> tuple[str, str, str, str]:
    """The fields of a check that two expressions are equal."""
    return static_assert(f"({declared}) == ({actual})"), form, declared, actual


def field_checks(line: int, owner: str, name: str, real: str, mirror: str, *, signed: bool) -> Iterator[Check]:
    """That a field lies where the header puts it, is as long, and has the same sign."""
    ours, theirs = f"(({mirror} *)0)->m_{name}", f"(({real} *)0)->{name}"
    needs = (
        Need(owner, f"char need[sizeof({real})];"),
        Need(f"{owner}.{name}", f"char need[sizeof({theirs})];", newer=owner in EXTENSIBLE),
    )
    row = partial(Check, line, "structure", f"{owner}.{name}", needs=needs)
    yield row(*same("offset", f"offsetof({mirror}, m_{name})", f"offsetof({real}, {name})"))
    yield row(*same("size", f"sizeof({ours})", f"sizeof({theirs})"))
    if signed:
        number = f"__builtin_choose_expr(__builtin_classify_type({theirs}) == 1, {theirs}, {ours})"  # a union has no sign
        yield row(*same("sign", f"(__typeof__({ours}))-1 < 0", f"(__typeof__({number}))-1 < 0"))


def size_checks(line: int, name: str, real: str, mirror: str) -> Iterator[Check]:
    """That a structure is as long as the header's; an extensible one may be as long as an older version of it."""
    exists = Need(name, f"char need[sizeof({real})];")
    row = partial(Check, line, "structure", name)
    if name not in EXTENSIBLE:
        yield row(*same("size", f"sizeof({mirror})", f"sizeof({real})"), (exists,))
        return
    shorter = Need(f"{name} of this length", static_assert(f"sizeof({mirror}) <= sizeof({real})"))
    sizes = [f"{EXTENSIBLE[name]}_SIZE_VER{version}" for version in range(16)]
    versions = "".join(f"#ifdef {size}\n|| sizeof({mirror}) == {size}\n#endif\n" for size in sizes)
    assertion = f'#ifdef {sizes[0]}\n_Static_assert(0\n{versions}, "");\n#endif'
    yield row(assertion, "size", f"sizeof({mirror})", f"sizeof({real})", (exists, shorter))


def prototype_check(line: int, name: str, result: str, *parameters: str, convention: str, variadic: bool) -> Check:
    """That a pointer to the declared type takes the header's function. Of a variadic one only the result can be wrong."""
    arguments = "..." if variadic else ", ".join(parameters) or "void"
    assertion = f"{result} ({convention} *pointer_{name})({arguments}) = {name};"
    if variadic:
        call = f"{name}({', '.join('0' for _ in parameters)})"
        assertion = static_assert(f"__builtin_types_compatible_p(__typeof__({call}), {result})")
    need = Need(name, f"__typeof__({name}) *need;")
    return Check(line, "prototype", name, assertion, "type", f"{result} ({arguments})", "", (need,))


def check_unit(compiler: Compiler, unit: Unit) -> Result:
    """The unit compared with the target's header: in one compile if all is right, else check by check."""
    assertions = "".join(f"{check.assertion}\n" for check in unit.checks)
    if compiler.compiles(unit.preamble + assertions):
        return Result(frozenset(check.subject for check in unit.checks))
    return merged(check_alone(compiler, unit, check) for check in unit.checks)


def check_alone(compiler: Compiler, unit: Unit, check: Check) -> Result:
    """One check compared with the target's header, and what the header has instead."""
    seen, header = frozenset([check.subject]), Need(f"<{unit.header}>", "")
    if compiler.compiles(f"{unit.preamble}{check.assertion}\n"):
        return Result(seen)
    for need in (header, *check.needs):
        if not compiler.compiles(f"{unit.preamble}{need.text}\n"):
            if compiler.old and need.newer:
                return Result(lacking=(need.name,))
            line, text = unit.line if need is header else check.line, "declared, but the header of {} has no such thing"
            return Result(seen, (Mistake(unit.path, line, need.name, text),))
    text = "declared {}, the header of {{}} says {}".format(*wording(compiler, unit.preamble, check))
    return Result(seen, (Mistake(unit.path, check.line, check.name, text),))


def wording(compiler: Compiler, preamble: str, check: Check) -> tuple[str, str]:
    """What is declared and what the header has, for a reader."""
    if check.form == "type":
        _, messages = compiler.run(f"{preamble}struct nothing {{ int x; }} *none = {check.name};\n")
        found = re.search(r"(?:incompatible pointer type|expression of type) '([^']+)'", messages)
        return check.declared, found[1].replace("(*)", "") if found else messages
    numbers = [compiler.value(preamble, expression) for expression in (check.declared, check.actual)]
    shown = [str(number) if number is None else f"{number} ({number:#x})" for number in numbers]
    if check.form == "sign":
        shown = ["signed" if number else "unsigned" for number in numbers]
    elif check.form != "value":
        shown = [f"{check.form} {number}" for number in numbers]
    return shown[0], shown[1]


def merged(results: Iterable[Result]) -> Result:
    """All that the results found; each thing once, in order."""
    results = list(results)
    lacking = tuple(dict.fromkeys(name for result in results for name in result.lacking))
    checked = frozenset(subject for result in results for subject in result.checked if subject[1] not in lacking)
    return Result(checked, tuple(dict.fromkeys(mistake for result in results for mistake in result.mistakes)), lacking)


def declaration_jobs(path: str, rules: Rules, compiler: Compiler) -> Iterator[Callable[[], Result]]:
    """The jobs of a module of constants, types, structures and prototypes."""
    module = Module(path, rules)
    yield partial(Result, mistakes=tuple(module.mistakes), lacking=rules.undeclared)
    for unit in module.units():
        yield partial(check_unit, compiler, unit)


def number_jobs(path: str, rules: Rules, compiler: Compiler) -> Iterator[Callable[[], Result]]:
    """The jobs of the table of system call numbers: the target's column, `None` meaning that the macro does not exist."""
    names, (line, header) = named_values(source := Path(path).read_text(encoding="utf-8")), headers_of(source)[0]
    columns, rows = ast.literal_eval(names["ARCHITECTURES"]), names["NUMBERS"]
    unused, at = sorted(set(columns) - {column_of(target) for target in rules.targets}), names["ARCHITECTURES"].lineno
    wrong = [Mistake(path, at, name, "no target checks this column") for name in unused]
    checks = []
    for key, value in zip(rows.keys, rows.values):  # type: ignore[attr-defined]
        name, numbers = key.value, ast.literal_eval(value)
        if len(numbers) != len(columns):
            wrong.append(Mistake(path, key.lineno, name, f"{len(numbers)} numbers for {len(columns)} architectures"))
        elif compiler.column in columns:
            number, macro = numbers[columns.index(compiler.column)], f"__NR_{name}"
            absent, need = f"#ifdef {macro}\n#error\n#endif", Need(name, f"#ifndef {macro}\n#error\n#endif")
            test = same("value", str(number), macro) if number is not None else (absent, "value", "None", macro)
            checks.append(Check(key.lineno, "system call", name, *test, (need,)))
    yield partial(Result, mistakes=tuple(wrong))
    yield partial(check_unit, compiler, Unit(path, line, header, f"{rules.preamble}#include <{header}>\n", tuple(checks)))


def code_jobs(path: str, rules: Rules, compiler: Compiler) -> Iterator[Callable[[], Result]]:
    """The job of comparing the machine code with what its source assembles to, where the target has one."""
    del rules
    values, table = runpy.run_path(path), named_values(Path(path).read_text(encoding="utf-8"))["CODE"]
    sources, code, name = values["SOURCES"], values["CODE"], compiler.column
    lines = {key.value: key.lineno for key in table.keys}  # type: ignore[attr-defined]
    wrong = [Mistake(path, table.lineno, odd, "source and bytes do not both exist") for odd in sorted({*sources} ^ {*code})]
    yield partial(Result, mistakes=tuple(wrong))
    if name in sources and name in code:
        yield partial(check_code, compiler, path, lines[name], sources[name], code[name])


def check_code(compiler: Compiler, path: str, line: int, source: str, code: bytes) -> Result:
    """The bytes compared with the assembler's."""
    content, messages = compiler.run(source, ".s")
    real = b"" if content is None else text_section(content)
    differing = [at for at, (ours, theirs) in enumerate(zip(code, real)) if ours != theirs]
    offset = differing[0] if differing else min(len(code), len(real))
    ours, theirs = (f"0x{data[offset]:02x}" if offset < len(data) else "its end" for data in (code, real))
    text = f"declared {ours} at byte {offset}, the assembler of {{}} says {theirs if real else messages}"
    wrong = [Mistake(path, line, compiler.column, text)] if real != code else []
    return Result(frozenset([("machine code", compiler.column)]), tuple(wrong))


def text_section(elf: bytes) -> bytes:
    """The .text of a little-endian ELF64 object file: elf(5)."""
    (table,), (size, count, names) = struct.unpack_from("<Q", elf, 40), struct.unpack_from("<HHH", elf, 58)
    sections = [struct.unpack_from("<IIQQQQ", elf, table + size * number) for number in range(count)]
    start = sections[names][4]
    offset, length = next(section[4:] for section in sections if elf.startswith(b".text\0", start + section[0]))
    return elf[offset : offset + length]


# A module is one entry. `preamble` precedes each header; `types` has C types not spelled `name`, `name_p` or `const_name_p`.
BSD = ("aarch64-macos", "x86_64-macos", "x86_64-freebsd", "x86_64-netbsd", "x86_64-openbsd")
WINDOWS = ("x86_64-windows-gnu", "aarch64-windows-gnu", "x86-windows-gnu")
WINDOWS_PREAMBLE = "#define _WIN32_WINNT 0xA00\n#define NTDDI_VERSION 0xA000010\n#define PSAPI_VERSION 2\n#include <windows.h>\n"
NT_ONLY = ("NtSuspendProcess", "NtResumeProcess")
MODULES = {
    "linux.py": Rules("linux", LINUX, declaration_jobs, preamble="#define _GNU_SOURCE 1\n"),
    "signals.py": Rules("linux", (*LINUX, *BSD), declaration_jobs, preamble="#define _GNU_SOURCE 1\n"),
    "linux_signals.py": Rules("linux", LINUX, declaration_jobs, preamble="#define _GNU_SOURCE 1\n"),
    "bsd_signals.py": Rules("bsd", BSD, declaration_jobs),
    "syscalls.py": Rules("linux", LINUX, number_jobs),
    "machine_code.py": Rules("linux", LINUX, code_jobs),
    "windows.py": Rules("windows", WINDOWS, declaration_jobs, WINDOWS_PREAMBLE, convention="__stdcall", undeclared=NT_ONLY),
    "winconsole.py": Rules("windows", WINDOWS, declaration_jobs, WINDOWS_PREAMBLE, convention="__stdcall"),
}


def compiler_for(target: str, directory: str) -> Compiler | str:
    """A compiler that works, or the reason why there is none."""
    cc, zig = shutil.which("cc"), os.environ.get("PROCESSKIT_ZIG_PYTHON")
    if importlib.util.find_spec("ziglang"):
        zig = sys.executable
    if target == NATIVE and cc:
        triple = output_of([cc, "-dumpmachine"]).stdout.strip()
        options = ["-Wa,-march=armv8.5-a"] if triple.startswith("aarch64") else []  # without it gnu as has no `bti`
        found = Compiler(target, [cc, *options], triple, directory, old=True)
    elif target != NATIVE and zig:
        found = Compiler(target, [zig, "-m", "ziglang", "cc", "-target", target], target, directory, old=False)
    else:
        return "no `cc`" if target == NATIVE else "no ziglang, here or in what PROCESSKIT_ZIG_PYTHON names"
    content, messages = found.run("int nothing;\n")
    return f"its compiler does not work: {messages.strip()}" if content is None else found


def jobs_for(compiler: Compiler | str, abi: str) -> Iterator[Callable[[], Result]]:
    """All that the target has a say in; nothing without a compiler."""
    for name, rules in MODULES.items() if isinstance(compiler, Compiler) else ():
        if compiler.target in rules.targets or (compiler.target == NATIVE and rules.system in compiler.triple):
            yield from rules.jobs(os.path.join(abi, name), rules, compiler)


def line_for(compiler: Compiler, result: Result) -> str:
    """The line that says what was compared for a target, and what was not."""
    counts = [(kind, count) for kind in KINDS if (count := [found for found, _ in result.checked].count(kind))]
    shown = ", ".join(f"{count} {kind}{'s' * (count != 1)}" for kind, count in counts) or "no module is for it"
    return f"{compiler.target}: {shown}" + "; not in its headers: " * bool(result.lacking) + ", ".join(result.lacking)


def check(targets: list[str], abi: str, *, require_all: bool) -> int:
    """0 if every declaration is right on every target that has a compiler (with `require_all`: and each has one), else 1."""
    found: dict[Mistake, list[str]] = defaultdict(list)
    for name in sorted(set(os.listdir(abi)) - {"__init__.py", "foreign.py", *MODULES}):
        if name.endswith(".py"):
            found[Mistake(os.path.join(abi, name), 1, name, "has no entry in MODULES, so nothing checks it")] = []
    began, done = time.monotonic(), 0
    with tempfile.TemporaryDirectory() as directory, ThreadPoolExecutor(os.cpu_count()) as pool:
        compilers = list(pool.map(partial(compiler_for, directory=directory), targets))
        pending = [[pool.submit(job) for job in jobs_for(compiler, abi)] for compiler in compilers]
        for target, compiler, futures in zip(targets, compilers, pending):
            if isinstance(compiler, str):
                print(f"{target}: skipped: {compiler}")
                continue
            result = merged(future.result() for future in futures)
            for mistake in result.mistakes:
                found[mistake].append(target)
            done += 1
            print(line_for(compiler, result), flush=True)
    for mistake in sorted(found):
        path = os.path.relpath(mistake.path, ROOT) if mistake.path.startswith(ROOT + os.sep) else mistake.path
        print(f"{path}:{mistake.line}: {mistake.name}: {mistake.text.replace('{}', ', '.join(found[mistake]))}")
    print(
        f"{len(found)} mistake{'s' * (len(found) != 1)}; {done} of {len(targets)} targets checked in {time.monotonic() - began:.1f} s"
    )
    return int(bool(found) or not done or (require_all and done < len(targets)))


def main() -> int:
    """The exit status for the command line."""
    everything = [NATIVE, *dict.fromkeys(target for rules in MODULES.values() for target in rules.targets)]
    parser = argparse.ArgumentParser(description="Compare the declarations of processkit/_abi with C headers, by compiling.")
    parser.add_argument("--target", action="append", choices=everything, metavar="T", help="check this target; default: all")
    parser.add_argument("--list", action="store_true", help="print the targets and stop")
    parser.add_argument("--require-all", action="store_true", help="fail if a target has no compiler")
    parser.add_argument("--abi", default=os.path.join(ROOT, "processkit", "_abi"), help="the directory of the declarations")
    options = parser.parse_args()
    if options.list:
        print("\n".join(everything))
        return 0
    return check(options.target or everything, os.path.abspath(options.abi), require_all=options.require_all)


if __name__ == "__main__":
    sys.exit(main())

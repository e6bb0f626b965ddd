"""The options of every sub-command, and what is a usage error."""

from __future__ import annotations

import argparse
import math
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, NoReturn

U32, U64 = 2**32 - 1, 2**64 - 1
PROG = "python -m processkit"

# What cannot go together: the first breaks the other's promise.
_EXCLUSIVE = (
    [(a, "profile") for a in ("idle_timeout", "output_limit", "sanitize_vt", "pty")]
    + [(a, "stdout_file") for a in ("output_limit", "sanitize_vt", "idle_timeout")]
    + [("pty", "stdout_file"), ("pty", "stderr_file")]
)


class _Parser(argparse.ArgumentParser):
    """Prints the usage of the right sub-command and exits with 2."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and leave."""
        self.print_usage(sys.stderr)
        self.exit(2, f"{self.prog}: error: {message}\n")


def _positive_float(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"{text!r} must be a positive, finite number")
    return value


def _bounded(most: int) -> Callable[[str], int]:
    def bounded(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = 0
        if not 1 <= value <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not in the range 1..={most}")
        return value

    return bounded


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{key!r} must be KEY=VALUE")
    if not key:
        raise argparse.ArgumentTypeError("the key must not be empty")
    return key, value


def _env_file(path: str) -> list[tuple[str, str]]:
    try:
        with open(path, encoding="utf-8-sig") as file:
            lines = file.read().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise argparse.ArgumentTypeError(f"{path}: could not read file: {error}") from None
    pairs = []
    for number, line in enumerate(lines, 1):
        entry = line.strip()
        if not entry or entry.startswith("#"):
            continue
        key, equals, value = entry.partition("=")
        if not equals or not key.strip():
            raise argparse.ArgumentTypeError(f"{path}: line {number}: must be KEY=VALUE with a key that is not empty")
        pairs.append((key.strip(), value))
    return pairs


def _cpus(text: str) -> list[int]:
    parts = text.split(",")
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} must be CPU[,CPU...] with numbers from 0")
    return [int(part) for part in parts]


def _io_priority(text: str) -> tuple[str, int | None]:
    name, colon, level = text.partition(":")
    if name == "idle" and not colon:
        return name, None
    if name in ("best_effort", "real_time") and level in tuple("01234567"):
        return name, int(level)
    raise argparse.ArgumentTypeError(f"{text!r} must be idle, best_effort:0..7 or real_time:0..7")


def _add_run(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--timeout", type=_positive_float, metavar="S", help="end the tree after this many seconds")
    add("--timeout-grace", type=_positive_float, metavar="S", help="at the timeout ask first, and wait this long")
    add("--idle-timeout", type=_positive_float, metavar="S", help="end the tree when no line came for this long")
    add("--max-memory", type=_bounded(U64), metavar="BYTES", help="memory cap of the whole tree")
    add("--max-processes", type=_bounded(U32), metavar="N", help="process cap of the whole tree")
    add("--cpu-quota", type=_positive_float, metavar="CORES", help="CPU cap of the whole tree")
    add("--allow-uncapped", action="store_true", help="run without a cap that cannot be enforced, with a warning")
    add("--env-clear", action="store_true", help="start from an empty environment")
    add("--inherit-env", action="append", default=[], metavar="NAME", help="start from these variables only")
    add("--env", action="append", default=[], type=_pair, metavar="KEY=VALUE", help="set a variable")
    add("--env-file", action="append", default=[], type=_env_file, metavar="PATH", help="set variables from a file")
    add("--cwd", metavar="DIR", help="working directory of the child")
    add("--profile", nargs="?", const="-", metavar="FILE", help="a JSON line of figures after the exit")
    add("--create-no-window", action="store_true", help="Windows: no console window")
    add("--output-limit", type=_bounded(U64), metavar="BYTES", help="fail when a stream is longer")
    add("--sanitize-vt", action="store_true", help="remove terminal control sequences")
    add("--stdout-file", metavar="PATH", help="stdout into this file")
    add("--stderr-file", metavar="PATH", help="stderr into this file")
    add("--kill-on-parent-death", action="store_true", help="what happens anyway: the tree dies with us")
    add("--priority", choices=("idle", "below_normal", "normal", "above_normal", "high"), help="scheduling priority")
    add("--io-priority", type=_io_priority, metavar="CLASS[:LEVEL]", help="I/O scheduling class")
    add("--cpu-affinity", type=_cpus, metavar="CPU[,CPU...]", help="processors to run on")
    add("--pty", action="store_true", help="give the child a terminal")
    add("--pty-cols", type=_bounded(65535), metavar="N", help="width of the terminal")
    add("--pty-rows", type=_bounded(65535), metavar="N", help="height of the terminal")


def parse(words: list[str]) -> argparse.Namespace:
    """The options in `words`; everything behind the first `--` is the child's command, verbatim."""
    command: list[str] | None = None
    if "--" in words:
        cut = words.index("--")
        words, command = words[:cut], words[cut + 1 :]
    parser = _Parser(prog=PROG, description="Run commands whose process trees cannot outlive their owner.")
    commands = parser.add_subparsers(dest="subcommand", required=True, metavar="{run,doctor}", parser_class=_Parser)
    run = commands.add_parser("run", help="run a command, contained", usage="%(prog)s [OPTIONS] -- PROGRAM [ARG...]")
    doctor = commands.add_parser("doctor", help="say what this machine can contain")
    _add_run(run)
    doctor.add_argument("--json", action="store_true", help="one JSON object instead of text")
    options = parser.parse_args(words)
    options.command = command
    if options.subcommand == "doctor":
        if command is not None:
            doctor.error("doctor does not take a trailing command")
    else:
        _check_run(run, options)
    return options


def _check_run(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """What only the options together can be wrong about."""
    if not options.command:
        parser.error("missing command: put it behind --")
    if options.timeout_grace is not None and options.timeout is None:
        parser.error("--timeout-grace requires --timeout")
    if (options.pty_cols is not None or options.pty_rows is not None) and not options.pty:
        parser.error("--pty-cols and --pty-rows: a size requires --pty")
    if (options.pty_cols is None) != (options.pty_rows is None):
        parser.error("--pty-cols and --pty-rows must be provided together")
    for one, other in _EXCLUSIVE:
        if getattr(options, one) and getattr(options, other):
            parser.error(f"{_flag(one)} cannot be combined with {_flag(other)}")


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")

"""The options of every sub-command, and the usage errors.

Not argparse: its import and set-up cost as much as everything else that `run` does, and half of what a run may cost.
"""

from __future__ import annotations

from .status import USAGE, say, tell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, NoReturn

U32, U64 = 2**32 - 1, 2**64 - 1
PROG = "python -m processkit"


class Invalid(Exception):
    """An option's value is not valid."""


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


class Option:
    """One option: its name, the function that reads its value (`read` None: a flag), and its help text."""

    __slots__ = ("bare", "help", "metavar", "name", "read", "repeatable")

    def __init__(
        self, name: str, help: str, metavar: str = "", read: Callable[[str], Any] | None = None, *,
        repeatable: bool = False, bare: str | None = None,
    ) -> None:  # fmt: skip
        self.name = name
        self.help = help
        self.metavar = metavar
        self.read = read
        self.repeatable = repeatable
        #: The value that the option has when none is given; None: a value is required.
        self.bare = bare

    @property
    def flag(self) -> str:
        """The option as it is written: `--name`."""
        return _flag(self.name)


class Options:
    """The values of one invocation, by name."""

    def __init__(self, subcommand: str) -> None:
        self.subcommand = subcommand
        self.command: list[str] | None = None

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


def _positive_float(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise Invalid(f"{text!r} must be a positive, finite number")
    return value


def _bounded(most: int) -> Callable[[str], int]:
    def bounded(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = 0
        if not 1 <= value <= most:
            raise Invalid(f"{text!r} is not in the range 1..={most}")
        return value

    return bounded


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise Invalid(f"{key!r} must be KEY=VALUE")
    if not key:
        raise Invalid("the key must not be empty")
    return key, value


def _env_file(path: str) -> list[tuple[str, str]]:
    try:
        # Not str.splitlines, which also splits at form feeds and other characters.
        with open(path, encoding="utf-8-sig") as file:
            lines = file.read().split("\n")
    except (OSError, ValueError) as error:
        raise Invalid(f"{path}: could not read file: {error}") from None
    pairs = []
    for number, line in enumerate(lines, 1):
        entry = line.strip()
        if not entry or entry.startswith("#"):
            continue
        key, equals, value = entry.partition("=")
        if not equals or not key.strip():
            raise Invalid(f"{path}: line {number}: must be KEY=VALUE with a key that is not empty")
        pairs.append((key.strip(), value))
    return pairs


def _cpus(text: str) -> list[int]:
    parts = text.split(",")
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise Invalid(f"{text!r} must be CPU[,CPU...] with numbers from 0")
    return [int(part) for part in parts]


def _io_priority(text: str) -> tuple[str, int | None]:
    name, colon, level = text.partition(":")
    if name == "idle" and not colon:
        return name, None
    if name in ("best_effort", "real_time") and level in tuple("01234567"):
        return name, int(level)
    raise Invalid(f"{text!r} must be idle, best_effort:0..7 or real_time:0..7")


def _priority(text: str) -> str:
    levels = ("idle", "below_normal", "normal", "above_normal", "high")
    if text not in levels:
        raise Invalid(f"{text!r} must be one of {', '.join(levels)}")
    return text


RUN = [
    Option("timeout", "end the tree after this many seconds", "S", _positive_float),
    Option("timeout_grace", "at the timeout ask first, and wait this long", "S", _positive_float),
    Option("idle_timeout", "end the tree when no line came for this long", "S", _positive_float),
    Option("max_memory", "memory cap of the whole tree", "BYTES", _bounded(U64)),
    Option("max_processes", "process cap of the whole tree", "N", _bounded(U32)),
    Option("cpu_quota", "CPU cap of the whole tree, in cores", "F", _positive_float),
    Option("allow_uncapped", "run without a cap that cannot be enforced, with a warning"),
    Option("env_clear", "start from an empty environment"),
    Option("inherit_env", "start from these variables only", "NAME", str, repeatable=True),
    Option("env", "set a variable", "KEY=VALUE", _pair, repeatable=True),
    Option("env_file", "set variables from a file", "PATH", _env_file, repeatable=True),
    Option("cwd", "working directory of the child", "DIR", str),
    Option("profile", "a JSON line of figures after the exit, to stderr or FILE", "FILE", str, bare="-"),
    Option("create_no_window", "Windows: no console window"),
    Option("output_limit", "fail when a stream is longer", "BYTES", _bounded(U64)),
    Option("sanitize_vt", "remove terminal control sequences"),
    Option("stdout_file", "stdout into this file", "PATH", str),
    Option("stderr_file", "stderr into this file", "PATH", str),
    Option("kill_on_parent_death", "what happens anyway: the tree dies with us"),
    Option("priority", "scheduling priority", "P", _priority),
    Option("io_priority", "I/O scheduling class", "CLASS[:LEVEL]", _io_priority),
    Option("cpu_affinity", "processors to run on", "CPU[,CPU...]", _cpus),
    Option("pty", "give the child a terminal"),
    Option("pty_cols", "width of the terminal", "N", _bounded(65535)),
    Option("pty_rows", "height of the terminal", "N", _bounded(65535)),
]
DOCTOR = [Option("json", "one JSON object instead of text")]

_SUBCOMMANDS = {
    "run": (RUN, "[OPTIONS] -- PROGRAM [ARG...]", "run a command, contained"),
    "doctor": (DOCTOR, "[--json]", "say what this machine can contain"),
}

# Pairs that exclude each other: the first would break the promise of the second.
_EXCLUSIVE = [
    *((one, "profile") for one in ("idle_timeout", "output_limit", "sanitize_vt", "pty")),
    *((one, "stdout_file") for one in ("output_limit", "sanitize_vt", "idle_timeout")),
    ("pty", "stdout_file"),
    ("pty", "stderr_file"),
]


def usage(subcommand: str | None) -> str:
    """Return the usage line of a sub-command, or of the program."""
    if subcommand is None:
        return f"usage: {PROG} {{{','.join(_SUBCOMMANDS)}}} ..."
    return f"usage: {PROG} {subcommand} {_SUBCOMMANDS[subcommand][1]}"


def fail(subcommand: str | None, text: str) -> NoReturn:
    """Print the usage and the error, and raise SystemExit with the status of a usage error."""
    prog = PROG if subcommand is None else f"{PROG} {subcommand}"
    tell(f"{usage(subcommand)}\n{prog}: error: {text}\n")
    raise SystemExit(USAGE)


def _help(subcommand: str | None) -> NoReturn:
    lines = [usage(subcommand), ""]
    if subcommand is None:
        lines += [f"  {name:8} {about}" for name, (_, _, about) in _SUBCOMMANDS.items()]
    else:
        options, _, about = _SUBCOMMANDS[subcommand]
        lines += [about, "", *(f"  {(option.flag + ' ' + option.metavar).strip():32} {option.help}" for option in options)]
    say("\n".join(lines))
    raise SystemExit(0)


def parse(words: list[str]) -> Options:
    """Return the options in `words`; everything behind the first `--` is the child's command, verbatim."""
    command: list[str] | None = None
    if "--" in words:
        cut = words.index("--")
        words, command = words[:cut], words[cut + 1 :]
    if words[:1] in (["-h"], ["--help"]):
        _help(None)
    if not words:
        fail(None, f"a sub-command is required: {', '.join(_SUBCOMMANDS)}")
    subcommand, *words = words
    if subcommand not in _SUBCOMMANDS:
        fail(None, f"unknown sub-command {subcommand!r}: there are {', '.join(_SUBCOMMANDS)}")
    options = _read(subcommand, words)
    options.command = command
    if subcommand == "run":
        _check_run(options)
    elif command is not None:
        fail(subcommand, "doctor does not take a trailing command")
    return options


def _read(subcommand: str, words: list[str]) -> Options:
    table = {option.flag: option for option in _SUBCOMMANDS[subcommand][0]}
    options = Options(subcommand)
    for option in table.values():
        setattr(options, option.name, [] if option.repeatable else False if option.read is None else None)
    waiting = words[::-1]
    while waiting:
        word = waiting.pop()
        if word in ("-h", "--help"):
            _help(subcommand)
        flag, equals, value = word.partition("=")
        found = table.get(flag)
        if found is None:
            unexpected = "unrecognized option" if word.startswith("-") else "unexpected argument"
            fail(subcommand, f"{unexpected} {word!r}" + ("" if word.startswith("-") else ": the command stands behind --"))
        if found.read is None:
            if equals:
                fail(subcommand, f"argument {flag}: takes no value")
            setattr(options, found.name, True)
            continue
        if not equals:
            value = _value(subcommand, found, waiting)
        try:
            read = found.read(value)
        except Invalid as error:
            fail(subcommand, f"argument {flag}: {error}")
        if found.repeatable:
            getattr(options, found.name).append(read)
        else:
            setattr(options, found.name, read)
    return options


def _value(subcommand: str, option: Option, waiting: list[str]) -> str:
    """Return the next word as the value, or the option's `bare` value. A negative number is a value, not an option."""
    following = waiting[-1] if waiting else None
    if following is None or (following.startswith("-") and not following[1:2].isdigit() and following != "-"):
        if option.bare is None:
            fail(subcommand, f"argument {option.flag}: expected one argument")
        return option.bare
    return waiting.pop()


def _check_run(options: Options) -> None:
    """Check the options against each other."""
    if not options.command:
        fail("run", "missing command: put it behind --")
    if options.timeout_grace is not None and options.timeout is None:
        fail("run", "--timeout-grace requires --timeout")
    if (options.pty_cols is not None or options.pty_rows is not None) and not options.pty:
        fail("run", "--pty-cols and --pty-rows: a size requires --pty")
    if (options.pty_cols is None) != (options.pty_rows is None):
        fail("run", "--pty-cols and --pty-rows must be provided together")
    for one, other in _EXCLUSIVE:
        if getattr(options, one) and getattr(options, other):
            fail("run", f"{_flag(one)} cannot be combined with {_flag(other)}")

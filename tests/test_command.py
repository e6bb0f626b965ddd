"""`Command` as a description: builders, validation, inspection. Nothing is started here."""

import asyncio
import collections
import inspect
import os
import pathlib
import pickle
import shlex
import types

import pytest
from programs import SHELL, sh, true

from processkit import Command, ProcessError

SH = SHELL

# Every builder of this version with arguments that it accepts: api.md §2.2.
BUILDERS = {
    "arg": ("secret-word",),
    "args": (["secret-word", "two"],),
    "arg0": ("secret-name",),
    "cwd": ("/",),
    "prefer_local": ("/opt/none",),
    "env": ("NAME", "secret-value"),
    "envs": ({"NAME": "secret-value"},),
    "env_remove": ("NAME",),
    "env_clear": (),
    "inherit_env": (["NAME"],),
    "stdin_bytes": (b"secret-input",),
    "stdin_text": ("secret-input",),
    "stdin_file": ("/nowhere/file",),
    "keep_stdin_open": (),
    "inherit_stdin": (),
    "stdout": ("null",),
    "stderr": ("null",),
    "stdout_file": ("/nowhere/out",),
    "stderr_file": ("/nowhere/err",),
    "encoding": ("latin-1",),
    "stdout_encoding": ("latin-1",),
    "stderr_encoding": ("latin-1",),
    "line_terminator": ("cr",),
    "stdout_line_terminator": ("cr",),
    "stderr_line_terminator": ("cr",),
    "timeout": (5,),
    "no_timeout": (),
    "timeout_opt": (None,),
    "timeout_grace": (1.5,),
    "timeout_signal": ("int",),
    "success_codes": ([0, 3],),
    "kill_on_parent_death": (),
    "create_no_window": (),
    "windows_graceful_ctrl_break": (),
    "uid": (1000,),
    "gid": (1000,),
    "groups": ([1000],),
    "setsid": (),
    "umask": (0o22,),
    "rlimit": ("core", 0, 0),
    "priority": ("idle",),
    "cpu_affinity": ([0],),
    "io_priority": ("idle",),
    "leash": (),
    "logger": (None,),
}

# api.md §28, without what later versions bring.
SHEET = """
arg(arg)|args(args)|arg0(arg0)|cwd(path)|prefer_local(dir)|env(key, value)|envs(vars)|env_remove(key)|env_clear()
inherit_env(names)|stdin_bytes(data)|stdin_text(text)|stdin_file(path)|keep_stdin_open()|inherit_stdin()|timeout(seconds)
timeout_grace(seconds)|timeout_signal(name)|no_timeout()|timeout_opt(seconds)|success_codes(codes)|stdout(mode)|stderr(mode)
encoding(label)|stdout_encoding(label)|stderr_encoding(label)|line_terminator(mode)|stdout_line_terminator(mode)
stderr_line_terminator(mode)|stdout_file(path, *, append=False)|stderr_file(path, *, append=False)|kill_on_parent_death()
create_no_window()|windows_graceful_ctrl_break()|uid(uid)|gid(gid)|groups(gids)|setsid()|umask(mask)|rlimit(resource, soft, hard)
priority(level)|cpu_affinity(cpus)|io_priority(class_name, *, level=None)|resolve_program()|spawn_detached()|command_line()
leash()|logger(logger)|output()|output_bytes()|run()|run_json()|exit_code()|probe()|start()
aoutput()|aoutput_bytes()|arun()|arun_json()|aexit_code()|aprobe()|astart()
"""
SIGNATURES = {word.partition("(")[0]: word[word.index("(") :] for word in SHEET.strip().replace("\n", "|").split("|")}


def plain_signature(function):
    signature = inspect.signature(function)
    parameters = [p.replace(annotation=p.empty) for p in list(signature.parameters.values())[1:]]
    return str(signature.replace(parameters=parameters, return_annotation=signature.empty))


@pytest.mark.parametrize("name", SIGNATURES)
def test_a_method_has_the_parameters_of_the_signature_sheet(name):
    assert plain_signature(getattr(Command, name)) == SIGNATURES[name]


def test_the_constructor_has_the_parameters_of_the_signature_sheet():
    assert plain_signature(Command.__init__) == "(program, args=None)"


@pytest.mark.parametrize("verb", ["output", "output_bytes", "run", "run_json", "exit_code", "probe", "start"])
def test_an_async_twin_is_a_coroutine_function_and_its_verb_is_none(verb):
    assert inspect.iscoroutinefunction(getattr(Command, "a" + verb))
    assert not inspect.iscoroutinefunction(getattr(Command, verb))


@pytest.mark.parametrize("name", BUILDERS)
def test_a_builder_returns_another_command_and_leaves_the_receiver_as_it_was(name):
    base = Command(SH, ["-c", "true"]).env("KEPT", "1").timeout(7)
    before = (base.program, base.arguments, base.configured_arg0, repr(base), base.command_line())
    built = getattr(base, name)(*BUILDERS[name])
    assert type(built) is Command
    assert built is not base
    assert (base.program, base.arguments, base.configured_arg0, repr(base), base.command_line()) == before
    assert built.program == SH


@pytest.mark.parametrize("name", BUILDERS)
def test_a_builder_keeps_all_earlier_settings(name):
    base = Command(SH, ["first"]).arg0("zero").env("KEPT", "1").timeout(7).setsid().cwd("/kept")
    built = getattr(base, name)(*BUILDERS[name])
    assert built.arguments[0] == "first"
    assert built.configured_arg0 == ("secret-name" if name == "arg0" else "zero")
    assert "KEPT" in repr(built)
    assert ("7" in repr(built)) == (name not in ("timeout", "no_timeout", "timeout_opt"))


@pytest.mark.parametrize("name", BUILDERS)
def test_a_repr_never_shows_a_value_of_argv_env_arg0_or_stdin(name):
    text = repr(getattr(Command("/bin/prog", ["secret-arg"]).env("SHOWN", "secret-env"), name)(*BUILDERS[name]))
    assert "secret" not in text
    assert "/bin/prog" in text
    assert "SHOWN" in text


def test_a_repr_counts_the_arguments_and_redacts_only_an_arg0_that_is_set():
    assert "args: 2" in repr(Command("p", ["a", "b"]))
    assert "args: 0" in repr(Command("p"))
    assert "<redacted>" not in repr(Command("p"))
    assert "<redacted>" in repr(Command("p").arg0("x"))


def test_building_touches_no_file_system():
    command = Command("/nowhere/x").cwd("/nowhere").stdin_file("/nowhere").stdout_file("/nowhere/a/b").prefer_local("/nowhere")
    assert command.program == "/nowhere/x"


def test_the_program_is_kept_verbatim_and_a_path_becomes_its_text():
    assert Command("./a/../b").program == "./a/../b"
    assert Command(pathlib.PurePosixPath(true().program)).program == true().program
    assert Command("").program == ""


def test_the_arguments_are_a_new_list_every_time():
    command = Command("p", ["a", pathlib.PurePosixPath("b/c")]).arg("d").args(("e", "f"))
    command.arguments.append("x")
    assert command.arguments == ["a", "b/c", "d", "e", "f"]
    given = ["a"]
    command = Command("p", given)
    given.append("b")
    assert command.arguments == ["a"]


def test_arguments_may_be_any_sequence_of_paths():
    assert Command("p", collections.UserList(["a", "b"])).arguments == ["a", "b"]
    assert Command("p", None).arguments == []
    assert Command("p", ()).arguments == []


def test_the_last_arg0_wins():
    assert Command("p").configured_arg0 is None
    assert Command("p").arg0("one").arg0("two").configured_arg0 == "two"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["git", "log", "-n1", "a=b", "/x/y.z"], "git log -n1 a=b /x/y.z"),
        (["p", "a b"], "p 'a b'"),
        (["p", ""], "p ''"),
        (["p", "q'q"], "p 'q'\\''q'"),
        (["p", "é"], "p 'é'"),
        (["p", "$HOME", "*", "~", "#x", "a\nb"], "p '$HOME' '*' '~' '#x' 'a\nb'"),
        (["two words", "x"], "'two words' x"),
    ],
)
def test_a_command_line_is_quoted_as_a_posix_shell_needs_it(words, line):
    command = Command(words[0], words[1:])
    assert command.command_line() == line
    assert shlex.split(command.command_line()) == words


def test_a_command_line_shows_arg0_after_the_program_and_neither_env_nor_cwd():
    command = Command("p", ["x"]).arg0("zero").env("NAME", "value").cwd("/somewhere")
    assert command.command_line() == "p [argv0=zero] x"


@pytest.mark.parametrize("text", ["nul\0inside", "\ud800", "snow ☃", "a\nb", "\U0001f40d", ""])
def test_builders_accept_any_text_for_arguments_and_variables(text):
    command = Command(text, [text]).arg(text).args([text]).arg0(text).env(text, text).envs({text: text}).env_remove(text)
    command = command.inherit_env([text])
    assert command.program == text
    assert command.arguments == [text] * 3
    assert command.configured_arg0 == text
    assert isinstance(repr(command), str)
    assert isinstance(command.command_line(), str)


class BytesPath:
    def __fspath__(self):
        return b"bytes"


PATH_LIKE = {
    "program": Command,
    "args": lambda value: Command("p", [value]),
    "arg": Command("p").arg,
    "cwd": Command("p").cwd,
    "prefer_local": Command("p").prefer_local,
    "stdin_file": Command("p").stdin_file,
    "stdout_file": Command("p").stdout_file,
    "stderr_file": Command("p").stderr_file,
}


@pytest.mark.parametrize("name", PATH_LIKE)
@pytest.mark.parametrize("value", [b"bytes", BytesPath(), 3, None, ["x"]], ids=repr)
def test_a_path_is_text_or_a_path_of_text(name, value):
    with pytest.raises(TypeError, match=name):
        PATH_LIKE[name](value)


@pytest.mark.parametrize("value", ["abc", b"abc", {"a"}, (word for word in "ab"), {"a": "b"}, 7, [1], [None]], ids=repr)
@pytest.mark.parametrize("build", [lambda value: Command("p", value), Command("p").args], ids=["constructor", "args"])
def test_an_argument_list_is_a_sequence_of_paths(build, value):
    with pytest.raises(TypeError, match="args"):
        build(value)


def test_args_needs_an_argument_list():
    with pytest.raises(TypeError, match="args"):
        Command("p").args(None)


SEQUENCES = {
    "inherit_env": ["a"],
    "success_codes": [1],
    "groups": [1],
    "cpu_affinity": [1],
}


@pytest.mark.parametrize("name", SEQUENCES)
@pytest.mark.parametrize("make", [set, iter, lambda good: "1", lambda good: 1, lambda good: None, lambda good: b"1"])
def test_a_list_is_a_real_sequence(name, make):
    with pytest.raises(TypeError, match=name):
        getattr(Command("p"), name)(make(SEQUENCES[name]))


@pytest.mark.parametrize("name", SEQUENCES)
def test_a_list_may_be_a_tuple_or_another_sequence(name):
    getattr(Command("p"), name)(tuple(SEQUENCES[name]))
    getattr(Command("p"), name)(collections.UserList(SEQUENCES[name]))


@pytest.mark.parametrize("vars", [[("A", "b")], "A=b", {"A": 1}, {1: "b"}, {"A": None}, {b"A": "b"}, None], ids=repr)
def test_variables_are_a_mapping_of_text_to_text(vars):
    with pytest.raises(TypeError, match="envs"):
        Command("p").envs(vars)


def test_variables_may_be_any_mapping():
    assert "NAME" in repr(Command("p").envs(types.MappingProxyType({"NAME": "x"})))


@pytest.mark.parametrize(("key", "value"), [(1, "x"), ("x", 1), (b"x", "x"), ("x", b"x"), (None, "x"), ("x", None)])
def test_one_variable_is_text_and_text(key, value):
    with pytest.raises(TypeError, match="env"):
        Command("p").env(key, value)


UNSIGNED = {
    "uid": lambda n: Command("p").uid(n),
    "gid": lambda n: Command("p").gid(n),
    "groups": lambda n: Command("p").groups([n]),
    "umask": lambda n: Command("p").umask(n),
    "rlimit soft": lambda n: Command("p").rlimit("core", n, 5),
    "rlimit hard": lambda n: Command("p").rlimit("core", 0, n),
    "cpu_affinity": lambda n: Command("p").cpu_affinity([n]),
}


@pytest.mark.parametrize("name", UNSIGNED)
@pytest.mark.parametrize("number", [-1, -(2**70), 2**64, 2**200])
def test_an_unsigned_number_out_of_range_is_an_overflow(name, number):
    with pytest.raises(OverflowError, match=name):
        UNSIGNED[name](number)


@pytest.mark.parametrize("name", UNSIGNED)
@pytest.mark.parametrize("value", [1.0, "1", None, b"1"], ids=repr)
def test_an_unsigned_number_is_an_int(name, value):
    with pytest.raises(TypeError, match=name):
        UNSIGNED[name](value)


@pytest.mark.parametrize("name", UNSIGNED)
def test_a_bool_counts_as_an_int(name):
    UNSIGNED[name](True)


def test_success_codes_are_ints_of_32_bits_and_not_none_at_all():
    Command("p").success_codes([-(2**31), 2**31 - 1, 0, True])
    with pytest.raises(ValueError, match="success_codes"):
        Command("p").success_codes([])
    for code in (2**31, -(2**31) - 1, 2**100):
        with pytest.raises(OverflowError, match="success_codes"):
            Command("p").success_codes([0, code])
    with pytest.raises(TypeError, match="success_codes"):
        Command("p").success_codes([1.0])


LABELS = {
    "stdout": (Command("p").stdout, ["pipe", "piped", "inherit", "null"]),
    "stderr": (Command("p").stderr, ["pipe", "piped", "inherit", "null"]),
    "line_terminator": (Command("p").line_terminator, ["newline", "carriage_return", "lf", "cr"]),
    "stdout_line_terminator": (Command("p").stdout_line_terminator, ["newline", "carriage_return", "lf", "cr"]),
    "stderr_line_terminator": (Command("p").stderr_line_terminator, ["newline", "carriage_return", "lf", "cr"]),
    "priority": (Command("p").priority, ["idle", "below_normal", "normal", "above_normal", "high"]),
    "rlimit": (lambda v: Command("p").rlimit(v, 0, 0), ["cpu", "core", "data", "file_size", "no_file", "stack"]),
    "io_priority": (lambda v: Command("p").io_priority(v, level=None if str(v).lower() == "idle" else 4), ["idle", "best_effort", "real_time"]),
}  # fmt: skip


@pytest.mark.parametrize("name", LABELS)
def test_a_label_is_known_in_any_case_and_an_unknown_one_lists_the_known(name):
    build, known = LABELS[name]
    for label in known:
        build(label)
        build(label.upper())
        build(label.title())
    for label in ("", "nonsense", known[0] + " ", "PİPE", "\0"):
        with pytest.raises(ValueError, match=name) as caught:
            build(label)
        assert all(label in str(caught.value) for label in known)
    for value in (None, 1, b"pipe"):
        with pytest.raises(TypeError, match=name):
            build(value)


DURATIONS = {
    "timeout": (Command("p").timeout, False),
    "timeout_opt": (Command("p").timeout_opt, False),
    "timeout_grace": (Command("p").timeout_grace, True),
}


@pytest.mark.parametrize("name", DURATIONS)
@pytest.mark.parametrize(
    "seconds", [-1, -0.001, float("nan"), float("inf"), -float("inf"), 1e250, 10**400, 2**64, 1e20], ids=repr
)
def test_a_duration_that_is_none_names_its_parameter(name, seconds):
    with pytest.raises(ValueError, match=name):
        DURATIONS[name][0](seconds)


@pytest.mark.parametrize("name", DURATIONS)
def test_a_duration_is_any_finite_number_up_to_the_bound(name):
    build, zero_allowed = DURATIONS[name]
    for seconds in (1, 0.001, 5e-324, 1e12, 1e19, True):
        build(seconds)
    if zero_allowed:
        build(0)
        build(0.0)
        build(-0.0)
    else:
        for seconds in (0, 0.0, -0.0, False):
            with pytest.raises(ValueError, match=name):
                build(seconds)


@pytest.mark.parametrize("name", DURATIONS)
@pytest.mark.parametrize("value", ["1", b"1", [1], 1j, object()], ids=type)
def test_a_duration_is_a_number(name, value):
    with pytest.raises(TypeError, match=name):
        DURATIONS[name][0](value)


def test_only_timeout_opt_takes_none():
    Command("p").timeout_opt(None)
    for build in (Command("p").timeout, Command("p").timeout_grace):
        with pytest.raises(TypeError):
            build(None)


SIGNAL_NAMES = ["term", "kill", "int", "hup", "quit", "usr1", "usr2"]


@pytest.mark.parametrize("name", SIGNAL_NAMES)
def test_a_signal_name_is_known_in_any_case_with_and_without_sig(name):
    for text in (name, name.upper(), "sig" + name, "SIG" + name.upper(), "Sig" + name.title()):
        Command("p").timeout_signal(text)


@pytest.mark.parametrize(
    "name", ["", "sig", "SIGCONT", "cont", "sigsigterm", " term", "term ", "9", "stop", "chld", "TERM\n", "ſigterm"]
)
def test_any_other_signal_name_is_refused(name):
    with pytest.raises(ValueError, match="timeout_signal"):
        Command("p").timeout_signal(name)


@pytest.mark.parametrize("number", [0, -1, 65, 2**31, 2**64, -(2**100)])
def test_a_signal_number_out_of_range_is_refused(number):
    with pytest.raises(ValueError, match="invalid signal number"):
        Command("p").timeout_signal(number)


def test_a_signal_number_reaches_to_the_last_one():
    Command("p").timeout_signal(1)
    Command("p").timeout_signal(64)


@pytest.mark.parametrize("value", [True, False, 1.0, None, b"term", [15]], ids=repr)
def test_a_signal_is_a_name_or_a_number(value):
    with pytest.raises(TypeError) as caught:
        Command("p").timeout_signal(value)
    assert "str" in str(caught.value)
    assert "int" in str(caught.value)


@pytest.mark.parametrize("payload", [b"x", bytearray(b"x"), memoryview(b"xyz")[::2]], ids=type)
def test_a_byte_payload_is_any_buffer_of_bytes(payload):
    Command("p").stdin_bytes(payload)


@pytest.mark.parametrize("payload", ["text", None, 5, [1, 2]], ids=repr)
def test_a_byte_payload_is_no_text_and_no_number(payload):
    with pytest.raises(TypeError, match="stdin_bytes"):
        Command("p").stdin_bytes(payload)


@pytest.mark.parametrize("text", [b"bytes", None, 5], ids=repr)
def test_stdin_text_is_text(text):
    with pytest.raises(TypeError, match="stdin_text"):
        Command("p").stdin_text(text)


# Names that Python has, and every label of the WHATWG list: https://encoding.spec.whatwg.org/#names-and-labels
ENCODINGS = """
latin_1 latin-1 utf_8 UTF_8 euc_jp utf_16 iso8859_15 cp437 cp850 utf-32 unicode-1-1-utf-8 unicode11utf8 unicode20utf8 utf-8 utf8
x-unicode20utf8 866 cp866 csibm866 ibm866 csisolatin2 iso-8859-2 iso-ir-101 iso8859-2 iso88592 iso_8859-2 iso_8859-2:1987 l2
latin2 csisolatin3 iso-8859-3 iso-ir-109 iso8859-3 iso88593 iso_8859-3 iso_8859-3:1988 l3 latin3 csisolatin4 iso-8859-4
iso-ir-110 iso8859-4 iso88594 iso_8859-4 iso_8859-4:1988 l4 latin4 csisolatincyrillic cyrillic iso-8859-5 iso-ir-144 iso8859-5
iso88595 iso_8859-5 iso_8859-5:1988 arabic asmo-708 csiso88596e csiso88596i csisolatinarabic ecma-114 iso-8859-6 iso-8859-6-e
iso-8859-6-i iso-ir-127 iso8859-6 iso88596 iso_8859-6 iso_8859-6:1987 csisolatingreek ecma-118 elot_928 greek greek8 iso-8859-7
iso-ir-126 iso8859-7 iso88597 iso_8859-7 iso_8859-7:1987 sun_eu_greek csiso88598e csisolatinhebrew hebrew iso-8859-8
iso-8859-8-e iso-ir-138 iso8859-8 iso88598 iso_8859-8 iso_8859-8:1988 visual csiso88598i iso-8859-8-i logical csisolatin6
iso-8859-10 iso-ir-157 iso8859-10 iso885910 l6 latin6 iso-8859-13 iso8859-13 iso885913 iso-8859-14 iso8859-14 iso885914
csisolatin9 iso-8859-15 iso8859-15 iso885915 iso_8859-15 l9 iso-8859-16 cskoi8r koi koi8 koi8-r koi8_r koi8-ru koi8-u
csmacintosh mac macintosh x-mac-roman dos-874 iso-8859-11 iso8859-11 iso885911 tis-620 windows-874 cp1250 windows-1250 x-cp1250
cp1251 windows-1251 x-cp1251 ansi_x3.4-1968 ascii cp1252 cp819 csisolatin1 ibm819 iso-8859-1 iso-ir-100 iso8859-1 iso88591
iso_8859-1 iso_8859-1:1987 l1 latin1 us-ascii windows-1252 x-cp1252 cp1253 windows-1253 x-cp1253 cp1254 csisolatin5 iso-8859-9
iso-ir-148 iso8859-9 iso88599 iso_8859-9 iso_8859-9:1989 l5 latin5 windows-1254 x-cp1254 cp1255 windows-1255 x-cp1255 cp1256
windows-1256 x-cp1256 cp1257 windows-1257 x-cp1257 cp1258 windows-1258 x-cp1258 x-mac-cyrillic x-mac-ukrainian chinese csgb2312
csiso58gb231280 gb2312 gb_2312 gb_2312-80 gbk iso-ir-58 x-gbk gb18030 big5 big5-hkscs cn-big5 csbig5 x-x-big5
cseucpkdfmtjapanese euc-jp x-euc-jp csiso2022jp iso-2022-jp csshiftjis ms932 ms_kanji shift-jis shift_jis sjis windows-31j
x-sjis cseuckr csksc56011987 euc-kr iso-ir-149 korean ks_c_5601-1987 ks_c_5601-1989 ksc5601 ksc_5601 windows-949 unicodefffe
utf-16be csunicode iso-10646-ucs-2 ucs-2 unicode unicodefeff utf-16 utf-16le
""".split()


@pytest.mark.parametrize("label", ENCODINGS)
def test_an_encoding_label_of_the_web_or_of_python_is_known_in_any_case(label):
    Command("p").encoding(label).stdout_encoding(label.upper()).stderr_encoding(label.title())


@pytest.mark.parametrize(
    "label", ["", "nonsense", "utf-9", "hex", "base64", "rot13", "zlib", "bz2", "uu", "quopri", "a\0b", "é", "\ud800", "x" * 1000]
)
def test_an_unknown_or_textless_encoding_label_is_named(label):
    for build in (Command("p").encoding, Command("p").stdout_encoding, Command("p").stderr_encoding):
        with pytest.raises(ValueError) as caught:
            build(label)
        assert type(caught.value) is ValueError
        assert repr(label) in str(caught.value)


@pytest.mark.parametrize("label", [None, 5, b"utf-8"], ids=repr)
def test_an_encoding_label_is_text(label):
    with pytest.raises(TypeError, match="encoding"):
        Command("p").encoding(label)


def test_an_io_priority_level_belongs_to_its_class():
    for name in ("best_effort", "real_time"):
        for level in (0, 7):
            Command("p").io_priority(name, level=level)
        for level in (-1, 8, 10**30, -(10**30), None):
            with pytest.raises(ValueError, match="io_priority"):
                Command("p").io_priority(name, level=level)
    for level in (0, 7, 8):
        with pytest.raises(ValueError, match="io_priority"):
            Command("p").io_priority("idle", level=level)


@pytest.mark.parametrize("name", ["idle", "best_effort", "real_time"])
def test_an_io_priority_level_is_an_integer(name):
    with pytest.raises(TypeError, match="not a bool"):
        Command("p").io_priority(name, level=True)
    for level in (1.0, "1", [1]):
        with pytest.raises(TypeError, match="must be an integer"):
            Command("p").io_priority(name, level=level)


def test_append_is_a_keyword():
    for build in (Command("p").stdout_file, Command("p").stderr_file):
        build("x", append=True)
        with pytest.raises(TypeError):
            build("x", True)


def test_a_command_is_equal_to_itself_only_and_can_be_a_key():
    one, two = Command("p", ["a"]), Command("p", ["a"])
    assert one == one
    assert one != two
    assert len({one, two}) == 2


def test_a_command_cannot_be_pickled():
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="Command"):
            pickle.dumps(Command("p"), protocol)


def test_a_misspelt_attribute_is_an_error():
    command = Command("p")
    with pytest.raises(AttributeError):
        command.time_out
    with pytest.raises(AttributeError):
        command.time_out = 5
    for name in ("program", "arguments", "configured_arg0"):
        with pytest.raises(AttributeError):
            setattr(command, name, "x")


def test_a_command_has_no_truth_of_its_own():
    assert not hasattr(Command, "__bool__")
    assert not hasattr(Command, "__len__")
    assert Command("")


def test_the_parent_death_scope_is_the_same_from_the_class_an_instance_and_after_the_builder():
    scope = Command.kill_on_parent_death_scope()
    assert scope in ("whole_tree", "direct_child_only", "unsupported")
    assert Command("p").kill_on_parent_death_scope() == Command("p").kill_on_parent_death().kill_on_parent_death_scope() == scope


@pytest.mark.parametrize("verb", ["aoutput", "aoutput_bytes", "arun", "arun_json", "aexit_code", "aprobe", "astart"])
def test_an_async_verb_without_a_loop_says_so_and_starts_nothing(verb, tmp_path):
    marker = tmp_path / "ran"
    command = sh(f"echo 1; : > {marker}")
    with pytest.raises(ProcessError, match="no running asyncio event loop"):
        getattr(command, verb)().send(None)
    assert not marker.exists()
    assert command.run() == "1"


def test_an_async_verb_that_is_not_awaited_starts_nothing(tmp_path):
    marker = tmp_path / "ran"

    async def main():
        waiting = sh(f": > {marker}").aoutput()
        await true().arun()
        waiting.close()

    asyncio.run(main())
    assert not os.path.exists(marker)

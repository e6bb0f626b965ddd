"""Errors and verbs as whoever writes a double, or reads their help, meets them."""

import inspect
import pickle

import pytest

import processkit
from processkit import Command, Outcome, Pipeline, ProcessGroup, Runner

RUN = {"program": "p", "stdout": "o", "stderr": "e", "stdout_bytes": b"o", "diagnostic": "e"}
BUILT = [
    (processkit.ProcessError, {"program": "p"}),
    (processkit.NonZeroExit, {**RUN, "code": 3}),
    (processkit.Timeout, {**RUN, "timeout_seconds": 1.5}),
    (processkit.Signalled, {**RUN, "signal": 9}),
    (processkit.IdleTimeout, {**RUN, "idle_timeout_seconds": 2.0}),
    (processkit.ProcessNotFound, {"program": "p", "searched": "/bin"}),
    (processkit.PermissionDenied, {"program": "p"}),
    (processkit.ResourceLimit, {"program": "p"}),
    (processkit.Unsupported, {"operation": "pty"}),
    (processkit.OutputTooLarge, {"program": "p", "max_lines": 1, "max_bytes": None, "total_lines": 2, "total_bytes": 5}),
    (processkit.Cancelled, {"program": "p"}),
    (processkit.InvalidJson, {"program": "p", "stdout": "{"}),
    (processkit.WaitTimeout, {"timeout_seconds": 1.0, "host": "h", "port": 80, "path": "/x"}),
    (processkit.NotReady, {"timeout_seconds": 1.0, "path": "/x", "outcome": Outcome(1, None, False)}),
]


@pytest.mark.parametrize(("kind", "attributes"), BUILT, ids=lambda value: getattr(value, "__name__", ""))
def test_a_double_can_build_every_error_and_what_it_carries_survives_pickling(kind, attributes):
    error = kind("text", **attributes)
    assert str(error) == "text"
    assert {name: getattr(error, name) for name in attributes} == attributes
    assert attributes.items() <= vars(error).items()
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert (str(copy), vars(copy)) == (str(error), vars(error))


@pytest.mark.parametrize("kind", [kind for kind, _ in BUILT], ids=lambda kind: kind.__name__)
def test_an_error_that_is_built_of_its_text_alone_has_all_that_it_declares(kind):
    needed = {"timeout_seconds": 1.0} if issubclass(kind, processkit.WaitTimeout) else {}
    error = kind("text", **needed)
    declared = {name for base in kind.__mro__ for name in base.__dict__.get("__annotations__", ())}
    assert "program" in declared
    for name in declared:
        getattr(error, name)
    assert declared <= vars(error).keys()


@pytest.mark.parametrize("kind", [kind for kind, _ in BUILT], ids=lambda kind: kind.__name__)
def test_an_attribute_that_no_error_of_this_kind_has_is_refused(kind):
    needed = {"timeout_seconds": 1.0} if issubclass(kind, processkit.WaitTimeout) else {}
    with pytest.raises(TypeError):
        kind("text", **needed, no_such_attribute=1)


def test_errno_is_told_where_the_system_said_it_and_survives_pickling():
    with pytest.raises(processkit.ProcessNotFound) as caught:
        Command("no-such-program-at-all").output()
    assert caught.value.errno == 2
    assert pickle.loads(pickle.dumps(caught.value)).errno == 2


VERBS = ["output", "output_bytes", "run", "exit_code", "probe"]


@pytest.mark.parametrize("kind", [Command, Pipeline, ProcessGroup, Runner], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("verb", [*VERBS, *("a" + verb for verb in VERBS)])
def test_every_class_shows_every_verb_with_its_words_and_its_types(kind, verb):
    method = getattr(kind, verb)
    assert inspect.getdoc(method)
    parameters = [*inspect.signature(method).parameters]
    assert parameters == (["self", "command"] if kind in (ProcessGroup, Runner) else ["self"])
    assert method.__annotations__["return"]
    assert inspect.iscoroutinefunction(method) == verb.startswith("a")

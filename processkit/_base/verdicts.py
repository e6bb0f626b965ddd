"""From a finished run to the value of a one-shot verb, the same for `Command`, groups and pipelines."""

from __future__ import annotations

from .errors import InvalidJson

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .result import ProcessResult

MOST_JSON_SHOWN = 2048


def text_of(result: ProcessResult) -> str:
    """`run`: return stdout without trailing white space, or raise what `ensure_success` does."""
    return result.ensure_success().stdout.rstrip()


def json_of(result: ProcessResult) -> Any:
    """`run_json`: return the JSON value in stdout, or raise InvalidJson with the head of it."""
    import json

    text = result.ensure_success().stdout
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        message = f"{result.program}: stdout is not valid JSON: {error}"
        raise InvalidJson(message, program=result.program, stdout=text[:MOST_JSON_SHOWN]) from error


def exit_code_of(result: ProcessResult) -> int:
    """`exit_code`: return the raw code, or raise Signalled, Timeout or IdleTimeout if there is none."""
    if result.code is None:
        result.ensure_success()
    assert result.code is not None
    return result.code


def probe_of(result: ProcessResult) -> bool:
    """`probe`: return True for 0, False for 1; raise NonZeroExit for any other code, or what ended the run."""
    code = exit_code_of(result)
    if code in (0, 1):
        return code == 0
    raise result._failure()

"""Systems for which this version has no mechanism yet: every call that would need one raises NotImplementedError."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, NoReturn

    from .feed import Feed
    from .port import Child, Container, Environment, EventLoop, GroupContainer, Identity
    from .terms import Plan


def _refuse() -> NoReturn:
    raise NotImplementedError("this system has no containment in this version of processkit")


def write_ready(child: Child, feed: Feed) -> None:
    _refuse()


class Waiter:
    """Refuses."""

    def __init__(self, child: Child, feed: Feed | None) -> None:
        _refuse()

    def watch_tree(self) -> bool:
        _refuse()

    def feed(self, feed: Feed) -> None:
        _refuse()

    def pour_into(self, direct: Callable[[int], object]) -> None:
        _refuse()

    def pause(self, what: int) -> None:
        _refuse()

    def resume(self, what: int) -> None:
        _refuse()

    def unwatch(self, descriptor: int) -> None:
        _refuse()

    def read_now(self, descriptor: int) -> bytes | None:
        _refuse()

    def waker(self) -> Callable[[], None]:
        _refuse()

    def wait(self, seconds: float | None, report: Callable[[int, bytes], None]) -> None:
        _refuse()

    def close(self) -> None:
        _refuse()


class LoopWaiter(Waiter):
    """Refuses."""

    def __init__(
        self,
        loop: EventLoop,
        child: Child,
        feed: Feed | None,
        report: Callable[[int, bytes], None],
        lasting: bool = False,
        fail: Callable[[BaseException], None] | None = None,
    ) -> None:
        _refuse()


def pipe_between() -> tuple[int, int]:
    _refuse()


def close_end(handle: int) -> None:
    _refuse()


class Sleeper:
    """Refuses."""

    def __init__(self) -> None:
        _refuse()

    def add(self, descriptor: int, callback: Callable[[], None]) -> None:
        _refuse()

    def remove(self, descriptor: int) -> None:
        _refuse()

    def wake(self) -> None:
        _refuse()

    def sleep(self, seconds: float | None) -> None:
        _refuse()

    def close(self) -> None:
        _refuse()


class LoopEnds:
    """Refuses."""

    def __init__(self, loop: EventLoop, ended: list[int], tell: Callable[[], None]) -> None:
        _refuse()

    def close(self) -> None:
        _refuse()


def any_ended(descriptors: list[int], seconds: float | None) -> None:
    _refuse()


def find_program(program: str, first: tuple[str, ...], path: str | None, to_launch: bool = False) -> str:
    _refuse()


def identify(pid: int) -> Identity | None:
    _refuse()


def cpu_seconds(pid: int) -> float | None:
    _refuse()


def peak_memory(pid: int) -> int | None:
    _refuse()


def private_container() -> Container:
    _refuse()


def group_container(survive_owner: bool) -> GroupContainer:
    _refuse()


def leash_container() -> Container:
    _refuse()


def spawn_detached(plan: Plan) -> int:
    _refuse()


def mechanism() -> str:
    _refuse()


def refused(plan: Plan) -> str | None:
    return None


def named_pipe_exists(name: str) -> bool:
    _refuse()


def dies_with_owner() -> bool:
    return False


def soft_stop_scope() -> str:
    return "none"


def guardian_kind() -> str:
    return "none"


def weakness() -> tuple[str, str]:
    """Refuses."""
    _refuse()


def launcher_name() -> str:
    _refuse()


def environment(clear: bool, inherit: tuple[str, ...], overrides: dict[str, str | None]) -> Environment:
    _refuse()


def in_foreground() -> bool:
    return False


def leash_strength() -> str:
    return "best_effort"


def announce_hook() -> None:
    """Nothing to announce."""


def guardian_invocation(words: list[str]) -> list[str] | None:
    return None


def run_hook(arguments: list[str]) -> NoReturn:
    _refuse()

"""The base of results and reports: immutable, compared and hashed by value, readable, picklable."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Value:
    """Base of the value types. `_fields` names the stored values in order; the first `_compared` (None: all) decide equality."""

    __slots__ = ("_values",)
    _values: tuple[Any, ...]
    _fields: tuple[str, ...] = ()
    _compared: int | None = None

    def __init_subclass__(cls) -> None:
        for index, name in enumerate(cls.__dict__.get("_fields", ())):
            setattr(cls, name, property(_getter(index)))

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._values[: self._compared] == other._values[: self._compared]

    def __hash__(self) -> int:
        return hash((type(self), self._values[: self._compared]))

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in zip(self._fields, self._values))
        return f"{type(self).__name__}({shown})"

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__}.{name} cannot be set: the object is immutable")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__}.{name} cannot be deleted: the object is immutable")

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self._values)


def _getter(index: int) -> Any:
    return lambda self: self._values[index]


def _rebuild(cls: type[Any], values: tuple[Any, ...]) -> Any:
    made = object.__new__(cls)
    store(made, values)
    return made


def store(target: Value, values: tuple[Any, ...]) -> None:
    """Fill a new value object."""
    object.__setattr__(target, "_values", values)

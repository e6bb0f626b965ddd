"""What every result and report shares: immutable, compared and hashed by value, readable, picklable."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Value:
    """Base of the value types. `_fields` are its slots in constructor order; `_compared` those that make it equal."""

    __slots__ = ()
    _fields: tuple[str, ...] = ()
    _compared: tuple[str, ...] = ()

    def _key(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in self._compared or self._fields)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._key() == other._key()

    def __hash__(self) -> int:
        return hash((type(self), self._key()))

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._fields)
        return f"{type(self).__name__}({shown})"

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__}.{name} cannot be set: the object is immutable")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__}.{name} cannot be deleted: the object is immutable")

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), tuple(getattr(self, name) for name in self._fields))


def _rebuild(cls: type[Any], values: tuple[Any, ...]) -> Any:
    return assign(cls.__new__(cls), **dict(zip(cls._fields, values)))


def assign(target: Any, **values: object) -> Any:
    """Fill a new value object; returns it."""
    for name, value in values.items():
        object.__setattr__(target, name, value)
    return target

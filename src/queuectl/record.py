"""Records: frozen nouns with named fields, without the fifteen milliseconds that importing dataclasses costs.

A class begins with methods that loop over its fields. Compiling straight-line ones costs a third of a millisecond, so
that is done only for a class of which many are made, such as Job in a worker.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Self, dataclass_transform
else:

    def dataclass_transform(**_):
        return lambda cls: cls


MANY = 100


@dataclass_transform(frozen_default=True)
class RecordType(type):
    """Turns the annotations of a class body into slots and an `__init__` that takes them by place or by name."""

    fields: tuple[str, ...]
    defaults: dict[str, Any]
    made: int

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> RecordType:
        fields = tuple(namespace.get("__annotations__", ())) if bases else ()
        defaults = {field: namespace.pop(field) for field in fields if field in namespace}
        namespace["__slots__"] = fields
        cls = super().__new__(mcs, name, bases, namespace)
        cls.fields, cls.defaults, cls.made = fields, defaults, 0
        return cls

    def count(cls) -> None:
        """One more was made."""
        cls.made += 1
        if cls.made == MANY and cls.fields:
            cls.compile()

    def compile(cls) -> None:
        """Replace the looping methods by straight-line ones."""
        arguments = ", ".join([f"{f}=_defaults[{f!r}]" if f in cls.defaults else f for f in cls.fields])
        scope: dict[str, Any] = {"_defaults": cls.defaults}
        exec(
            f"def __init__(self, {arguments}): {'; '.join([f'self.{f} = {f}' for f in cls.fields])}\n"
            f"def _copy_to(self, copy): {'; '.join([f'copy.{f} = self.{f}' for f in cls.fields])}\n"
            f"def values(self): return ({''.join([f'self.{f}, ' for f in cls.fields])})",
            scope,
        )
        for method in ("__init__", "_copy_to", "values"):
            setattr(cls, method, scope[method])


class Record(metaclass=RecordType):
    """A value: compared by content, shown by content, changed only by making another with `but`."""

    if not TYPE_CHECKING:  # the type checker makes the signature from the fields

        def __init__(self, *args, **kwargs):
            cls = type(self)
            fields = cls.fields
            if len(args) > len(fields):
                raise TypeError(f"{cls.__name__} has {len(fields)} fields, not {len(args)}")
            for field, value in zip(fields, args, strict=False):
                setattr(self, field, value)
            for field in fields[len(args) :]:
                if field in kwargs:
                    setattr(self, field, kwargs.pop(field))
                elif field in cls.defaults:
                    setattr(self, field, cls.defaults[field])
                else:
                    raise TypeError(f"{cls.__name__} needs {field!r}")
            if kwargs:
                raise TypeError(f"{cls.__name__} has no field {sorted(kwargs)[0]!r}, or it is given twice")
            cls.count()

    def but(self, **changes: Any) -> Self:
        """The same record with some fields replaced."""
        cls = type(self)
        if cls.made < MANY:
            cls.count()
        copy = object.__new__(cls)
        self._copy_to(copy)
        for field, value in changes.items():
            setattr(copy, field, value)  # slots: a name that is no field is an AttributeError
        return copy

    def _copy_to(self, copy: Self) -> None:
        for field in type(self).fields:
            setattr(copy, field, getattr(self, field))

    def picked(self, fields: tuple[str, ...]) -> list[Any]:
        return [getattr(self, field) for field in fields]

    def values(self) -> tuple[Any, ...]:
        """The fields in their order."""
        return tuple(self.picked(type(self).fields))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.values()

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and isinstance(other, Record) and other.values() == self.values()

    def __hash__(self) -> int:
        return hash((type(self), self.values()))

    def __repr__(self) -> str:
        shown = ", ".join(f"{field}={getattr(self, field)!r}" for field in type(self).fields)
        return f"{type(self).__name__}({shown})"

"""`Model`: the base class that lets type checkers complete what `@db.model` adds."""

from __future__ import annotations

from typing import Any, ClassVar, dataclass_transform

from dataflow.models.fields import Field, Relationship

__all__ = ["Model"]


@dataclass_transform(kw_only_default=True, field_specifiers=(Field, Relationship))
class Model:
    """Base for models whose constructor editors should know; otherwise empty.

    `@db.model class User(Model)` and `@db.model class User` make the same table and
    nodes.
    """

    __dataflow__: ClassVar[Any]
    query_builder: ClassVar[Any]
    """Return a `QueryBuilder` that collects the inputs of this model's List node."""

    def __init__(self, **values: Any) -> None:
        """Refuse use of a class that no DataFlow has decorated.

        Raises:
            TypeError: Always; `@db.model` replaces this constructor.
        """
        del values
        msg = f"{type(self).__name__} is not a model yet: decorate it with @db.model"
        raise TypeError(msg)

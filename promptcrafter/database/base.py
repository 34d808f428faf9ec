"""The base class of the models and the types of their columns that SQLite and PostgreSQL store differently."""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import BigInteger, DateTime, Dialect, Integer, MetaData, String, Text, TypeDecorator
from sqlalchemy.orm import DeclarativeBase, Mapped
from sqlalchemy.types import TypeEngine

from promptcrafter import clock
from promptcrafter.ids import Kind
from promptcrafter.jsonio import dumps

# Of a table that is computed from others, and so need not be moved to another database
DERIVED = {"info": {"is_derived": True}}
SEQUENCE = BigInteger().with_variant(Integer, "sqlite")  # only INTEGER PRIMARY KEY is SQLite's row id


class Base(DeclarativeBase):
    """The base of every model; constraints are named by convention so that migrations can find them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class Deletable(Base):
    """The base of the models whose rows may take long to delete: see `database/deletions.py`."""

    __abstract__ = True

    kind: ClassVar[Kind]
    has_parts: ClassVar[bool] = True  # whether others belong to it, and are deleted with it
    id: Mapped[str]

    @classmethod
    def each_model(cls) -> Iterator[type["Deletable"]]:
        """Yield all models whose base this is, directly or not."""
        for model in cls.__subclasses__():
            if "__tablename__" in vars(model):
                yield model
            yield from model.each_model()


class Resource(Deletable):
    """The base of the models whose rows belong to a workspace."""

    __abstract__ = True

    workspace_id: Mapped[str]
    author_id: Mapped[str]  # the account that made it, which may be deleted by now


class UtcTime(TypeDecorator[datetime]):
    """An aware UTC time in milliseconds: a timestamp on PostgreSQL, sortable RFC 3339 text on SQLite."""

    impl = String(24)
    cache_ok = True

    @property
    def python_type(self) -> type[datetime]:
        return datetime

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(DateTime(timezone=True) if dialect.name == "postgresql" else String(24))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None or dialect.name == "postgresql":
            return value
        return clock.to_text(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        return datetime.fromisoformat(value) if isinstance(value, str) else value


class JsonText(TypeDecorator[Any]):
    """A JSON value stored as text on both databases, which keeps the order of keys."""

    impl = Text
    cache_ok = True

    def compare_values(self, x: Any, y: Any) -> bool:
        """Return whether a new value need not be written. For Python, True equals 1, and the order of keys is alike."""
        return x is y or dumps(x) == dumps(y)

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else dumps(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else json.loads(value)

"""Prompts, their immutable versions, labels and tags, and the texts that search reads."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    String,
    Text,
    UniqueConstraint,
    func,
    select,
    type_coerce,
)
from sqlalchemy.orm import Mapped, column_property, mapped_column, relationship

from promptcrafter.auth.models import DELETED_ACCOUNT, User
from promptcrafter.database.base import SEQUENCE, Base, JsonText, Resource, UtcTime

LABELS_MAX = 10_000  # of a prompt


class Versioned(Base):
    """What a version keeps of a prompt: a change of any of it makes a new version.

    To add a column, add it here and to VERSIONED, and its field to `fields.version_fields` and
    `fields.version_fields_out`.
    """

    __abstract__ = True

    content: Mapped[str] = mapped_column(Text)
    messages: Mapped[list[dict[str, str]] | None] = mapped_column(JsonText)  # None: the prompt is a text
    model: Mapped[str] = mapped_column(Text)
    config: Mapped[dict[str, Any]] = mapped_column(JsonText, default=dict, server_default="{}")

    @property
    def type(self) -> str:
        """`chat` for messages, of which the content is the flattened text; else `text`."""
        return "text" if self.messages is None else "chat"


VERSIONED = ("messages", "content", "model", "config")  # the names of its columns


class Prompt(Versioned, Resource):
    """A prompt in its current state.

    What it has of a version are copies of the latest one's, so that lists read one table.
    """

    kind = "prompt"
    __tablename__ = "prompts"
    __table_args__ = (
        UniqueConstraint("id"),
        UniqueConstraint("workspace_id", "id"),  # to which others refer, so that no reference leaves the workspace
        UniqueConstraint("workspace_id", "slug"),
        CheckConstraint("version >= 1", name="version"),
        Index(None, "workspace_id", "created_at", "seq"),
        Index(None, "workspace_id", "model", "created_at", "seq"),
    )

    seq: Mapped[int] = mapped_column(SEQUENCE, Identity(), primary_key=True)
    id: Mapped[str] = mapped_column(String(64))
    workspace_id: Mapped[str] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"))
    author_id: Mapped[str] = mapped_column(ForeignKey("users.id"))
    slug: Mapped[str] = mapped_column(Text)
    title: Mapped[str] = mapped_column(Text)
    description: Mapped[str] = mapped_column(Text, default="", server_default="")
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    updated_at: Mapped[datetime] = mapped_column(UtcTime)

    tag_rows: Mapped[list["Tag"]] = relationship(
        order_by="Tag.position", cascade="all, delete-orphan", passive_deletes=True, lazy="selectin"
    )
    label_rows: Mapped[list["Label"]] = relationship(viewonly=True, lazy="selectin")

    @property
    def tags(self) -> list[str]:
        """The tag names, in the order in which they were sent."""
        return [row.name for row in self.tag_rows]

    @property
    def labels(self) -> list[str]:
        """The names of the labels of all versions, sorted."""
        return sorted(row.name for row in self.label_rows)


LARGE_COLUMNS = (Prompt.content, Prompt.messages, Prompt.config)  # which lists of names and the like leave out


class Label(Base):
    """A name such as `production` that points to one version of a prompt."""

    __tablename__ = "prompt_labels"
    __table_args__ = (
        ForeignKeyConstraint(
            ["prompt_id", "version"], ["prompt_versions.prompt_id", "prompt_versions.number"], ondelete="CASCADE"
        ),
    )

    prompt_id: Mapped[str] = mapped_column(ForeignKey("prompts.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(Text, primary_key=True)
    version: Mapped[int]


class Version(Versioned):
    """One state of what makes a version of a prompt; immutable."""

    __tablename__ = "prompt_versions"

    prompt_id: Mapped[str] = mapped_column(ForeignKey("prompts.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    author_id: Mapped[str] = mapped_column(ForeignKey("users.id"))
    comment: Mapped[str | None] = mapped_column(Text)  # why the prompt was changed
    # A subquery for each row instead of one query for many versions: SQLite uses no index for a list of pairs
    label_names: Mapped[str | None] = column_property(
        select(func.aggregate_strings(Label.name, ","))
        .where(Label.prompt_id == prompt_id, Label.version == number)
        .correlate_except(Label)
        .scalar_subquery()
    )
    # Only what shows versions reads it. `String`, because a name is never as long as a `Text` may be
    author_name: Mapped[str] = column_property(
        select(type_coerce(User.name, String)).where(User.id == author_id).correlate_except(User).scalar_subquery(),
        deferred=True,
    )

    @property
    def author(self) -> dict[str, str]:
        """The id and the name of the account that made this version. A deleted account may have lost its name."""
        return {"user_id": self.author_id, "name": self.author_name or DELETED_ACCOUNT}

    @property
    def labels(self) -> list[str]:
        """The names of the labels of this version, sorted."""
        return sorted(self.label_names.split(",")) if self.label_names else []


class Tag(Base):
    """A keyword of a prompt."""

    __tablename__ = "prompt_tags"
    __table_args__ = (UniqueConstraint("prompt_id", "name"),)

    prompt_id: Mapped[str] = mapped_column(ForeignKey("prompts.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(Text)


class SearchText(Base):
    """The folded texts of a prompt and their grams (see `search`), over which the database has its word indices."""

    __tablename__ = "prompt_search"

    seq: Mapped[int] = mapped_column(ForeignKey("prompts.seq", ondelete="CASCADE"), primary_key=True)
    title: Mapped[str] = mapped_column(Text)
    tags: Mapped[str] = mapped_column(Text)
    content: Mapped[str] = mapped_column(Text)
    title_grams: Mapped[str] = mapped_column(Text)
    tags_grams: Mapped[str] = mapped_column(Text)
    content_grams: Mapped[str] = mapped_column(Text)

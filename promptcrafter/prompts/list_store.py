"""What lists of prompts show: the prompts that match filters, their tags and folders, and the values to filter by."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, collate, func, select
from sqlalchemy.orm import defer

from promptcrafter.auth.models import DELETED_ACCOUNT, User
from promptcrafter.database.deletions import is_present
from promptcrafter.database.keyset import Order
from promptcrafter.database.session import is_sqlite, session
from promptcrafter.prompts.models import LARGE_COLUMNS, Label, Prompt, Tag
from promptcrafter.workspaces.access import find_resources, in_current_workspace
from promptcrafter.workspaces.principal import Principal


def find_prompts(principal: Principal, filters: Mapping[str, Any]) -> Select[Prompt]:
    """Return a select of the principal's prompts, filtered by those given of these.

    `model`, `author`, `slug`, `folder`, `label`, `updated_since` and `updated_until` (exclusive), and `tags`, of which
    a prompt must have all.
    """
    statement = find_resources(principal, Prompt)
    if "model" in filters:
        statement = statement.where(Prompt.model == filters["model"])
    if "author" in filters:
        statement = statement.where(Prompt.author_id == filters["author"])
    if "slug" in filters:
        statement = statement.where(Prompt.slug == filters["slug"])
    if "folder" in filters:
        statement = statement.where(_is_in_folder(filters["folder"]))
    if "label" in filters:
        statement = statement.where(Prompt.label_rows.any(Label.name == filters["label"]))
    if "updated_since" in filters:
        statement = statement.where(Prompt.updated_at >= filters["updated_since"])
    if "updated_until" in filters:
        statement = statement.where(Prompt.updated_at < filters["updated_until"])
    tags = list(dict.fromkeys(filters.get("tags", ())))
    if tags:
        statement = statement.where(Prompt.tag_rows.any(Tag.name == tags[0]))
        if len(tags) > 1:  # counted, since PostgreSQL plans a join for each EXISTS, which takes a minute for a hundred
            is_one = (Tag.prompt_id == Prompt.id) & Tag.name.in_(tags)
            statement = statement.where(select(func.count()).where(is_one).scalar_subquery() == len(tags))
    return statement


def _is_in_folder(folder: str) -> ColumnElement[bool]:
    """Return the condition that a slug begins with the folder and a slash, for which an index of slugs can be used.

    On PostgreSQL it can only if the collation of the database is C; SQLite compares bytes.
    """
    if is_sqlite():
        return and_(Prompt.slug >= f"{folder}/", Prompt.slug < f"{folder}{chr(ord('/') + 1)}")
    return func.starts_with(Prompt.slug, f"{folder}/")


def get_page(statement: Select[Prompt], page: int, limit: int) -> tuple[int, list[tuple[Prompt, bool]]]:
    """Return how many prompts a select finds, and those of one page, newest first, each with whether it is a chat.

    Pages count from 1. Contents and messages are deferred.
    """
    total = session.scalar(select(func.count()).select_from(statement.with_only_columns(Prompt.seq).subquery()))
    rows = session.execute(
        statement.add_columns(Prompt.messages.is_not(None))
        .options(defer(Prompt.content), defer(Prompt.messages))
        .order_by(Prompt.created_at.desc(), Prompt.seq.desc())
        .offset((page - 1) * limit)
        .limit(limit)
    )
    return total or 0, [(prompt, bool(is_chat)) for prompt, is_chat in rows]


def get_prompts(principal: Principal, filters: Mapping[str, Any]) -> Sequence[Prompt]:
    """Return the prompts of `find_prompts`, newest first, with their large columns deferred."""
    statement = find_prompts(principal, filters).options(*map(defer, LARGE_COLUMNS))
    return session.scalars(statement.order_by(Prompt.created_at.desc(), Prompt.seq.desc())).all()


def rank_tags(principal: Principal) -> tuple[Select[Any], Order]:
    """Return a select of the `name` of each tag in the workspace with the `number` of prompts that have it.

    The order is that of the list: the most frequent tags first, equally frequent ones by code point.
    """
    counts = (
        select(Tag.name, func.count().label("number"))
        .join(Prompt, Prompt.id == Tag.prompt_id)
        .where(in_current_workspace(principal, Prompt), is_present(Prompt))
        .group_by(Tag.name)
        .subquery("counts")
    )
    by_code_point = collate(counts.c.name, "BINARY" if is_sqlite() else "C")
    place = func.row_number().over(order_by=(counts.c.number.desc(), by_code_point)).label("place")
    ranked = select(counts, place).subquery("ranked")
    return select(ranked.c.name, ranked.c.number), Order((ranked.c.place,), is_ascending=True)


def get_top_tags(principal: Principal, count: int) -> Sequence[Any]:
    """Return the first rows of `rank_tags`."""
    ranked, order = rank_tags(principal)
    return session.execute(order.sort(ranked).limit(count)).all()


def get_folders(principal: Principal, folder: str, count: int) -> Sequence[Any]:
    """Return the `name` of each folder that is directly in a folder, or at the top for "", sorted, and a `number`.

    That is how many prompts are in it, at any depth.
    """
    rest = func.substr(Prompt.slug, len(folder) + 2) if folder else Prompt.slug.expression
    end = (func.instr if is_sqlite() else func.strpos)(rest, "/")
    slugs = select(func.substr(rest, 1, end - 1).label("name"))
    slugs = slugs.where(in_current_workspace(principal, Prompt), is_present(Prompt), end > 0)
    names = (slugs.where(_is_in_folder(folder)) if folder else slugs).subquery("names")
    counted = select(names.c.name, func.count().label("number")).group_by(names.c.name)
    return session.execute(counted.order_by(names.c.name).limit(count)).all()


def get_filter_values(principal: Principal, count: int) -> dict[str, list[tuple[str, str]]]:
    """Return for the filters `model`, `label` and `author` which values the prompts have, each with its name."""
    own = (in_current_workspace(principal, Prompt), is_present(Prompt))
    models = select(Prompt.model).where(*own).distinct().order_by(Prompt.model)
    labels = select(Label.name).join(Prompt, Prompt.id == Label.prompt_id).where(*own).distinct().order_by(Label.name)
    authors = select(User.id, User.name).where(User.id.in_(select(Prompt.author_id).where(*own))).order_by(User.name)
    return {
        "model": [(model, model) for model in session.scalars(models.limit(count))],
        "label": [(name, name) for name in session.scalars(labels.limit(count))],
        "author": [(user_id, name or DELETED_ACCOUNT) for user_id, name in session.execute(authors.limit(count))],
    }

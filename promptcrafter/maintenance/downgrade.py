"""What a step back to the schema of an older release loses, because that release has no place for it."""

from dataclasses import astuple, dataclass
from typing import Any

from sqlalchemy import Select, func, or_, select
from sqlalchemy.orm import aliased

from promptcrafter.auth.models import ApiKey
from promptcrafter.database import revisions
from promptcrafter.database.session import get_engine
from promptcrafter.experiments.models import Variant
from promptcrafter.logs.models import Log, Score
from promptcrafter.logs.score_columns import is_counted
from promptcrafter.prompts.models import Prompt, Version
from promptcrafter.scores.models import ScoreConfig
from promptcrafter.workspaces.models import AuditEntry, Invitation, Member, Workspace

_ADDS_WORKSPACES = "5e0c83a1d7f6"  # the revision before which every account is alone
_ADDS_COMMENTS = "8c3f5a9e1b72"
_ADDS_AUDIT = "c94e17d0b382"
_ADDS_CHATS = "7b2d91f4c6e0"  # the revision before which prompts are texts only
_ADDS_SCORES = "d52b7f09c3a8"  # the revision before which a log has one score


@dataclass(frozen=True, kw_only=True)
class Losses:
    """How many rows of each kind a downgrade loses."""

    workspaces: int = 0  # without personal ones
    members: int = 0  # of these workspaces
    invitations: int = 0
    keys: int = 0  # that are bound to a workspace or to scopes
    comments: int = 0  # on versions
    audit_entries: int = 0
    messages: int = 0  # versions that have them; their text remains
    configs: int = 0  # of versions, without empty ones
    descriptions: int = 0
    scores: int = 0  # without those that a log shows, which remain
    score_configs: int = 0
    pinned_variants: int = 0  # of experiments, that name a version
    call_details: int = 0  # logs with a status, an error, a user, a session, an environment or parameters

    def __bool__(self) -> bool:
        return any(astuple(self))


def find_losses(target: str) -> Losses:
    """Return what a downgrade to a revision loses; `target` may have any form that Alembic knows, such as `-1`.

    Raises DBAPIError.
    """
    undone = revisions.list_undone(target)
    statements = {name: count for revision in undone for name, count in _counts().get(revision, {}).items()}
    if not statements:
        return Losses()
    with get_engine().connect() as connection:
        counted = connection.execute(select(*(count.scalar_subquery() for count in statements.values()))).one()
    return Losses(**dict(zip(statements, counted, strict=True)))


def _counts() -> dict[str, dict[str, Select[int]]]:
    """Return what counts the rows that the step back from a revision loses, by revision and attribute of Losses."""
    shared = Workspace.personal_user_id.is_(None)
    restricted = or_(ApiKey.workspace_id.is_not(None), ApiKey.scopes.is_not(None))
    of_call = (Log.status, Log.error, Log.user_id, Log.session_id, Log.environment, Log.parameters)
    newer = aliased(Score)
    is_newer = (newer.log_seq == Score.log_seq) & is_counted(newer) & (newer.valued_at > Score.valued_at)
    shows_score = select(Log.seq).where(Log.seq == Score.log_seq, Log.score.is_not(None)).exists()
    is_shown = is_counted(Score) & shows_score & ~select(newer.seq).where(is_newer).exists()
    return {
        _ADDS_WORKSPACES: {
            "workspaces": _count(Workspace).where(shared),
            "members": _count(Member).where(Member.workspace_id.in_(select(Workspace.id).where(shared))),
            "invitations": _count(Invitation),
            "keys": _count(ApiKey).where(restricted),
        },
        _ADDS_COMMENTS: {"comments": _count(Version).where(Version.comment.is_not(None))},
        _ADDS_AUDIT: {"audit_entries": _count(AuditEntry)},
        _ADDS_CHATS: {
            "messages": _count(Version).where(Version.messages.is_not(None)),
            "configs": _count(Version).where(Version.config != {}),
            "descriptions": _count(Prompt).where(Prompt.description != ""),
        },
        _ADDS_SCORES: {
            "scores": _count(Score).where(~is_shown),
            "score_configs": _count(ScoreConfig),
            "pinned_variants": _count(Variant).where(Variant.prompt_version.is_not(None)),
            "call_details": _count(Log).where(or_(*(column.is_not(None) for column in of_call))),
        },
    }


def _count(model: Any) -> Select[int]:
    return select(func.count()).select_from(model)

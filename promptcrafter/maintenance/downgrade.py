"""What a step back to the schema of an older release loses, because that release has no place for it."""

from dataclasses import astuple, dataclass

from sqlalchemy import func, or_, select

from promptcrafter.auth.models import ApiKey
from promptcrafter.database import revisions
from promptcrafter.database.session import get_engine
from promptcrafter.prompts.models import Prompt, Version
from promptcrafter.workspaces.models import AuditEntry, Invitation, Member, Workspace

# The revisions before which every account is alone, versions have no comments, there is no audit trail, and prompts
# are texts only
_ADDS_WORKSPACES, _ADDS_COMMENTS, _ADDS_AUDIT = "5e0c83a1d7f6", "8c3f5a9e1b72", "c94e17d0b382"
_ADDS_CHATS = "7b2d91f4c6e0"


@dataclass(frozen=True)
class Losses:
    """How many rows of each kind a downgrade loses."""

    workspaces: int = 0  # without personal ones
    members: int = 0  # of these workspaces
    invitations: int = 0
    keys: int = 0  # that are bound to a workspace or to scopes
    comments: int = 0  # of versions
    audit_entries: int = 0
    messages: int = 0  # versions that have them; their text remains
    configs: int = 0  # of versions, without empty ones
    descriptions: int = 0

    def __bool__(self) -> bool:
        return any(astuple(self))


def find_losses(target: str) -> Losses:
    """Return what a downgrade to a revision loses; `target` may have any form that Alembic knows, such as `-1`.

    Raises DBAPIError.
    """
    undone = revisions.list_undone(target)
    shared = Workspace.personal_user_id.is_(None)
    restricted = or_(ApiKey.workspace_id.is_not(None), ApiKey.scopes.is_not(None))
    of_shared = Member.workspace_id.in_(select(Workspace.id).where(shared))
    counts = {
        "workspaces": (_ADDS_WORKSPACES, select(func.count()).select_from(Workspace).where(shared)),
        "members": (_ADDS_WORKSPACES, select(func.count()).select_from(Member).where(of_shared)),
        "invitations": (_ADDS_WORKSPACES, select(func.count()).select_from(Invitation)),
        "keys": (_ADDS_WORKSPACES, select(func.count()).select_from(ApiKey).where(restricted)),
        "comments": (_ADDS_COMMENTS, select(func.count()).select_from(Version).where(Version.comment.is_not(None))),
        "audit_entries": (_ADDS_AUDIT, select(func.count()).select_from(AuditEntry)),
        "messages": (_ADDS_CHATS, select(func.count()).select_from(Version).where(Version.messages.is_not(None))),
        "configs": (_ADDS_CHATS, select(func.count()).select_from(Version).where(Version.config != {})),
        "descriptions": (_ADDS_CHATS, select(func.count()).select_from(Prompt).where(Prompt.description != "")),
    }
    with get_engine().connect() as connection:
        # the tables of what is not undone may be missing: the database may be of an older revision
        return Losses(
            **{
                name: connection.scalars(count).one()
                for name, (revision, count) in counts.items()
                if revision in undone
            }
        )

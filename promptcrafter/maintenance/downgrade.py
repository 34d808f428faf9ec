"""What a step back to the schema of an older release loses, because that release has no place for it."""

from dataclasses import astuple, dataclass

from sqlalchemy import func, or_, select

from promptcrafter.auth.models import ApiKey
from promptcrafter.database import revisions
from promptcrafter.database.session import get_engine
from promptcrafter.workspaces.models import Invitation, Member, Workspace

_ADDS_WORKSPACES = "5e0c83a1d7f6"  # the revision before which every account is alone


@dataclass(frozen=True)
class Losses:
    """How many rows of each kind a downgrade loses."""

    workspaces: int = 0  # without personal ones
    members: int = 0  # of these workspaces
    invitations: int = 0
    keys: int = 0  # that are bound to a workspace or to scopes

    def __bool__(self) -> bool:
        return any(astuple(self))


def find_losses(target: str) -> Losses:
    """Return what a downgrade to a revision loses; `target` may have any form that Alembic knows, such as `-1`.

    Raises DBAPIError.
    """
    if _ADDS_WORKSPACES not in revisions.list_undone(target):
        return Losses()
    shared = Workspace.personal_user_id.is_(None)
    restricted = or_(ApiKey.workspace_id.is_not(None), ApiKey.scopes.is_not(None))
    counts = (
        select(func.count()).select_from(Workspace).where(shared),
        select(func.count()).select_from(Member).where(Member.workspace_id.in_(select(Workspace.id).where(shared))),
        select(func.count()).select_from(Invitation),
        select(func.count()).select_from(ApiKey).where(restricted),
    )
    with get_engine().connect() as connection:
        return Losses(*connection.execute(select(*(count.scalar_subquery() for count in counts))).one())

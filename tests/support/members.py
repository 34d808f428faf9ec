"""Memberships that tests write past the API."""

from sqlalchemy import delete, update

from promptcrafter import clock
from promptcrafter.database.session import session
from promptcrafter.database.transactions import writing
from promptcrafter.workspaces.models import Member, Workspace
from promptcrafter.workspaces.principal import personal_workspace_id
from tests.support.people import Person


def share(owner: Person, member: Person, role: str) -> dict[str, str]:
    """Give `member` a role in the personal workspace of `owner`, in place of another; return the header that names it.

    No call of the API shares a personal workspace, but one that is shared looks like any other.
    """
    workspace_id = personal_workspace_id(owner.id)
    with owner.client.application.app_context(), writing():
        session.execute(delete(Member).where(Member.workspace_id == workspace_id, Member.user_id == member.id))
        session.add(
            Member(workspace_id=workspace_id, user_id=member.id, role=role, is_default=False, created_at=clock.now())
        )
    return {"X-Workspace": workspace_id}


def protect(owner: Person, *labels: str) -> None:
    """Protect labels in the personal workspace of an account."""
    workspace_id = personal_workspace_id(owner.id)
    with owner.client.application.app_context(), writing():
        session.execute(update(Workspace).where(Workspace.id == workspace_id).values(protected_labels=list(labels)))

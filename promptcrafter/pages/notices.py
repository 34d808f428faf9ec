"""What a page says after a form was sent: one of these texts, whose name a cookie carries to the next page.

With the name it carries the label and the version that some texts name.
"""

from flask import redirect, request
from werkzeug.wrappers import Response

TEXTS = {
    "prompt_created": "The prompt is there. Log outputs of it, and they appear below.",
    "version_saved": "A new version is saved. Labels stay on the versions that have them.",
    "prompt_saved": "Saved. The content is as before, so there is no new version.",
    "label_put": "The label is put: {label} is now on version {version}, which programs can fetch by it.",
    "label_moved": "The label is moved: {label} is now on version {version}, which programs that fetch by it get.",
    "label_removed": "The label {label} is removed.",
    "version_restored": "The old version is restored as a new one.",
    "prompt_deleted": "The prompt is deleted, with its outputs.",
    "output_saved": "Saved.",
    "output_deleted": "The output is deleted.",
    "choose_to_compare": "Tick 2 to 5 outputs in the list; then compare them.",
    "choose_some": "Tick one output or more in the list first.",
    "outputs_deleted": "The chosen outputs are deleted.",
    "run_deleted": "The run is deleted, with its outputs.",
    "experiment_created": "The experiment is there, as a draft. Start it when your program asks for its variants.",
    "experiment_changed": "Saved.",
    "experiment_draft": "The experiment is a draft again.",
    "experiment_active": "The experiment is running.",
    "experiment_paused": "The experiment is paused. What it has found stays.",
    "experiment_completed": "The experiment is completed. What it has found stays.",
    "experiment_deleted": "The experiment is deleted, with its results.",
    "account_saved": "Saved.",
    "password_changed": "The password is changed. All other sessions and tokens have ended.",
    "key_revoked": "The key is revoked. Requests with it are refused from now on.",
    "invitation_revoked": "The invitation is revoked.",
    "role_changed": "The role is changed.",
    "member_removed": "The member is removed. What they made stays.",
    "joined": "You are now a member of {workspace} as {role}.",
    "left": "You have left the workspace.",
    "email_changed": "The e-mail is changed. You sign in with it from now on.",
    "account_deleted": "The account is deleted.",
    "password_reset": "The password is set. Sign in with it.",
    "workspace_saved": "Saved.",
    "opens_first": "Saved. This workspace opens first from now on.",
    "workspace_deleted": "The workspace is deleted, with all that it had.",
    "score_saved": "Saved. It holds for scores from now on; stored ones stay as they are.",
    "score_archived": "Archived. Its scores stay, and new ones may be anything.",
    "workspace_created": "The workspace is there. Invite your team.",
}
COOKIE = "notice"
_SHOWN_FOR_S = 60


def redirect_with(target: str, notice: str, *, label: str = "", version: int | str = "") -> Response:
    """Return the redirect to a page that shows a notice, which may name a label and the number of a version."""
    response = redirect(target, 303)
    value = f"{notice}:{label}:{version}" if label else notice
    response.set_cookie(COOKIE, value, max_age=_SHOWN_FOR_S, httponly=True, samesite="Lax", secure=request.is_secure)
    return response


def take_notice(response: Response) -> None:
    """Remove the notice that this page shows, so that the next one does not."""
    if COOKIE in request.cookies:
        response.delete_cookie(COOKIE)


def read_notice(workspace: str, role: str) -> str | None:
    """Return the text of the notice, which may name the workspace of the page and the role there; None without one."""
    name, _, values = request.cookies.get(COOKIE, "").partition(":")
    label, _, version = values.partition(":")
    text = TEXTS.get(name)
    return None if text is None else text.format(label=label, version=version, workspace=workspace, role=role)

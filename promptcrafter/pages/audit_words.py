"""The audit trail in words. Pure functions, used as filters of templates."""

import json
from collections.abc import Mapping
from typing import Any

# What somebody did, by the action; each of `workspaces.schemas.ACTIONS` is here
_ACTIONS = {
    "workspace.create": "made the workspace",
    "workspace.change": "changed the workspace",
    "member.join": "joined",
    "member.change": "changed a role",
    "member.remove": "removed a member",
    "member.leave": "left",
    "invitation.create": "made an invitation",
    "invitation.revoke": "revoked an invitation",
    "key.create": "made an API key",
    "key.revoke": "revoked an API key",
    "prompt.create": "wrote a prompt",
    "prompt.change": "changed a prompt",
    "prompt.restore": "restored a version",
    "prompt.delete": "deleted a prompt",
    "label.set": "put a label",
    "label.remove": "removed a label",
    "experiment.create": "made an experiment",
    "experiment.change": "changed an experiment",
    "experiment.delete": "deleted an experiment",
    "trace.delete": "deleted a run",
    "log.change": "changed an output",
    "log.delete": "deleted an output",
    "score.change": "changed somebody’s score",
    "score.delete": "deleted somebody’s score",
    "score_config.create": "defined a score",
    "score_config.change": "changed the definition of a score",
    "score_config.archive": "archived the definition of a score",
    "export": "exported",
    "import": "imported",
    "prune": "deleted what was old",
}
_ACTORS = {"key": "API key", "cli": "operator"}
# Names of the API that are no words of the pages
_NAMES = {
    "invitationId": "invitation",
    "keyIds": "ids of keys",
    "logs": "outputs",
    "promptId": "prompt",
    "protectedLabels": "protected labels",
    "scopes": "may do",
    "scoreConfigs": "definitions of scores",
    "spans": "steps",
    "traces": "runs",
    "trafficPercent": "share",
    "userId": "account",
    "direction": "better is",
}
_OBJECTS = {"log": "output", "trace": "run", "score_config": "definition of a score", "key": "API key"}
_STATUSES = {"DRAFT": "draft", "ACTIVE": "running", "PAUSED": "paused", "COMPLETED": "completed"}
_DIRECTIONS = {"up": "higher", "down": "lower", "none": "neither"}
_IDS_SHOWN = 6  # characters of the end of an id


def write_action(action: str) -> str:
    """Return what somebody did."""
    return _ACTIONS.get(action, action)


def write_actor(kind: str) -> str:
    """Return what acted, of a kind that is no person."""
    return _ACTORS.get(kind, kind)


def write_object(entry: Any) -> str:
    """Return what an entry is about: its name, or what it is and the end of its id."""
    if entry.object_name:
        return str(entry.object_name)
    return f"{_OBJECTS.get(entry.object_type, entry.object_type)} …{entry.object_id[-_IDS_SHOWN:]}"


def write_name(name: str) -> str:
    """Return the name of a property."""
    return _NAMES.get(name, name)


def write_value(value: Any, name: str = "") -> str:
    """Return the value of a property of this name."""
    if value is None:
        return "everything" if name == "scopes" else "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(write_value(each) for each in value) or "none"
    if isinstance(value, Mapping):
        return _write_mapping(value)
    if isinstance(value, str) and name == "invitationId":
        return f"…{value[-_IDS_SHOWN:]}"  # as the entry about the invitation itself
    if isinstance(value, str):
        return {"status": _STATUSES, "direction": _DIRECTIONS}.get(name, {}).get(value, value)
    return json.dumps(value)


def _write_mapping(value: Mapping[str, Any]) -> str:
    if value.keys() == {"role", "content"}:
        return f"{write_value(value['role'])}: {write_value(value['content'])}"
    if value.keys() == {"key", "trafficPercent"}:
        return f"{write_value(value['key'])} {write_value(value['trafficPercent'])} %"
    return ", ".join(f"{write_name(name)}: {write_value(each, name)}" for name, each in value.items()) or "none"


FILTERS = {
    "audit_action": write_action,
    "audit_actor": write_actor,
    "audit_object": write_object,
    "audit_name": write_name,
    "audit_value": write_value,
}

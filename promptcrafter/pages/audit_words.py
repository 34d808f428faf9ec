"""The audit trail in words. Pure functions, used as filters of templates."""

import json
from collections.abc import Mapping, Sequence
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


def list_changes(before: Any, after: Any) -> list[dict[str, Any]]:
    """Return what an entry changed: the `name` of each property, and `before` and `after` as far as it was there.

    What stayed the same is left out, and so is the content of a chat prompt, which is its messages. Of the variants of
    an experiment each is a property.
    """
    old, new = (values if isinstance(values, Mapping) else {} for values in (before, after))
    messages = [values["messages"] for values in (old, new) if "messages" in values]
    is_chat = bool(messages) and None not in messages
    changes: list[dict[str, Any]] = []
    for name in dict.fromkeys([*old, *new]):
        if (name in old and name in new and old[name] == new[name]) or (name == "content" and is_chat):
            continue
        if name == "variants" and old.get(name) and new.get(name):
            changes += _compare_variants(old[name], new[name])
        else:
            sides = {side: values[name] for side, values in (("before", old), ("after", new)) if name in values}
            changes.append({"name": name, **sides})
    return changes


def _compare_variants(before: Any, after: Any) -> list[dict[str, Any]]:
    """Return the variants that were changed, added or removed. Those that the trail has only in part have no values."""
    if isinstance(before, str) or isinstance(after, str):
        return [{"name": "variants", "after": "changed"}]
    old, new = ({variant["key"]: variant for variant in variants} for variants in (before, after))
    changes: list[dict[str, Any]] = []
    for key in dict.fromkeys([*old, *new]):
        names = [
            name
            for name in ("trafficPercent", "promptId", "promptVersion")
            if old.get(key, {}).get(name) != new.get(key, {}).get(name)
        ]
        sides = {
            side: _write_variant(variants[key], names)
            for side, variants in (("before", old), ("after", new))
            if key in variants
        }
        if names:
            changes.append({"name": f"variant {key}", **sides})
    return changes or [{"name": "variants", "after": "in another order"}]


def _write_variant(variant: Mapping[str, Any], names: Sequence[str]) -> str:
    """Return the share and the version of a variant, as far as they are named; the prompt by the end of its id."""
    words = [f"{write_value(variant['trafficPercent'])} %"] if "trafficPercent" in names else []
    if "promptVersion" in names or "promptId" in names:
        number, prompt_id = variant.get("promptVersion"), variant.get("promptId")
        words.append("no version" if number is None else f"version {number}")
        if "promptId" in names and prompt_id:
            words[-1] += f" of prompt …{prompt_id[-_IDS_SHOWN:]}"
    return ", ".join(words)


def _write_mapping(value: Mapping[str, Any]) -> str:
    if value.keys() == {"role", "content"}:
        return f"{write_value(value['role'])}: {write_value(value['content'])}"
    if value.keys() == {"key", "trafficPercent"}:
        return f"{write_value(value['key'])} {write_value(value['trafficPercent'])} %"
    return ", ".join(f"{write_name(name)}: {write_value(each, name)}" for name, each in value.items()) or "none"


def _list_changes_of(entry: Any) -> list[dict[str, Any]]:
    return list_changes(entry.before, entry.after)


FILTERS = {
    "audit_changes": _list_changes_of,
    "audit_action": write_action,
    "audit_actor": write_actor,
    "audit_object": write_object,
    "audit_name": write_name,
    "audit_value": write_value,
}

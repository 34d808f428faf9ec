"""The configurations of scores: what the scores of one name must be in a workspace."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Select, func, insert, select

from promptcrafter import clock
from promptcrafter.database.session import session
from promptcrafter.http.fields import as_number
from promptcrafter.logs.fields import SCORE_MAX
from promptcrafter.logs.models import DEFAULT_NAME
from promptcrafter.logs.scores import FindFault
from promptcrafter.problems import Invalid, Problem
from promptcrafter.scores.models import ScoreConfig
from promptcrafter.workspaces import audit, quota
from promptcrafter.workspaces.access import lock_current_workspace
from promptcrafter.workspaces.principal import Principal

CONFIGS_MAX = 500  # of a workspace, archived ones included
_SHOWN_AS = {"minimum": "min", "maximum": "max"}
_SETTINGS = ("kind", "minimum", "maximum", "categories", "direction", "description")
# What the documented `score` of a log is, whatever a workspace configures
_DEFAULT = {"kind": "number", "minimum": 0, "maximum": SCORE_MAX, "categories": None, "direction": "up"}


class TooManyConfigs(Problem):
    """409: a workspace would have more configurations than it may."""

    def __init__(self) -> None:
        message = f"A workspace may have at most {CONFIGS_MAX} configs of scores, archived ones included."
        super().__init__(409, message, "too_many_score_configs")


def put_config(principal: Principal, name: str, values: Mapping[str, Any]) -> ScoreConfig:
    """Insert or replace a configuration, and return it. Scores that are stored already stay as they are.

    Raises 400 for another scale of the name `score`, and 409 for too many configurations.
    """
    refuse_other_default(name, values)
    lock_current_workspace(principal)
    config = session.get(ScoreConfig, (principal.workspace_id, name))
    now = clock.now()
    before = None
    if config is not None and config.archived_at is None:
        before = {field: getattr(config, field) for field in _SETTINGS}
    if config is None:
        if _count(principal) >= CONFIGS_MAX:
            raise TooManyConfigs
        config = ScoreConfig(
            workspace_id=principal.workspace_id, name=name, author_id=principal.user_id, created_at=now
        )
        session.add(config)
    if before == values:
        return config
    for field in _SETTINGS:
        setattr(config, field, values[field])
    config.updated_at, config.archived_at = now, None
    if before is None:
        _note(principal, name, "score_config.create", after=_show(values))
    else:
        _note(principal, name, "score_config.change", before=_show(before), after=_show(values))
    quota.check_growth(principal.workspace_id)
    session.flush()
    return config


def restore_configs(principal: Principal, configs: Sequence[Mapping[str, Any]]) -> None:
    """Insert configurations of an import, with their own times. Raises TooManyConfigs.

    The workspace must be locked, and have none of these names.
    """
    if not configs:
        return
    if _count(principal) + len(configs) > CONFIGS_MAX:
        raise TooManyConfigs
    own = {"workspace_id": principal.workspace_id, "author_id": principal.user_id}
    session.execute(insert(ScoreConfig), [{**config, **own} for config in configs])
    quota.check_growth(principal.workspace_id)


def refuse_other_default(name: str, values: Mapping[str, Any]) -> None:
    """Raise 400 if the settings of the name `score` are not those of the `score` of a log."""
    differing = [field for field, value in _DEFAULT.items() if name == DEFAULT_NAME and values[field] != value]
    if differing:
        rule = f"of the name {DEFAULT_NAME} is fixed: a number from 0 to {SCORE_MAX}, with the direction up"
        raise Invalid({_SHOWN_AS.get(field, field): [rule] for field in differing})


def list_configs(principal: Principal) -> list[ScoreConfig]:
    """Return the configurations of the current workspace that are not archived, by name."""
    return list(session.scalars(find_configs(principal).where(ScoreConfig.archived_at.is_(None))))


def find_configs(principal: Principal) -> Select[ScoreConfig]:
    """Return a select of the configurations of the current workspace, archived ones included, by name."""
    of_workspace = ScoreConfig.workspace_id == principal.workspace_id
    return select(ScoreConfig).where(of_workspace).order_by(ScoreConfig.name)


def archive_config(principal: Principal, name: str) -> None:
    """Let a configuration apply no more. Raises 404 if there is none with this name."""
    found = find_configs(principal).where(ScoreConfig.name == name, ScoreConfig.archived_at.is_(None))
    config = session.scalar(found.with_for_update())
    if config is None:
        raise Problem(404, "Score config not found", "score_config_not_found")  # there is no id that may be malformed
    config.archived_at = clock.now()
    _note(principal, name, "score_config.archive")


def get_config(workspace_id: str, name: str) -> ScoreConfig | None:
    """Return the configuration of this name that applies in a workspace; None without one."""
    return get_configs([workspace_id], [name]).get((workspace_id, name))


def get_configs(workspace_ids: Iterable[str], names: Iterable[str]) -> dict[tuple[str, str], ScoreConfig]:
    """Return the configurations of these names that apply, by workspace id and name."""
    found = select(ScoreConfig).where(
        ScoreConfig.workspace_id.in_(set(workspace_ids)),
        ScoreConfig.name.in_(set(names)),
        ScoreConfig.archived_at.is_(None),
    )
    return {(config.workspace_id, config.name): config for config in session.scalars(found)}


def make_check(workspace_ids: Iterable[str], scores: Iterable[Mapping[str, Any]]) -> FindFault:
    """Return a function that compares scores with the configurations of these workspaces, which are read once."""
    found = get_configs(workspace_ids, {values["name"] for values in scores})
    return lambda workspace_id, values: find_fault(found.get((workspace_id, values["name"])), values)


def find_fault(config: ScoreConfig | None, values: Mapping[str, Any]) -> Problem | None:
    """Return the error 400 if the columns of a score break a configuration, else None."""
    rule = None if config is None else _find_broken_rule(config, values)
    return None if rule is None else Invalid({"value": [rule]})


def _find_broken_rule(config: ScoreConfig, values: Mapping[str, Any]) -> str | None:
    named = f"as the config of {config.name} says"
    if values["value_kind"] != config.kind:
        kinds = {"number": "a number", "boolean": "true or false", "category": "one of its categories"}
        return f"must be {kinds[config.kind]}, {named}"
    if config.kind == "category":
        allowed = config.categories or []
        return None if not allowed or values["category"] in allowed else f"must be one of {', '.join(allowed)}, {named}"
    number = values["number"]
    if config.minimum is not None and number < config.minimum:
        return f"must be at least {as_number(config.minimum)}, {named}"
    if config.maximum is not None and number > config.maximum:
        return f"must be at most {as_number(config.maximum)}, {named}"
    return None


def _count(principal: Principal) -> int:
    return session.scalars(find_configs(principal).with_only_columns(func.count()).order_by(None)).one()


def _show(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings under the names of requests, without those that are not set."""
    return {_SHOWN_AS.get(field, field): value for field, value in settings.items() if value is not None}


def _note(principal: Principal, name: str, action: str, **values: Any) -> None:
    audit.note(principal, principal.workspace_id, action, "score_config", name, name, **values)

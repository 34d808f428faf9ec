"""Statistics of a prompt or the workspace: which version or model is better, what it costs, and if that is real."""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from flask import request
from werkzeug.wrappers import Response

from promptcrafter.auth import store as accounts
from promptcrafter.auth.models import DELETED_ACCOUNT
from promptcrafter.http.fields import Text, is_relative_time
from promptcrafter.logs.models import DEFAULT_NAME
from promptcrafter.pages import lists, verdicts
from promptcrafter.pages.blueprint import PageBlueprint
from promptcrafter.pages.prompt import find_protected
from promptcrafter.pages.rendering import render
from promptcrafter.pages.statistics_charts import Drawn, Named, draw_groups, draw_periods
from promptcrafter.permissions import Permission
from promptcrafter.prompts import store as prompts
from promptcrafter.prompts.models import Prompt
from promptcrafter.statistics import newest
from promptcrafter.statistics.keys import UNITS
from promptcrafter.statistics.report import report_for_query
from promptcrafter.statistics.report_response import respond
from promptcrafter.statistics.schemas import AllStatsOut, AllStatsQuery
from promptcrafter.workspaces import audit
from promptcrafter.workspaces.authentication import current_principal

blueprint = PageBlueprint("statistics_page", __name__)
_all_stats_out = AllStatsOut()
_CHOICES = ("version", "model", "version,model", "label", "week,version", "day", "week", "author")
_CHOICES_OF_ALL = ("prompt", "model", "prompt,version", "week", "day", "month", "author")
_GROUPS_SHOWN = 60
_ID_END = 6  # characters
_LABEL = "production"  # whose moves are marked
_MOVES_SHOWN = 30


class _StatisticsQuery(AllStatsQuery):
    """What is asked of the logs, and the kind of a download."""

    format = Text(data_key="as", choices=("json", "csv"))


@blueprint.page("/statistics", permission=Permission.READ)
@blueprint.arguments(_StatisticsQuery(), location="query")
def show_statistics(query: dict[str, Any]) -> Response:
    """Show statistics of the workspace, or of one prompt."""
    principal = current_principal()
    prompt = prompts.get_prompt(principal, query["promptId"]) if "promptId" in query else None
    choices = _CHOICES_OF_ALL if prompt is None else _CHOICES
    workspace_id = principal.current_id if prompt is None else prompt.workspace_id
    comparable = None
    if "groupBy" not in request.args:
        comparable = _find_comparable(workspace_id, prompt)
        query["groupBy"] = (comparable.first or choices[0]).split(",")
    kind = query.pop("format", None)
    of_logs: dict[str, Any] = {
        "workspace_id": workspace_id,
        "is_bounded": True,
        "is_since_fixed": not is_relative_time(request.args.get("since", "")),
    }
    if kind is not None:
        return lists.name_file(kind, partial(respond, query, _all_stats_out, **of_logs))
    keys: Sequence[str] = query["groupBy"]
    is_by_period = not set(UNITS).isdisjoint(keys)
    found = report_for_query(principal, query, **of_logs, with_comparisons=True, with_time_series=not is_by_period)
    groups = found["groups"]
    leads = None
    if len(groups) == 1:
        leads = (comparable or _find_comparable(workspace_id, prompt)).beside(keys)
    titles = prompts.get_titles({group["prompt"] for group in groups if group.get("prompt")})
    only_prompt = next(iter(titles.items())) if prompt is None and _are_of_one_prompt(groups) else None
    about = prompt.id if prompt is not None else only_prompt[0] if only_prompt else None
    named_by = [key for key in keys if key != "prompt"] if only_prompt and len(keys) > 1 else keys
    names = {**titles, **_name_authors(groups)}
    named = [Named(_name(group, named_by, names), tuple(_key_values(group, keys)), group) for group in groups]
    # Groups that only fill the gaps between periods are for charts; a line of one key has them in the table, too.
    shown = [each for each in named if each.group["count"]] if len(keys) > 1 else named
    said = [] if is_by_period else _describe_all(found["comparisons"], named_by, names)
    return render(
        "statistics.html",
        prompt=prompt,
        tab="statistics",
        query=query,
        keys=next((each for each in choices if set(each.split(",")) == set(keys)), ",".join(keys)),
        choices=choices,
        groups=shown[:_GROUPS_SHOWN],
        more=max(0, len(shown) - _GROUPS_SHOWN),
        charts=_draw(named, found, named_by, prompt, names),
        verdicts=verdicts.group(said),
        better=_lead_on(about, found["comparisons"], query["score"]) if about and named_by == ["version"] else None,
        scored=sum(group["score"]["count"] for group in groups),
        scored_groups=[each.name for each in named if each.group["score"]["count"]],
        only_prompt=only_prompt,
        leads=leads,
        page=lists.PageOfRows(groups, None),
    )


class _Better(NamedTuple):
    """The version of a prompt that is the best one as far as is known, one that it is better than, and what follows."""

    prompt_id: str
    version: int
    other: int
    is_settled: bool
    may_get_label: bool


class _Comparable(NamedTuple):
    """By what the outputs of a workspace or prompt can be compared, to their values of groupBy."""

    choices: Mapping[str, str]

    @property
    def first(self) -> str | None:
        """What is compared if nothing is chosen."""
        return next(iter(self.choices.values()), None)

    def beside(self, keys: Sequence[str]) -> list[tuple[str, str]]:
        """Return the choices, and their values of groupBy, that are not among these keys."""
        return [each for each in self.choices.items() if not set(each[1].split(",")) <= set(keys)]


def _find_comparable(workspace_id: str, prompt: Prompt | None) -> _Comparable:
    """Return by what the outputs can be compared: prompts, or what differs between the outputs of the only one."""
    found = [prompt.id] if prompt is not None else newest.get_prompts_with_outputs(workspace_id, 2)
    if len(found) != 1:
        return _Comparable({"prompt": _CHOICES_OF_ALL[0]} if found else {})
    differing = newest.get_differing_keys(found[0])
    by_version = "prompt,version" if prompt is None else "version"
    return _Comparable({key: by for key, by in (("version", by_version), ("model", "model")) if key in differing})


def _lead_on(prompt_id: str, comparisons: Sequence[Mapping[str, Any]], score: str) -> _Better | None:
    """Return what leads on from the comparisons of the versions of a prompt; None if they show no best one."""
    settled = [_order(each, each["settled"]) for each in comparisons if each["settled"]]
    # Of other scores it is unknown here whether higher ones are better.
    seen = comparisons if score == DEFAULT_NAME and not settled else []
    observed = [_order(each, "b" if each["difference"] > 0 else "a") for each in seen if _is_seen(each)]
    pairs = [(better, worse) for better, worse in settled or observed if better and worse]  # not those of no version
    wins = Counter(better for better, _ in pairs)
    unbeaten = [version for version in wins if version not in {worse for _, worse in pairs}]
    if not unbeaten:
        return None
    prompt = prompts.get_prompt(current_principal(), prompt_id)
    labelled = next((row.version for row in prompt.label_rows if row.name == _LABEL), None)
    best = max(unbeaten, key=lambda version: (wins[version], version))
    worse = {other for version, other in pairs if version == best}
    other = labelled if labelled in worse else max(worse)
    is_free = labelled != best and _LABEL not in find_protected(prompt.workspace_id)
    return _Better(prompt.id, best, other, bool(settled), is_free)


def _order(comparison: Mapping[str, Any], better: str) -> tuple[int | None, int | None]:
    """Return the versions of a comparison, the better one first."""
    return comparison[better]["version"], comparison["a" if better == "b" else "b"]["version"]


def _is_seen(comparison: Mapping[str, Any]) -> bool:
    """Return whether a difference is seen, though not settled: its interval leaves out 0."""
    interval = comparison["interval95"]
    return bool(interval) and not comparison["equivalent"] and not interval[0] <= 0 <= interval[1]


def _are_of_one_prompt(groups: Sequence[Mapping[str, Any]]) -> bool:
    of_prompts = {group["prompt"] for group in groups if "prompt" in group and group["count"] + group["failed"]}
    return len(of_prompts) == 1 and None not in of_prompts


def _name_authors(groups: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return what the authors of groups are called, by their ids; of those who share a name, the id is named, too."""
    ids = {group["author"] for group in groups if group.get("author")}
    found = accounts.get_names(ids) if ids else {}
    names = {each: found.get(each, DELETED_ACCOUNT) for each in ids}
    counts = Counter(names.values())
    return {each: name if counts[name] == 1 else f"{name} (…{each[-_ID_END:]})" for each, name in names.items()}


def _draw(
    named: Sequence[Named],
    found: Mapping[str, Any],
    keys: Sequence[str],
    prompt: Prompt | None,
    names: Mapping[str, str],
) -> list[Drawn]:
    """Return the charts of the groups: over time if one of the keys is a period, else of the groups as a whole."""
    period = next((key for key in keys if key in UNITS), None)
    if period is not None:
        others = [key for key in keys if key != period]
        return draw_periods(named, period, lambda group: _name(group, others, names) if others else "all", found)
    moves = []
    if prompt is not None and found.get("time_series") is not None:
        moves = audit.get_label_moves(prompt.workspace_id, prompt.id, _LABEL, _MOVES_SHOWN)
    return draw_groups(named[:_GROUPS_SHOWN], found, _LABEL, moves)


def _name(group: Mapping[str, Any], keys: Sequence[str], names: Mapping[str, str]) -> str:
    """Return what a group is called: the values of its keys."""
    return " · ".join(_name_value(key, value, names) for key, value in zip(keys, _key_values(group, keys), strict=True))


def _key_values(group: Mapping[str, Any], keys: Sequence[str]) -> list[Any]:
    return [
        group.get("metadata", {}).get(key.partition(".")[2]) if key.startswith("metadata.") else group.get(key)
        for key in keys
    ]


def _name_value(key: str, value: Any, names: Mapping[str, str]) -> str:
    if value is None:
        return f"no {key}"
    if key == "version":
        return f"version {value}"
    return names.get(value, str(value)) if key in ("prompt", "author") else str(value)


def _describe_all(
    comparisons: Sequence[Mapping[str, Any]], keys: Sequence[str], names: Mapping[str, str]
) -> list[verdicts.Verdict]:
    """Return what the comparisons say, the surest first."""
    described = (
        verdicts.describe(
            each,
            {side: _name(each[side], keys, names) for side in ("a", "b")},
            keeps_case=keys[0] in ("model", "author"),
        )
        for each in comparisons
    )
    return verdicts.sort(verdict for verdict in described if verdict is not None)

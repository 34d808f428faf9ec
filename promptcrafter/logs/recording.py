"""Recording outputs: the steps that the native calls and the dialects share (AgentTest's results skip the second).

1. Pin: find the version of the prompt that an output was made with. Dialects resolve their own names for it.
2. Complete: count tokens and compute the cost where the client sent none.
3. Prepare: make the id and the words of the search index, before any lock is held.
4. Write: insert all outputs of a request in one transaction.
5. Retry: if a prompt was deleted between the first step and the fourth, begin again with the first.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from promptcrafter.database.transactions import writing
from promptcrafter.ids import is_well_formed
from promptcrafter.logs import store, token_costs
from promptcrafter.logs.store import ParentDeleted
from promptcrafter.problems import Invalid, Problem, Unavailable
from promptcrafter.prompts import label_store, version_store
from promptcrafter.prompts import store as prompts
from promptcrafter.prompts.version_names import LATEST, choose_number, not_a_version
from promptcrafter.workspaces.access import find_obstacle
from promptcrafter.workspaces.principal import Principal

Output = dict[str, Any] | Problem  # the columns of a log, or why the output cannot be recorded
_Recorded = TypeVar("_Recorded")
_ATTEMPTS = 3


def record(principal: Principal, outputs: Sequence[Output]) -> list[Output]:
    """Insert valid outputs in their order, in one transaction; return the columns of the log, or the problem, of each.

    An output has at least the columns `prompt_id` and `model_used`; without `prompt_version` it gets the latest one. A
    `Problem` among the outputs is returned unchanged, and an output whose prompt or version does not exist, or is in a
    workspace that the principal may not log to, becomes one. Raises Unavailable if prompts are deleted during each of
    several attempts.
    """

    def attempt() -> list[Output]:
        pinned = _pin(principal, outputs)
        prepared = [prepare(output) for output in pinned if isinstance(output, dict)]
        with writing():
            logs = iter(store.record_all(principal, prepared))
        return [output if isinstance(output, Problem) else next(logs) for output in pinned]

    def give_up() -> list[Output]:
        raise Unavailable

    return retry_if_parent_deleted(attempt, give_up)


def prepare(output: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a log with tokens, cost, id and words filled in: what `store.record` inserts."""
    return store.prepare(token_costs.with_tokens_and_cost(output, output["model_used"]))


def retry_if_parent_deleted(attempt: Callable[[], _Recorded], last_attempt: Callable[[], _Recorded]) -> _Recorded:
    """Return the result of `attempt`, which looks up the parents of outputs and then writes the outputs.

    If it raises ParentDeleted, it is called again, up to `_ATTEMPTS` times in all. After that, the result of
    `last_attempt` is returned.
    """
    for _ in range(_ATTEMPTS):
        try:
            return attempt()
        except ParentDeleted:
            continue
    return last_attempt()


def _pin(principal: Principal, outputs: Sequence[Output]) -> list[Output]:
    """Pin each output to a version of its prompt: the one it names, by number or label, or else the latest."""
    ids = {output["prompt_id"] for output in outputs if isinstance(output, dict)}
    latest = version_store.get_latest_numbers([prompt_id for prompt_id in ids if is_well_formed("prompt", prompt_id)])
    labels = {
        (output["prompt_id"], output["prompt_version"])
        for output in outputs
        if isinstance(output, dict) and isinstance(output.get("prompt_version"), str) and output["prompt_id"] in latest
    }
    labelled = label_store.get_labelled_numbers(labels)
    return [
        output
        if isinstance(output, Problem)
        else _pin_one(principal, output, latest.get(output["prompt_id"]), labelled)
        for output in outputs
    ]


def _pin_one(
    principal: Principal,
    output: dict[str, Any],
    prompt: tuple[str, int] | None,
    labelled: Mapping[tuple[str, str], int],
) -> Output:
    """Pin an output. `prompt` is the prompt's workspace and latest version, None if there is no such prompt.

    `labelled` has the numbers of the versions that are named by labels.
    """
    if prompt is None:
        return prompts.prompt_not_found(output["prompt_id"])
    workspace_id, latest = prompt
    obstacle = find_obstacle(principal, "prompt", workspace_id)
    if obstacle is not None:
        return obstacle
    version = output.get("prompt_version") or LATEST
    number = choose_number(version, latest, labelled.get((output["prompt_id"], version)))
    if number is None:
        return Invalid({"promptVersion": [not_a_version(version, latest)]})
    return {**output, "workspace_id": workspace_id, "prompt_version": number}

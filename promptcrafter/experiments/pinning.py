"""The versions of prompts that variants name, which are kept as numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

from promptcrafter.ids import is_well_formed
from promptcrafter.problems import Invalid
from promptcrafter.prompts import label_store, version_store
from promptcrafter.prompts import store as prompts
from promptcrafter.prompts.version_names import choose_number, not_a_version
from promptcrafter.workspaces.access import refuse_inaccessible
from promptcrafter.workspaces.principal import Principal


def pin_prompts(principal: Principal, variants: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the variants with the numbers of the versions that they name.

    Raises 404 or 403 unless every prompt that a variant names is in the workspace of the experiment; a prompt in
    another workspace of the caller is answered as an unknown one. Raises 400 for a version that a prompt does not have.
    """
    prompt_ids = list(dict.fromkeys(variant["prompt_id"] for variant in variants if "prompt_id" in variant))
    latest = version_store.get_latest_numbers([each for each in prompt_ids if is_well_formed("prompt", each)])
    for prompt_id in prompt_ids:
        if prompt_id not in latest:
            raise prompts.prompt_not_found(prompt_id)
        workspace_id, _ = latest[prompt_id]
        refuse_inaccessible(principal, "prompt", workspace_id, prompt_id)
        if workspace_id != principal.workspace_id:
            raise prompts.prompt_not_found(prompt_id)
    names = {
        (variant["prompt_id"], variant["prompt_version"])
        for variant in variants
        if isinstance(variant.get("prompt_version"), str)
    }
    labelled = label_store.get_labelled_numbers(names)
    pinned = [_pin(variant, latest, labelled) for variant in variants]
    faults = {
        f"variants.{position}.promptVersion": [found] for position, found in enumerate(pinned) if isinstance(found, str)
    }
    if faults:
        raise Invalid(faults)
    return [variant for variant in pinned if isinstance(variant, dict)]


def _pin(
    variant: dict[str, Any], latest: Mapping[str, tuple[str, int]], labelled: Mapping[tuple[str, str], int]
) -> dict[str, Any] | str:
    """Return a variant with the number of the version that it names, or the reason why there is no such version."""
    if "prompt_version" not in variant:
        return variant
    version, (_, newest) = variant["prompt_version"], latest[variant["prompt_id"]]
    number = choose_number(version, newest, labelled.get((variant["prompt_id"], version)))
    if number is None:
        return not_a_version(version, newest)
    return {**variant, "prompt_version": number}

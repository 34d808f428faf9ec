"""The ids that records of another tool get here.

Ids of other tools are unique in one file, not in the world: the files of two people both have a prompt 7. So they
belong to the workspace that they are imported into. An id that can be one of ours is kept for the first workspace that
imports it. For others, and in place of all other ids, one is derived from `account`, the tool and the id in the file.
`account` is the address of the account whose personal workspace it is, or the id of another workspace.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from promptcrafter.ids import Kind, is_well_formed
from promptcrafter.jsonio import find_unstorable_text
from promptcrafter.transfer.importers import stable_id

LENGTH_MAX = 1000
RULE = f"must be a whole number or a string of 1 to {LENGTH_MAX:,} characters"
# Returns which ids of a kind exist, and whether they belong to the workspace of the import
FindExisting = Callable[[Kind, Collection[str]], Mapping[str, bool]]


class ForeignIds:
    """Chooses the ids for what one tool's file has. The same file gets the same ids each time.

    `prompt_7` and `7` are the same prompt.
    """

    def __init__(self, tool: str, account: str, find_existing: FindExisting) -> None:
        self._tool, self._account, self._find_existing = tool, account, find_existing
        self._chosen: dict[tuple[Kind, str], str] = {}

    def choose(self, kind: Kind, ids: Iterable[Any]) -> None:
        """Choose an id of ours for each of these ids of one kind in the file. Other values are ignored."""
        texts = {text for id in ids if (text := normalize(kind, id)) is not None}
        derived = {text: stable_id(kind, self._account, self._tool, text) for text in texts}
        kept = [text for text in texts if is_well_formed(kind, text)]
        existing = self._find_existing(kind, [*kept, *derived.values()])
        # one that was derived before, because the other one was taken then, stays
        free = {text for text in kept if existing.get(text, True) and derived[text] not in existing}
        self._chosen |= {(kind, text): text if text in free else derived[text] for text in texts}

    def get(self, kind: Kind, id: Any) -> str | None:
        """Return the id that was chosen, None for a value that cannot be an id."""
        text = normalize(kind, id)
        return None if text is None else self._chosen[kind, text]


def normalize(kind: Kind, id: Any) -> str | None:
    """Return an id of a file as text, with the prefix of its kind if it then is an id of ours.

    Returns None for what cannot be an id.
    """
    if isinstance(id, float) and id.is_integer():
        id = int(id)
    if isinstance(id, int) and not isinstance(id, bool):
        id = str(id)
    if not isinstance(id, str) or not 0 < len(id) <= LENGTH_MAX or find_unstorable_text(id):
        return None
    return next((own for own in (id, f"{kind}_{id}") if is_well_formed(kind, own)), id)

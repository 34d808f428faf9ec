"""Keys by which outputs are found: of the same input, which statistics compare pair by pair, or of a response's id."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def find_input_key(values: Mapping[str, Any]) -> int | None:
    """Return the key of a log's input, a signed number of 64 bits: equal for equal inputs. None without an input.

    `values` are columns of a log. The input is what was sent to the model, or else the variables, in any order.
    """
    text, variables = values.get("input"), values.get("variables")
    if text is None and variables is None:
        return None
    if text is None:  # no input begins with NUL, which cannot be stored
        text = "\0" + json.dumps(variables, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return _to_key(text)


def find_response_key(response_id: str) -> int:
    """Return the key of the id that a provider gave to a response, a signed number of 64 bits."""
    return _to_key(response_id)


def _to_key(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big", signed=True)

"""Counts of the tokens of a text, in OpenAI's vocabulary o200k_base, without network access.

The counts are exact for GPT-4o and its successors, and estimates for all other models (decision 11).
"""

import logging
import re
from collections.abc import Callable
from functools import cache
from importlib import import_module

_VOCABULARY = "o200k_base"
_NO_LIMIT = 2**31  # tokens, more than any text has
# RFC 2397: the media type may be left out, and the value of a parameter may be quoted
_DATA_URL = re.compile(
    r"""data:(?:[\w.+-]{1,64}/[\w.+-]{1,128})?(?:;[\w.+-]{1,64}=(?:[\w.+%-]{1,64}|\\?"[^"]{0,64}")){0,4};base64,""",
    re.IGNORECASE,
)
_BASE64 = re.compile(";base64,", re.IGNORECASE)
_JSON_START = re.compile(r"\A\s*[\[{]")
_KINDS = "image|audio|video|document|file"
_MEDIA_PART = re.compile(
    rf"""
    "type"\s*:\s*"(?:(?:input_|output_)?(?:{_KINDS})|image_url|audio_url|video_url|file_url|media|image_generation_call)"
    | "(?:inline_?[dD]ata|file_?[dD]ata)"\s*:\s*[{{"]  # Google
    | "(?:image|audio|video|document)"\s*:\s*\{{  # Bedrock, and sound in OpenAI's responses
    | "images"\s*:\s*\["  # Ollama
    | "b64_json"\s*:\s*"  # pictures in OpenAI's responses
    """,
    re.VERBOSE,
)
_log = logging.getLogger(__name__)
_Counter = Callable[[str], int | None]


def count(text: str) -> float | None:
    """Return the number of tokens of a text; None if the library is missing or fails, so that no log is rejected."""
    counter = _counter()
    counted = None if counter is None else counter(text)
    return None if counted is None else float(counted)  # counts that are sent are floats, too; an array has one type


def holds_media(text: str, text_format: str | None) -> bool:
    """Return whether a text, or the compact JSON that it is, holds or names a picture, sound, film or file.

    Models bill these by other rules than text, so that a count of the text would be wrong. Recognised are `data:` URLs
    in base64, and in JSON the parts of messages of OpenAI, Anthropic, Google, Amazon Bedrock, Ollama and their
    libraries. Text is searched for such parts only if it looks like JSON itself.
    """
    if _BASE64.search(text) and _DATA_URL.search(text):
        return True
    return (text_format == "json" or _JSON_START.match(text) is not None) and _MEDIA_PART.search(text) is not None


def load() -> None:
    """Load the vocabulary (64 MB) before forking, so that all workers share its memory."""
    _counter()


def clear_caches() -> None:
    """Forget the loaded library and that its failure was logged; for tests."""
    _counter.cache_clear()
    _warn_once.cache_clear()


@cache
def _counter() -> _Counter | None:
    """Return a function that counts the tokens of a text; None if the library cannot be loaded."""
    try:
        toktok = import_module("toktok")
        toktok.truncate("", _NO_LIMIT, _VOCABULARY)
    except Exception:  # without the library, or if it is broken, counts stay None
        _log.exception("tokens are not counted: toktok-rs failed to load")
        return None

    def count_tokens(text: str) -> int | None:
        try:
            # truncate() also counts; batch_count() takes three times as long, because it asks for the number of cores
            _, tokens = toktok.truncate(text, _NO_LIMIT, _VOCABULARY)
        except Exception:  # no failure of the counter may reject a log
            _warn_once("the token counter failed")
            return None
        return int(tokens)

    return count_tokens


@cache
def _warn_once(message: str) -> None:
    """Log the current exception, once in a process for each message."""
    _log.exception(message)

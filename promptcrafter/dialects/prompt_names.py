"""Langfuse's names of prompts and the slugs that prompts have here. Pure functions.

A name that is a slug is the slug of its prompt. Any other name, such as `Movie critic`, has a slug that is derived from
it and ends with a hash of it, so that two names never mean the same prompt. The name becomes the title of the prompt,
as far as it can be one.
"""

from hashlib import sha256

from promptcrafter.prompts.fields import TITLE_MAX, TITLE_MIN
from promptcrafter.slugs import derive_slug, is_slug
from promptcrafter.text import count_columns

NAME_MAX = 255  # characters, as Langfuse's own server says
_MARK = 8  # hexadecimal digits
_STEM_MAX = 100  # characters, which leave room for the mark


def slug_of(name: str) -> str:
    """Return the slug of the prompt with this name. A name that is too long is its own, which no prompt has."""
    if is_slug(name) or len(name) > NAME_MAX:
        return name
    mark = sha256(name.encode(errors="surrogatepass")).hexdigest()[:_MARK]
    parts = [derive_slug(part) for part in name.split("/")]
    in_folders = f"{'/'.join(parts)}-{mark}"
    return in_folders if is_slug(in_folders) else f"{'-'.join(parts)[:_STEM_MAX]}-{mark}"


def name_of(slug: str, title: str) -> str:
    """Return a name of the prompt with this slug and title, by which `slug_of` finds it."""
    return title if slug_of(title) == slug else slug


def title_of(name: str) -> str:
    """Return the title of a new prompt with this name: the name itself, unless it is too long or too short for one."""
    if len(name) > TITLE_MAX:
        return f"{name.strip()[: TITLE_MAX - 1]}…"
    is_too_short = len(name) < TITLE_MIN and count_columns(name) < TITLE_MIN
    return f"Prompt {name}" if is_too_short else name

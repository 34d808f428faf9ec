"""Langfuse's names of prompts and the slugs and titles that prompts have here."""

import pytest

from promptcrafter.dialects.prompt_names import name_of, slug_of, title_of
from promptcrafter.slugs import is_slug


@pytest.mark.parametrize(
    ("name", "slug", "title"),
    [
        ("movie-critic", "movie-critic", "movie-critic"),
        ("support/reply", "support/reply", "support/reply"),
        ("Movie critic", "movie-critic-af3a7638", "Movie critic"),
        ("Support/Reply (short)", "support/reply-short-455891ed", "Support/Reply (short)"),
        ("客服", "prompt-eae0efe2", "客服"),
        ("QA", "qa-48947c06", "Prompt QA"),
        ("x" * 255, f"{'x' * 100}-d22609da", f"{'x' * 99}…"),
    ],
)
def test_a_name_has_one_slug_and_a_title(name: str, slug: str, title: str) -> None:
    assert (slug_of(name), title_of(name)) == (slug, title)
    assert is_slug(slug)
    assert slug_of(name_of(slug, title)) == slug
    assert name_of(slug, title) == (name if title == name else slug)


def test_a_name_that_is_too_long_has_no_slug() -> None:
    assert not is_slug(slug_of("x" * 256))


def test_a_changed_title_is_not_shown_as_the_name() -> None:
    assert name_of("movie-critic-af3a7638", "Film critic") == "movie-critic-af3a7638"

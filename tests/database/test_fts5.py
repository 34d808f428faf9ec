"""The hash table of SQLite's full-text index: which terms share a bucket, and texts that would fill one."""

import itertools
import random
import string

from promptcrafter.database.fts5 import drop_crowded, mean_comparisons
from promptcrafter.logs.search import extract_words
from promptcrafter.prompts.search import search_columns
from tests.support.environment import ROOT
from tests.support.people import Person

DOCUMENTS = "\n".join(path.read_text() for path in sorted((ROOT / "docs" / "api").iterdir()))
EVERY_CODE = "".join(map(chr, [*range(0x20, 0xD800), *range(0xE000, 0x40000)]))


def crowded_words(count: int) -> list[str]:
    """Return words that are all in one bucket: parts of equal length whose hashes are equal can be combined freely."""
    alphabet, length = "abcdefghijklmnop", 4
    parts: dict[int, list[str]] = {}
    for letters in itertools.product(alphabet, repeat=length):
        key = 0
        for letter in reversed(letters):
            key = (key << 3 ^ key ^ ord(letter)) & 0xFFFFF
        parts.setdefault(key, []).append("".join(letters))
    equal = max(parts.values(), key=len)
    return ["".join(word) for word in itertools.islice(itertools.product(equal, repeat=9), count)]


def test_words_chosen_for_one_bucket_are_recognised_and_mostly_left_out() -> None:
    words = crowded_words(5000)
    assert len(set(words)) == 5000
    assert mean_comparisons(words) == 5000
    assert len(drop_crowded(words, 100)) == 100
    kept = extract_words(" ".join(words)).split()
    assert len(kept) == 100
    assert kept == words[:100]


def test_no_word_of_other_texts_is_left_out() -> None:
    random.seed(1)
    numbers = " ".join(map(str, range(30_000)))
    letters = " ".join("".join(random.choices("abcdefghijklmnopqrstuvwxyz", k=6)) for _ in range(30_000))
    for text in (DOCUMENTS, numbers, letters):
        words = set(extract_words(text).split())
        assert words == {*itertools.chain.from_iterable(extract_words(part).split() for part in text.split("\n"))} or (
            len(words) == len(set(text.split()))
        )
        assert mean_comparisons(words) < 20


def test_a_prompt_is_searchable_as_a_whole_unless_its_text_takes_too_long_to_index() -> None:
    assert search_columns("t", [], DOCUMENTS)["content"].count("\n") == DOCUMENTS.count("\n")
    chinese = "".join(random.Random(1).choices(EVERY_CODE[0x4E00:0x6E00], k=30_000))
    assert len(search_columns("t", [], chinese)["content"]) == 30_000
    words = " ".join("".join(random.Random(seed).choices(string.ascii_lowercase, k=5)) for seed in range(2000))
    assert len(search_columns("t", [], words * 100)["content"]) == len(words) * 100
    assert 0 < len(search_columns("t", [], EVERY_CODE[0x20000:])["content"]) < 20_000, "takes minutes otherwise"
    letters = "".join(random.Random(1).choices("".join(map(chr, range(33, 127))), k=300_000))
    assert len(search_columns("t", [], letters)["content"]) < 200_000
    assert search_columns("t", [], " " * 5000)["content_grams"] == ""


def test_such_a_prompt_is_found_by_its_beginning(ada: Person) -> None:
    prompt = ada.prompt(content=f"photosynthesis {EVERY_CODE[0x20000:0x28000]}")
    assert [found["_id"] for found in ada.get("/search?q=photosynthesis").json] == [prompt["_id"]]
    assert ada.get(f"/prompts/{prompt['_id']}").json["content"].endswith(EVERY_CODE[0x27FFF])
    assert ada.patch(f"/prompts/{prompt['_id']}", {"content": "respiration"}).status_code == 200
    assert ada.get("/search?q=photosynthesis").json == []

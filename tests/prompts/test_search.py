"""GET /search: what matches, in which order, in which scripts."""

from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from promptcrafter.text import fold
from tests.support.people import Person

CORPUS = {
    "English": "Explain photosynthesis to a class of twelve-year-olds",
    "Spanish": "¿Cuántos años tiene la señora Núñez?",
    "Russian": "Объясни фотосинтез простыми словами",
    "Greek": "ΦΩΤΟΣΎΝΘΕΣΗ: εξήγησε σε παιδιά τον όρο· ένας όρος",
    "Arabic": "اشرح عملية التمثيل الضوئي للأطفال",
    "Hebrew": "הסבר את תהליך הפוטוסינתזה לילדים",
    "Hindi": "बच्चों को प्रकाश संश्लेषण समझाओ",
    "Chinese": "请向十二岁的孩子解释光合作用",
    "Japanese": "光合成について東京の子供に説明して",
    "Korean": "열두 살 아이에게 광합성을 설명해 줘",
    "Thai": "อธิบายการสังเคราะห์แสงให้เด็กฟัง",
    "Emoji": "Write 🌱🌞 a poem 👩‍🔬 about plants",
}
FINDS = [
    ("PHOTO", "English"),
    ("twelve-year", "English"),
    ("CUÁNTOS", "Spanish"),
    ("ñ", "Spanish"),
    ("ФОТО", "Russian"),
    ("св", None),
    ("фо", "Russian"),
    ("φωτοσύνθεση", "Greek"),
    ("ΌΡΟΣ", "Greek"),
    ("التمثيل", "Arabic"),
    ("شر", "Arabic"),
    ("פוטוסינתזה", "Hebrew"),
    ("संश्लेषण", "Hindi"),
    ("光合作用", "Chinese"),
    ("孩子", "Chinese"),
    ("岁", "Chinese"),
    ("東京", "Japanese"),
    ("광합성", "Korean"),
    ("줘", "Korean"),
    ("สังเคราะห์", "Thai"),
    ("🌱", "Emoji"),
    ("👩‍🔬", "Emoji"),
    ("ｐｈｏｔｏ", "English"),
]


def search(person: Person, q: str) -> list[str]:
    answer = person.get(f"/search?q={quote(q)}")
    assert answer.status_code == 200, answer.text
    return [prompt["title"] for prompt in answer.json]


@pytest.fixture
def library(ada: Person) -> Person:
    for name, content in CORPUS.items():
        ada.prompt(title=f"In {name}", content=content)
    return ada


def test_parts_of_words_are_found_in_any_script_and_case(library: Person) -> None:
    for q, name in FINDS:
        assert search(library, q) == ([f"In {name}"] if name else []), q


def test_case_is_folded_beyond_ascii(ada: Person) -> None:
    ada.prompt(title="Die Straße nach İstanbul", content="ﬁnal")
    for q in ("STRASSE", "straße", "i̇stanbul", "FINAL"):
        assert search(ada, q) == ["Die Straße nach İstanbul"], q


def test_all_words_come_before_some_then_title_then_tag_then_content_then_newest(ada: Person) -> None:
    ada.prompt(title="content only", content="alpha")
    ada.prompt(title="tag only", tags=["alpha"], content="x")
    ada.prompt(title="alpha title", content="x")
    ada.prompt(title="both in content", content="alpha beta")
    ada.prompt(title="beta title, alpha content", content="alpha")
    ada.prompt(title="newer content", content="beta")
    ada.prompt(title="nothing", content="x")
    assert search(ada, "alpha beta") == [
        "beta title, alpha content",
        "both in content",
        "alpha title",
        "tag only",
        "newer content",
        "content only",
    ]


def test_short_and_long_words_are_ranked_by_the_same_rules(ada: Person) -> None:
    ada.prompt(title="only long", content="photosynthesis")
    ada.prompt(title="only short", content="東京")
    ada.prompt(title="both words", content="photosynthesis 東京")
    ada.prompt(title="東京 in title", content="x")
    assert search(ada, "photo 東京") == ["both words", "東京 in title", "only short", "only long"]


def test_a_word_is_not_found_across_two_tags(ada: Person) -> None:
    ada.prompt(title="tagged", tags=["abc", "def"])
    assert search(ada, "abc") == ["tagged"]
    assert search(ada, "cd") == []
    assert search(ada, "bcde") == []


@pytest.mark.parametrize(
    "q",
    ['"', "'", "(", "NOT", "a AND", "title:x", "-x", "*", "%", "_", "\\", "^", "{x}", "NEAR(a b)", "a*b", "…", ";--"],
)
def test_punctuation_is_literal(ada: Person, q: str) -> None:
    ada.prompt(title="without", content="something else")
    ada.prompt(title="with it", content=f"before{q}after")
    assert "with it" in search(ada, q)
    if not any(map(str.isalnum, q)):
        assert search(ada, q) == ["with it"]


@pytest.mark.parametrize("query", ["", "?q=", "?q=%20%09", "?q=%E3%80%80"])
def test_a_blank_query_is_refused(ada: Person, query: str) -> None:
    answer = ada.get(f"/search{query}")
    assert answer.status_code == 400
    assert list(answer.json["details"]) == ["q"]


def test_a_query_of_too_many_words_or_characters_is_refused(ada: Person) -> None:
    assert ada.get("/search?q=" + "+".join(f"w{n}" for n in range(32))).json == []
    answer = ada.get("/search?q=" + "+".join(f"w{n}" for n in range(33)))
    assert (answer.status_code, answer.json["message"]) == (400, "q must have at most 32 words.")
    assert ada.get("/search?q=" + "a" * 501).status_code == 400


def test_only_the_callers_own_prompts_are_found(ada: Person, ben: Person) -> None:
    ada.prompt(title="Secret of ada")
    assert search(ben, "secret") == []


def test_a_changed_prompt_is_found_by_its_new_text_only(ada: Person) -> None:
    prompt = ada.prompt(title="Before", content="oldword 旧", tags=["oldtag"])
    ada.patch(f"/prompts/{prompt['_id']}", {"title": "After", "content": "newword 新", "tags": ["newtag"]})
    assert [search(ada, q) for q in ("newword", "新", "newtag", "after")] == [["After"]] * 4
    assert [search(ada, q) for q in ("oldword", "旧", "oldtag", "before")] == [[]] * 4


def test_results_come_in_pages_when_asked(ada: Person) -> None:
    for n in range(5):
        ada.prompt(title=f"Page {n}" if n % 2 else f"Other {n}", content="page")
    whole = ada.get("/search?q=page").json
    path, paged = "/search?q=page&per_page=2", []
    while path:
        answer = ada.get(path)
        paged.append(answer.json)
        path = answer.headers.get("Link", "").partition("<http://localhost")[2].partition(">")[0]
    assert [len(page) for page in paged] == [2, 2, 1]
    assert [prompt for page in paged for prompt in page] == whole


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=40)


@pytest.mark.slow
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=TEXT, q=TEXT)
def test_any_query_is_answered_and_finds_prompts_that_contain_it(ada: Person, content: str, q: str) -> None:
    words = fold(q).split()
    if not words or not q.strip():
        assert ada.get(f"/search?q={quote(q)}").status_code in (200, 400)
        return
    prompt = ada.prompt(title="any", content=content)
    answer = ada.get(f"/search?q={quote(q)}")
    assert answer.status_code == 200
    found = any(hit["_id"] == prompt["_id"] for hit in answer.json)
    assert found == any(word in text for word in words for text in (fold(content), "any"))
    ada.delete(f"/prompts/{prompt['_id']}")

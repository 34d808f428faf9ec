"""PRICES_FILE: read at the start, refused with one line if it breaks a rule."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from config import ConfigError
from promptcrafter.logs import price_file
from tests.support import programs
from tests.support.environment import SECRET, free_port

PRICE = {"input": 1, "output": 2}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "prices.json"


def refusal(path: Path) -> str:
    """Return the one line with which the file is refused, without its path."""
    with pytest.raises(ConfigError) as refused:
        price_file.read(str(path))
    text = str(refused.value)
    assert text.startswith(f"PRICES_FILE {str(path)!r} ")
    assert "\n" not in text
    assert len(text) < 500
    return text.removeprefix(f"PRICES_FILE {str(path)!r} ")


def model(prices: Any, name: str = "m") -> dict[str, Any]:
    return {"models": {name: prices}}


def test_names_are_compared_without_regard_to_case_blanks_and_underscores(path: Path) -> None:
    path.write_text(json.dumps(model(PRICE | {"cachedInput": 0.1}, " My_own Model ")), encoding="utf-8")
    own = price_file.read(str(path))
    assert own.date is None
    assert list(own.models) == ["my-own-model"] == [price_file.key("MY own_model")]
    assert own.models["my-own-model"].prices == {
        "input": Decimal(1),
        "output": Decimal(2),
        "cached_input": Decimal("0.1"),
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], 'must be an object with the key "models", an object of models by their names.'),
        ({}, 'must be an object with the key "models", an object of models by their names.'),
        ({"models": [PRICE]}, 'must be an object with the key "models", an object of models by their names.'),
        ({"models": {}, "Date": "2026-11-01"}, "has the unknown key 'Date'; known are date, models."),
        ({"models": {}, "date": "yesterday"}, 'has a "date" that is not a day such as "2026-11-01".'),
        ({"models": {}, "date": "2026-02-30"}, 'has a "date" that is not a day such as "2026-11-01".'),
        ({"models": {}, "date": 20261101}, 'has a "date" that is not a day such as "2026-11-01".'),
        (model(2.5), "model 'm': must be an object with its prices."),
        (model({"input": 1}), "model 'm': the price \"output\" is missing."),
        (
            model(PRICE | {"cached": 1}),
            "model 'm': has the unknown key 'cached'; known are cacheWrite, cachedInput, free, input, output, "
            "reasoning.",
        ),
        (
            model(PRICE | {"output": "2"}),
            "model 'm': \"output\" must be a number from 0 to 1000000, dollars per million tokens.",
        ),
        (
            model(PRICE | {"reasoning": True}),
            "model 'm': \"reasoning\" must be a number from 0 to 1000000, dollars per million tokens.",
        ),
        (
            model(PRICE | {"input": -1}),
            "model 'm': \"input\" must be a number from 0 to 1000000, dollars per million tokens.",
        ),
        (
            model(PRICE | {"input": 1e9}),
            "model 'm': \"input\" must be a number from 0 to 1000000, dollars per million tokens.",
        ),
        (model({"free": False}), "model 'm': \"free\" must be true, and the only key."),
        (model({"free": 1}), "model 'm': \"free\" must be true, and the only key."),
        (model({"free": True, "input": 0}), "model 'm': \"free\" must be true, and the only key."),
        (model(PRICE, "  "), "has a model whose name is not of 1 to 200 characters: '  '."),
        (model(PRICE, "x" * 201), f"has a model whose name is not of 1 to 200 characters: '{'x' * 60}…'."),
        (
            {"models": {"My model": PRICE, "my-model": PRICE}},
            "has two models whose names count as the same: 'My model' and 'my-model'.",
        ),
        ({"models": {str(number): PRICE for number in range(5001)}}, "has more than 5000 models."),
    ],
)
def test_a_file_that_breaks_a_rule_is_refused_with_its_entry_and_field(path: Path, content: Any, message: str) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")
    assert refusal(path) == message


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is not JSON in UTF-8: "),
        (b"{'models': {}}", "is not JSON in UTF-8: "),
        (b'{"models": {}, "models": {}}', "is not JSON in UTF-8: "),
        (b'{"models": {"m": {"input": NaN, "output": 1}}}', "is not JSON in UTF-8: "),
        (b'{"models": {"m": {"input": 1e999, "output": 1}}}', "is not JSON in UTF-8: "),
        (b'{"models": {"\xff": 1}}', "is not JSON in UTF-8: "),
        (b"[" * 100_000, "is not JSON in UTF-8: "),
        (b'{"models": {}}' + b" " * 1024 * 1024, "has more than 1048576 bytes."),
    ],
)
def test_a_file_that_is_not_json_or_too_large_is_refused(path: Path, data: bytes, message: str) -> None:
    path.write_bytes(data)
    assert refusal(path).startswith(message)


def test_a_file_that_cannot_be_read_is_refused(path: Path, tmp_path: Path) -> None:
    assert refusal(path) == "cannot be read: No such file or directory."
    assert refusal(tmp_path) == "cannot be read: Is a directory."


@pytest.mark.slow
def test_servers_and_commands_do_not_start_with_a_bad_file(path: Path, tmp_path: Path) -> None:
    environment = {"INSTANCE_PATH": str(tmp_path), "JWT_SECRET_KEY": SECRET, "PRICES_FILE": str(path)}
    environment["PORT"] = str(free_port())
    path.write_text(json.dumps(model(PRICE | {"input": "a lot"})), encoding="utf-8")
    ended = programs.run("gunicorn", "-c", "gunicorn.conf.py", "wsgi:app", environment=environment)
    assert ended.returncode != 0
    assert ended.stderr.count("\n") == 1, ended.stderr
    assert ended.stderr.startswith(f"PRICES_FILE {str(path)!r} model 'm': \"input\" must be a number")
    environment["PRICES_FILE"] = str(tmp_path / "none.json")
    ended = programs.run("flask", "--app", "wsgi", "routes", environment=environment)
    assert ended.returncode != 0
    assert ended.stderr == f"PRICES_FILE {str(tmp_path / 'none.json')!r} cannot be read: No such file or directory.\n"

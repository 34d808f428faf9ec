"""The migration to the indices of the filters: logs keep all they have, and are found before and after it."""

from flask import Flask
from flask_migrate import downgrade, upgrade
from sqlalchemy import inspect, text

from promptcrafter.database.session import get_engine
from tests.support.people import Caller, sign_up

BEFORE = "d52b7f09c3a8"
LATER = ("provider", "response_key")  # columns of later migrations


def test_logs_survive_the_migration_of_the_filters_indices_and_its_downgrade(migrated_app: Flask) -> None:
    ada = sign_up(Caller(migrated_app.test_client()), "ada")
    prompt = ada.prompt()
    for values in ({}, {"status": "error"}, {"userId": "u", "sessionId": "s", "environment": "e", "notes": "n"}):
        ada.log(prompt, **values)
    logs = ada.get("/logs").json

    def rows() -> list[dict[str, object]]:
        with get_engine().connect() as connection:
            found = connection.execute(text("SELECT * FROM logs ORDER BY seq")).mappings()
            return [{name: value for name, value in row.items() if name not in LATER} for row in found]

    def indices() -> set[str]:
        found = {str(index["name"]) for index in inspect(get_engine()).get_indexes("logs")}
        return {name for name in found if not name.startswith("ix_logs_otlp") and "response_key" not in name}

    with migrated_app.app_context():
        stored, with_filters = rows(), indices()
        downgrade(revision=BEFORE)
        assert rows() == stored
        assert len(with_filters - indices()) == 7
        upgrade()
        assert (rows(), indices()) == (stored, with_filters)
    assert ada.get("/logs").json == logs
    for query, found in (("status=error", logs[1:2]), ("userId=u", logs[:1]), ("hasNotes=true", logs[:1])):
        assert ada.get(f"/logs?{query}").json == found

"""What Langfuse's clients ask about the service, and what is not served."""

import base64

import pytest

from tests.support.people import Caller, Person


def test_a_key_of_any_scope_passes_the_sdks_check(ada: Person, client: Caller) -> None:
    key = ada.post("/auth/keys", {"name": "k", "scopes": ["ingest"]}).json["key"]
    basic = base64.b64encode(f"pk-lf-any:{key}".encode()).decode()
    (project,) = client.get("/api/public/projects", headers={"Authorization": f"Basic {basic}"}).json["data"]
    (workspace,) = ada.get("/workspaces").json
    assert project == {
        "id": workspace["_id"],
        "name": workspace["name"],
        "organization": {"id": workspace["_id"], "name": workspace["name"]},
        "metadata": {},
    }
    assert client.get("/api/public/projects").status_code == 401


def test_the_service_is_healthy(client: Caller) -> None:
    assert client.get("/api/public/health").json["status"] == "OK"


@pytest.mark.parametrize("path", ["datasets/x", "traces", "v2/datasets", "media"])
def test_what_is_not_served_is_404_that_says_what_is(client: Caller, path: str) -> None:
    answer = client.get(f"/api/public/{path}")
    assert (answer.status_code, answer.json["code"]) == (404, "route_not_found")
    assert "GET /v2/prompts/{name}" in answer.json["message"]
    assert client.get("/api/other").json["message"] == "Route not found"

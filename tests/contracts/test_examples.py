"""The examples of the OpenAPI document, which /docs fills in, work on a new account as they are."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.databases import only_sqlite
from tests.support.people import Answer, Caller, sign_up

pytestmark = only_sqlite
METHODS = ("post", "get", "patch", "put", "delete")
SECRETS = {"token"}  # of an invitation: no example in a document can be one
UNKNOWN = "01jz8x4m5n6p7q8r9s0t1v2w3x"
# In this order: a new account, what it contains, calls that read and change it, calls that end something
FIRST = ("sign_up", "log_in", "create_prompt", "create_experiment", "create_workspace", "create_invitation")
LAST = ("log_out", "log_in", "delete_me", "sign_up", "change_password")  # a deleted account's address is free again
# Again, each is a conflict or has no token
ONCE = {"sign_up", "create_experiment", "create_workspace", "change_password", "log_out"}
NO_EXAMPLE = {"import_all", "compare_logs", "reset_password"}  # a file, two ids, and a secret of the command line


@dataclass(frozen=True)
class Operation:
    name: str
    method: str
    path: str
    parameters: list[dict[str, Any]]
    body: Any

    def call(self, caller: Caller, ids: dict[str, str]) -> Answer:
        """Send the example, with these ids where it has to name one."""
        examples = {p["name"]: p["schema"]["example"] for p in self.parameters if "example" in p["schema"]}
        path = re.sub(r"\{(\w+)\}", lambda match: {**examples, **ids}[match[1]], self.path)
        query = {p["name"]: {**examples, "promptId": ids["prompt_id"]}[p["name"]] for p in self.required_queries}
        body = with_ids(self.body, {"promptId": ids["prompt_id"], **{key: ids[key] for key in SECRETS & ids.keys()}})
        return caller.open(path, method=self.method.upper(), query_string=query, json=body)

    @property
    def required_queries(self) -> list[dict[str, Any]]:
        return [p for p in self.parameters if p["in"] == "query" and p.get("required")]


def with_ids(body: Any, values: dict[str, str]) -> Any:
    """Return a body with these values wherever it has their names."""
    if isinstance(body, dict):
        return {key: values[key] if key in values else with_ids(value, values) for key, value in body.items()}
    return [with_ids(item, values) for item in body] if isinstance(body, list) else body


@pytest.fixture
def operations(client: Caller) -> dict[str, Operation]:
    found = {}
    for path, item in client.get("/openapi.json").json["paths"].items():
        for method in METHODS:
            if method in item:
                described = item[method]
                parameters = item.get("parameters", []) + described.get("parameters", [])
                content = described.get("requestBody", {}).get("content", {}).get("application/json", {})
                name = described["operationId"]
                found[name] = Operation(name, method, path, parameters, content.get("example"))
    return found


def test_every_json_body_has_an_example_and_no_optional_parameter_has_one(operations: dict[str, Operation]) -> None:
    for operation in operations.values():
        takes_body = operation.method in ("post", "patch", "put")
        assert operation.body or not takes_body or operation.name in ("import_all", "log_out", "restore_version")
        for parameter in operation.parameters:
            is_id = "_id" in parameter["name"] or parameter["name"] in ("promptId", "logs")
            assert ("example" in parameter["schema"]) is (parameter.get("required", False) and not is_id), parameter


def each_example(operations: dict[str, Operation]) -> Iterator[Operation]:
    """Yield all operations but NO_EXAMPLE: FIRST, the others, deletions of the last created first, and LAST."""
    others = [operation for name, operation in operations.items() if name not in {*FIRST, *LAST, *NO_EXAMPLE}]
    yield from (operations[name] for name in FIRST)
    for method in METHODS:
        chosen = [operation for operation in others if operation.method == method]
        yield from reversed(chosen) if method == "delete" else chosen
    yield from (operations[name] for name in LAST)


def bind_key(caller: Caller) -> str:
    """Create an API key that is bound to the workspace of the examples, and return its id."""
    return str(caller.post("/auth/keys", {"name": "bound", "workspace": "support-team"}).json["_id"])


def test_every_example_succeeds_and_again(client: Caller, operations: dict[str, Operation]) -> None:
    caller, ids, called, ben = client, {"prompt_id": ""}, [], sign_up(client, "ben")
    for operation in each_example(operations):
        for _ in range(1 if operation.name in ONCE or operation.method == "delete" else 2):
            made = {"key_id": bind_key(caller)} if operation.name == "delete_workspace_key" else {}
            answer = operation.call(caller, {**ids, **made})
            assert answer.status_code in (200, 201, 204, 207), (operation, answer.text)
            called.append(operation.name)
            if operation.name in ("sign_up", "log_in"):
                caller = Caller(client.client, {"Authorization": f"Bearer {answer.json['token']}"})
            elif operation.method == "post" and answer.is_json:
                new_id = answer.json.get("_id", "")
                if operation.name == "log_trace":
                    new_id = answer.json["trace"]["id"]
                ids[f"{new_id.partition('_')[0]}_id"] = new_id
            if operation.name == "create_invitation" and "user_id" not in ids:
                assert ben.post("/invitations/accept", {"token": answer.json["token"]}).status_code == 200
                ids["user_id"] = ben.id
            elif operation.name == "create_invitation":
                ids["token"] = answer.json["token"]
            if operation.name == "create_logs":
                assert [result["status"] for result in answer.json["results"]] == [201]
            if operation.name.startswith("log_output"):
                assert answer.json["warning"] is None
    assert set(called) == operations.keys() - NO_EXAMPLE


def test_an_example_with_an_unknown_id_is_404(client: Caller, operations: dict[str, Operation]) -> None:
    token = operations["sign_up"].call(client, {"prompt_id": ""}).json["token"]
    caller = Caller(client.client, {"Authorization": f"Bearer {token}"})
    ids = {
        f"{kind}_id": f"{kind}_{UNKNOWN}" for kind in ("prompt", "log", "score", "trace", "key", "user", "invitation")
    }
    assert operations["create_workspace"].call(caller, ids).status_code == 201
    assert operations["create_log"].body["promptId"] == ids["prompt_id"]
    for operation in operations.values():
        if "_id}" in operation.path or operation.name in ("list_logs_by_prompt", "accept_invitation"):
            assert operation.call(caller, ids).status_code == 404, operation
    assert operations["create_log"].call(caller, ids).status_code == 404
    assert [r["status"] for r in operations["create_logs"].call(caller, ids).json["results"]] == [404]

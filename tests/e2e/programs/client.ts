// A program that uses the types that openapi-typescript makes of /openapi.json. It prints what the test compares.
import createClient from "openapi-fetch";
import type { components, paths } from "./api.d.ts";

declare const process: { argv: string[] };
const [, , baseUrl = "", kindsAsJson = "[]"] = process.argv;
const kinds: NonNullable<components["schemas"]["LogIn"]["input"]>[] = JSON.parse(kindsAsJson);
const client = createClient<paths, "application/json">({ baseUrl });

function must<T>(answer: { data?: T; error?: unknown; response: Response }): T {
  if (answer.data === undefined) {
    throw new Error(`${answer.response.status} ${JSON.stringify(answer.error)}`);
  }
  return answer.data;
}

const credentials = { email: "bea@example.com", password: "correct horse battery" };
must(await client.POST("/auth/signup", { body: { name: "Bea", ...credentials } }));
const { token } = must(await client.POST("/auth/login", { body: credentials }));
const headers = { Authorization: `Bearer ${token}` };
client.use({
  onRequest({ request }) {
    Object.entries(headers).forEach(([name, value]) => request.headers.set(name, value));
    return request;
  },
});
const files = createClient<paths, "application/x-ndjson">({ baseUrl, headers });

const draft = { title: "Explain leaves", content: "Explain {{topic}}", model: "gpt-4o", tags: ["biology"] };
const prompt = must(await client.POST("/prompts", { body: draft }));
const promptId = prompt._id;
const messages: components["schemas"]["PromptIn"]["messages"] = [
  { role: "system", content: "Be {{tone}}." },
  { placeholder: "history" },
];
const chat = { title: "Talk of leaves", messages, model: "gpt-4o", config: { temperature: 0.5, stop: ["."] } };
const talk = must(await client.POST("/prompts", { body: chat }));
const contents = (talk.type === "chat" ? talk.messages : null)?.map((message) =>
  "placeholder" in message ? message.placeholder : message.content,
);
const values = { tone: "brief", history: [] };
const path = { prompt_id: talk._id };
const rendered = must(await client.POST("/prompts/{prompt_id}/render", { params: { path }, body: { variables: values } }));
const log: components["schemas"]["LogIn"] = { promptId, output: "x", modelUsed: "gpt-4o" };
const logs: components["schemas"]["LogOut"][] = [];
for (const kind of kinds) {
  const body = { ...log, input: kind, idealOutput: kind, variables: { topic: "leaves" }, metadata: { run: { n: [1] } } };
  logs.push(must(await client.POST("/logs", { body })));
}
const outputs: string[] = [];
for (const output of kinds) {
  const body = { slug: prompt.slug, output, user: { id: "1" } };
  outputs.push(must(await client.POST("/monitor/log", { body })).log.id);
}
const batch = must(await client.POST("/logs/batch", { body: { logs: [{ ...log, score: 9 }, { ...log, output: "" }] } }));
const query = { promptId, minScore: 5, since: "2024-06-20T13:10:00Z", sort: "-score" as const };
const filtered = must(await client.GET("/logs", { params: { query } }));
const log_id = logs[0]?._id ?? "";
const rated = must(await client.PATCH("/logs/{log_id}", { params: { path: { log_id } }, body: { score: 7.5, notes: null } }));
const label = { path: { prompt_id: promptId, label: "production" } };
const labelled = must(await client.PUT("/prompts/{prompt_id}/labels/{label}", { params: label, body: { version: 1 } }));
const missing = await client.GET("/prompts/{prompt_id}", { params: { path: { prompt_id: "prompt_1" } } });
const invalid = await client.POST("/prompts", { body: { ...draft, title: "x" } });
const found = await client.GET("/prompts/{prompt_id}", { params: { path: { prompt_id: promptId } } });
const exported = must(await files.GET("/export", { parseAs: "text" }));

console.log(
  JSON.stringify({
    inputs: logs.map((log) => log.input),
    outputs: new Set(outputs).size,
    batch: batch.results?.map((result) => result.status),
    filtered: filtered.map((log) => log.score),
    rated: rated.score,
    labels: labelled.labels,
    missing: [missing.response.status, missing.error?.code],
    invalid: invalid.error?.details,
    etag: found.response.headers.has("ETag"),
    types: [prompt.type, talk.type],
    messages: [prompt.messages, contents],
    configs: [prompt.config, talk.config],
    rendered: { messages: rendered.messages },
    exported: exported.includes(promptId),
  }),
);

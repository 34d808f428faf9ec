// Langfuse's SDK for JavaScript writes, fetches and labels prompts, and scores what it has sent. Prints what it saw as
// JSON. The environment has LANGFUSE_BASE_URL, LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY.
import { LangfuseClient } from "@langfuse/client";
import { LangfuseSpanProcessor } from "@langfuse/otel";
import { startActiveObservation, startObservation } from "@langfuse/tracing";
import { NodeTracerProvider } from "@opentelemetry/sdk-trace-node";

const processor = new LangfuseSpanProcessor();
new NodeTracerProvider({ spanProcessors: [processor] }).register();
const client = new LangfuseClient();
const seen = {};

const created = await client.prompt.create({
  name: "Movie critic",
  prompt: "Criticise {{movie}}.",
  labels: ["production"],
  config: { model: "gpt-4o" },
  commitMessage: "First draft",
});
seen.created = [created.name, created.version, created.labels, created.config, created.commitMessage];
await client.prompt.create({ name: "Movie critic", prompt: "Criticise {{movie}} in a line.", labels: [] });
const text = await client.prompt.get("Movie critic");
seen.text = [text.version, text.compile({ movie: "Dune" })];
await client.prompt.update({ name: "Movie critic", version: 2, newLabels: ["production"] });
seen.moved = (await client.prompt.get("Movie critic", { cacheTtlSeconds: 0 })).version;

await client.prompt.create({
  name: "support/reply",
  type: "chat",
  prompt: [
    { role: "system", content: "You answer as {{company}}." },
    { type: "placeholder", name: "history" },
    { role: "user", content: "{{question}}" },
  ],
  labels: ["production"],
});
const chat = await client.prompt.get("support/reply", { type: "chat" });
seen.chat = chat.compile({ company: "Acme", question: "Why?" }, { history: [{ role: "user", content: "Hi" }] });
seen.listed = (await client.api.prompts.list({ limit: 10 })).data.map(({ name }) => name);

await startActiveObservation("run", async (run) => {
  const generation = startObservation(
    "answer",
    { model: "gpt-4o", input: "Dune?", output: "Sandy.", usageDetails: { input: 12, output: 3 }, prompt: text },
    { asType: "generation" },
  );
  generation.end();
  client.score.observation(generation, { name: "tone", value: "dry", dataType: "CATEGORICAL" });
  client.score.trace(run, { name: "solved", value: 1, dataType: "BOOLEAN" });
  seen.trace = run.traceId;
  seen.observation = generation.id;
});
await client.score.flush();
await processor.forceFlush();
client.score.create({ traceId: seen.trace, observationId: seen.observation, name: "late", value: 0.5, id: "s1" });
await client.flush();
await client.shutdown();
console.log(JSON.stringify(seen));

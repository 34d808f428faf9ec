// The Vercel AI SDK: a conversation, a stream, an agent with three tools, two refusals and a picture.
// `tracing.mjs` says which release it is, and how its calls are told to send spans.
import { randomBytes } from "node:crypto";
import { z } from "zod";
import { ai, createOpenAI, provider, telemetry } from "./tracing.mjs";

const model = createOpenAI().chat("gpt-4o-mini");
const common = (sessionId) => ({ model, maxRetries: 0, ...telemetry(sessionId) });
const system = "Be brief.";

const messages = [];
for (const content of ["What is light?", "Why is it fast?"]) {
  messages.push({ role: "user", content });
  const { text } = await ai.generateText({ ...common("session-conversation"), instructions: system, system, messages });
  messages.push({ role: "assistant", content: text });
}
await ai.streamText({ ...common("session-stream"), prompt: "Tell me a story" }).text;

const inputSchema = z.object({ place: z.string() });
const names = ["weather", "sights", "trains"];
const tools = names.map((name) => [name, ai.tool({ inputSchema, execute: async ({ place }) => ({ [name]: place }) })]);
await ai.generateText({
  ...common("session-agent"),
  prompt: "Plan a day in Paris",
  tools: Object.fromEntries(tools),
  stopWhen: ai.stepCountIs(5),
});
for (const prompt of ["overload", "break"]) await ai.generateText({ ...common("session-error"), prompt }).catch(() => {});

const header = Buffer.from("89504e470d0a1a0a", "hex");
const picture = Buffer.concat([header, randomBytes(5_000_000)]);
const content = [{ type: "text", text: "What is this?" }, { type: "file", data: picture.toString("base64"), mediaType: "image/png" }];
await ai.generateText({ ...common("session-picture"), messages: [{ role: "user", content }] });
await provider.shutdown();

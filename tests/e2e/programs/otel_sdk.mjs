// A run of an agent in 12 spans, by the SDK of OpenTelemetry alone, in the GenAI conventions: 3 are calls of a model.
// Two are about HTTP and SQL, as other instrumentations add them.
import { trace } from "@opentelemetry/api";
import { provider } from "./tracing.mjs";

const tracer = trace.getTracer("program");
const span = (name, attributes, inside = () => {}) =>
  tracer.startActiveSpan(name, { attributes }, (started) => {
    inside();
    started.end();
  });
const messages = (role, content) => JSON.stringify([{ role, parts: [{ type: "text", content }] }]);

function call(question, answer) {
  const attributes = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.request.temperature": 0.5,
    "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
    "gen_ai.conversation.id": "session-agent",
    "gen_ai.usage.input_tokens": 1200,
    "gen_ai.usage.output_tokens": 40,
    "gen_ai.usage.cache_read.input_tokens": 1000,
    "gen_ai.system_instructions": JSON.stringify([{ type: "text", content: "Be brief." }]),
    "gen_ai.input.messages": messages("user", question),
    "gen_ai.output.messages": messages("assistant", answer),
  };
  span("chat gpt-4o-mini", attributes, () => span("POST", { "http.request.method": "POST" }));
}

const agent = {
  "gen_ai.operation.name": "invoke_agent",
  "gen_ai.request.model": "gpt-4o-mini",
  "gen_ai.usage.input_tokens": 3600,
  "gen_ai.usage.output_tokens": 120,
  "gen_ai.input.messages": messages("user", "Plan a day in Paris"),
  "gen_ai.output.messages": messages("assistant", "Answer 3"),
  "user.id": "ada",
};
span("invoke_agent planner", agent, () => {
  for (const [index, tool] of ["weather", "sights", "trains"].entries()) {
    call(`Question ${index + 1}`, `Answer ${index + 1}`);
    span(`execute_tool ${tool}`, { "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": tool });
  }
  span("embeddings", { "gen_ai.operation.name": "embeddings", "gen_ai.usage.input_tokens": 9 });
  span("SELECT", { "db.system": "postgresql" });
});
await provider.shutdown();

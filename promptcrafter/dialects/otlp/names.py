"""The names under which instrumentations send the columns of a log, for each in the order in which they count.

The first one with a value counts, the name of a dialect before that of the GenAI conventions. They are still being
renamed, so older names stand behind newer ones. A new convention is a row in these tables and a test.

Sources: OpenTelemetry's semantic conventions for generative AI, OpenInference's specification, OpenLLMetry
(Traceloop), the Vercel AI SDK, MLflow Tracing, and the SDKs of Langfuse and Basalt.
"""

# What a span is: the attribute, and the kind for each of its values, in lower case. `generation` is a call of a model
GENERATION = "generation"
KINDS: dict[str, dict[str, str]] = {
    "langfuse.observation.type": {"generation": GENERATION},
    "basalt.span.kind": {"generation": GENERATION},
    "openinference.span.kind": {"llm": GENERATION},
    "gen_ai.operation.name": {
        **dict.fromkeys(("chat", "text_completion", "completion", "generate_content", "generate"), GENERATION),
        **{"invoke_agent": "agent", "create_agent": "agent", "execute_tool": "tool", "embeddings": "embedding"},
    },
    "llm.request.type": dict.fromkeys(("chat", "completion"), GENERATION),
    "ai.operationId": {},  # see `kinds`
    "traceloop.span.kind": {},
    "mlflow.spanType": dict.fromkeys(("chat_model", "llm"), GENERATION),
}
# The beginnings of attributes of these conventions: a span without any of them is about something else
PREFIXES = (
    *("gen_ai.", "llm.", "langfuse.", "basalt.", "openinference.", "traceloop.", "mlflow.", "ai."),
    *("input.value", "output.value", "logfire.msg_template"),
)

MODEL = (
    *("langfuse.observation.model.name", "gen_ai.response.model", "llm.response.model_name", "ai.response.model"),
    *("gen_ai.request.model", "llm.request.model_name", "llm.model_name", "ai.model.id", "basalt.prompt.model.model"),
)
PROVIDER = ("gen_ai.provider.name", "gen_ai.system", "llm.provider", "ai.model.provider", "llm.system")
INPUT_TOKENS = (
    *("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt", "ai.usage.promptTokens"),
    "ai.usage.inputTokens",
)
OUTPUT_TOKENS = (
    *("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.token_count.completion"),
    *("ai.usage.completionTokens", "ai.usage.outputTokens"),
)
CACHED_INPUT_TOKENS = (
    *("gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens"),
    *("llm.token_count.prompt_details.cache_read", "ai.usage.cachedInputTokens"),
)
CACHE_WRITE_TOKENS = (
    *("gen_ai.usage.cache_write.input_tokens", "gen_ai.usage.cache_creation.input_tokens"),
    *("gen_ai.usage.cache_creation_input_tokens", "llm.token_count.prompt_details.cache_write"),
)
REASONING_TOKENS = (
    *("gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.reasoning_tokens", "llm.usage.reasoning_tokens"),
    *("llm.token_count.completion_details.reasoning", "ai.usage.reasoningTokens"),
)
COST = ("gen_ai.usage.cost", "operation.cost", "llm.cost.total")
PROMPT_NAME = (
    *("langfuse.observation.prompt.name", "langfuse.prompt.name", "basalt.prompt.slug", "gen_ai.prompt.name"),
    *("traceloop.prompt.key", "prompt.id"),
)
PROMPT_VERSION = (
    *("langfuse.observation.prompt.version", "langfuse.prompt.version", "basalt.prompt.version"),
    *("gen_ai.prompt.version", "traceloop.prompt.version"),
)
PROMPT_TAG = ("basalt.prompt.tag",)
VARIABLES = ("basalt.prompt.variables", "traceloop.prompt.template_variables", "llm.prompt_template.variables")
USER_ID = ("langfuse.user.id", "user.id", "enduser.id")
SESSION_ID = ("langfuse.session.id", "session.id", "gen_ai.conversation.id")
ENVIRONMENT = ("langfuse.environment", "deployment.environment.name", "deployment.environment")
TRACE_NAME = ("langfuse.trace.name",)
RESPONSE_ID = ("gen_ai.response.id", "ai.response.id", "llm.response.id")

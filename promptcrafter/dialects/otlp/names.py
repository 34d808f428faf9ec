"""The names under which instrumentations send what becomes the columns of a log, a step or a trace.

Of the names of one thing, the first one with a value counts: the name of a dialect before that of the GenAI
conventions, and a newer name before an older one, because they are still being renamed. To support another convention,
add its names here, and its form of inputs and outputs to `contents` if that is new, with a table test. Long tuples are
written in pieces, `*(…)`, only so that the formatter leaves several names in a line.

Sources: OpenTelemetry's semantic conventions for generative AI up to 0.66b2, OpenInference's specification (0.1.42),
OpenLLMetry (Traceloop, 0.5.1), the Vercel AI SDK 4 to 7, pydantic-ai 1 and 2, Logfire, MLflow Tracing 3, LiteLLM,
LangSmith, Google's ADK, and the SDKs of Langfuse (3 to 5) and Basalt (1.1.10).
"""

# ── What a span is ───────────────────────────────────────────────────────────────────────────────────────────────────

GENERATION = "generation"  # a call of a model
AGENT, WORKFLOW, TOOL = "agent", "workflow", "tool"
EMBEDDING, RETRIEVER, RERANKER = "embedding", "retriever", "reranker"
# The attributes that name the kind of a span, and the kinds for their values in lower case. A value that is not listed
# is a kind by itself
KINDS: dict[str, dict[str, str]] = {
    "langfuse.observation.type": {},
    "basalt.span.kind": {"retrieval": RETRIEVER},
    "openinference.span.kind": {"llm": GENERATION},
    "gen_ai.operation.name": {
        **dict.fromkeys(("chat", "text_completion", "completion", "generate_content", "generate"), GENERATION),
        **dict.fromkeys(("acompletion", "responses", "messages", "converse", "invoke_model", "inference"), GENERATION),
        **{"generate_text": GENERATION, "aembedding": EMBEDDING, "embeddings": EMBEDDING},
        **{"invoke_agent": AGENT, "create_agent": AGENT, "execute_tool": TOOL, "invoke_workflow": WORKFLOW},
        **{"retrieval": RETRIEVER, "rerank": RERANKER},
    },
    "llm.request.type": {"chat": GENERATION, "completion": GENERATION, "rerank": RERANKER},
    "ai.operationId": {
        **dict.fromkeys(("ai.generatetext", "ai.streamtext", "ai.generateobject", "ai.streamobject"), AGENT),
        **dict.fromkeys(("ai.embed", "ai.embed.doembed", "ai.embedmany", "ai.embedmany.doembed"), EMBEDDING),
        **{"ai.rerank": RERANKER, "ai.rerank.dorerank": RERANKER, "ai.toolcall": TOOL},
    },
    "mlflow.spanType": {"chat_model": GENERATION, "llm": GENERATION},
    "langsmith.span.kind": {"llm": GENERATION},
    "traceloop.span.kind": {},
}
# How other values end, and the kinds for that
ENDINGS = {".dogenerate": GENERATION, ".dostream": GENERATION, "embedding": EMBEDDING, "embeddings": EMBEDDING}
# The kinds of spans that are never a call, whatever else they say: they sum up calls, or they are something else with
# a model and tokens. Their cost would count twice, or as that of a call
NEVER_CALLS = frozenset(
    (
        *(EMBEDDING, AGENT, TOOL, RETRIEVER, RERANKER, WORKFLOW, "agent_step", "decide", "decision", "transcribe"),
        *("streamtranscribe", "generatespeech", "ai.transcribe", "ai.streamtranscribe", "ai.generatespeech"),
        *("guardrail", "evaluator", "event", "function", "task"),
    )
)
UNKNOWN = "unknown"  # as good as no kind: the span is a call if it has a model, and tokens or output
# Attributes that imply the kind of a span that does not name it, and these kinds
IMPLIED_KINDS = (
    *(("agent_name", AGENT), ("all_messages_events", AGENT), ("pydantic_ai.all_messages", AGENT)),
    *(("gen_ai.tool.name", TOOL), ("ai.toolCall.name", TOOL), ("tool.name", TOOL)),
    *(("embedding.model_name", EMBEDDING), ("gen_ai.embeddings.dimension.count", EMBEDDING)),
    *(("reranker.model_name", RERANKER), ("gen_ai.retrieval.query.text", RETRIEVER)),
)
# The beginnings of attributes of the conventions: a span without any of them is about something else
PREFIXES = (
    *("gen_ai.", "llm.", "langfuse.", "basalt.", "openinference.", "traceloop.", "mlflow.", "ai.", "langsmith."),
    *("input.value", "output.value", "pydantic_ai.", "agent_name", "retrieval.", "reranker.", "embedding."),
)
# Attributes with such a beginning that SDKs set on every span of a run, also on those of HTTP and SQL
PROPAGATED = (
    *("basalt.in_trace", "basalt.span.feature_slug", "basalt.span.should_evaluate", "basalt.experiment."),
    *("basalt.user.", "basalt.organization.", "basalt.meta.", "basalt.root", "basalt.trace"),
    *("traceloop.association.", "traceloop.workflow.", "traceloop.entity.", "traceloop.prompt."),
    *("langfuse.trace.", "langfuse.environment", "langfuse.release", "langfuse.version", "langfuse.experiment."),
    *("langfuse.internal.", "langfuse.user.", "langfuse.session.", "mlflow.traceTag.", "mlflow.traceRequestId"),
    *("gen_ai.agent.", "gen_ai.conversation.", "langsmith.metadata.", "langsmith.trace.", "langsmith.span.tags"),
)
SCOPES = ("pydantic-ai",)  # whose spans all count, such as `running tools`, which has no attribute of a convention
PENDING = ("logfire.span_type", "pending_span")  # a span that has only begun: it is sent again when it ends

# ── The call ─────────────────────────────────────────────────────────────────────────────────────────────────────────

MODEL = (
    *("langfuse.observation.model.name", "gen_ai.response.model", "llm.response.model_name", "ai.response.model"),
    *("gen_ai.request.model", "llm.request.model_name", "llm.model_name", "ai.model.id", "mlflow.llm.model"),
    "basalt.prompt.model.model",
)
PROVIDER = (
    *("gen_ai.provider.name", "gen_ai.system", "llm.provider", "ai.model.provider", "mlflow.llm.provider"),
    *("llm.system", "basalt.prompt.model.provider"),
)
USER_ID = (
    *("langfuse.user.id", "user.id", "enduser.id", "basalt.user.id", "ai.telemetry.metadata.userId"),
    *("traceloop.association.properties.user_id", "mlflow.trace.user", "litellm.end_user.id", "gen_ai.user"),
    "llm.user",
)
SESSION_ID = (
    *("langfuse.session.id", "session.id", "gen_ai.conversation.id", "ai.telemetry.metadata.sessionId"),
    *("traceloop.association.properties.session_id", "mlflow.trace.session", "langsmith.metadata.session_id"),
    "langsmith.metadata.thread_id",
)
ENVIRONMENT = ("langfuse.environment", "deployment.environment.name", "deployment.environment")
ERROR_TYPE = "error.type"
LEVEL = "langfuse.observation.level"
STATUS_MESSAGE = "langfuse.observation.status_message"

# ── Input and output ─────────────────────────────────────────────────────────────────────────────────────────────────

# How a convention writes what a span was given and what came of it; `contents` has a reader for each form
PLAIN = "a value, or the JSON of one"
QUOTED = "a value that is written as JSON, also if it is a text"
MESSAGES = "messages of the GenAI conventions, as JSON or an array"
DETAILS = "the same in the event DETAILS_EVENT"
INSTRUCTIONS = "instructions without any message"
EVENTS = "events, each of them a message; the names are those of the events"
LISTED_EVENTS = "the same in an array of objects, or its JSON"
IN_EVENT = "a value in an event of this name"
FLATTENED = (
    "messages, with an attribute for each part: the beginning of their names, and the role of one without a role"
)
ITEMS = "another list that is flattened; the last name is that of a text in each item"
RESPONSE = "text, reasoning, calls of tools and object of the AI SDK; the name is the beginning of theirs"
# The events of messages, and their roles
CHOICE_EVENT = "gen_ai.choice"
EVENT_ROLES = {
    **{f"gen_ai.{role}.message": role for role in ("system", "user", "assistant", "tool")},
    CHOICE_EVENT: "assistant",
}
INPUT_EVENTS = tuple(name for name in EVENT_ROLES if name != CHOICE_EVENT)
EVENT_BODIES = ("gen_ai.event.content", "body")  # where an event may have its message as JSON
DETAILS_EVENT = "gen_ai.client.inference.operation.details"
# The places of the input and of the output: form and names. The second half has those of steps that are no calls
INPUTS: tuple[tuple[str, ...], ...] = (
    (PLAIN, "langfuse.observation.input"),
    (PLAIN, "basalt.span.input"),
    (FLATTENED, "llm.input_messages."),
    (MESSAGES, "gen_ai.input.messages", "gen_ai.system_instructions"),
    (DETAILS, "gen_ai.input.messages", "gen_ai.system_instructions"),
    (EVENTS, *INPUT_EVENTS),
    (IN_EVENT, "gen_ai.content.prompt", "gen_ai.prompt"),
    (LISTED_EVENTS, "events", *INPUT_EVENTS),
    (PLAIN, "ai.prompt.messages"),
    (FLATTENED, "gen_ai.prompt."),
    (PLAIN, "gen_ai.prompt"),
    (ITEMS, "llm.prompts.", "prompt", "text"),
    (QUOTED, "traceloop.entity.input"),
    (QUOTED, "mlflow.spanInputs"),
    (QUOTED, "gen_ai.tool.call.arguments"),
    (PLAIN, "tool_arguments"),
    (QUOTED, "ai.toolCall.args"),
    (PLAIN, "ai.prompt"),
    (QUOTED, "ai.value"),
    (PLAIN, "ai.values"),
    (PLAIN, "ai.documents"),
    (PLAIN, "gen_ai.retrieval.query.text"),
    (PLAIN, "gcp.vertex.agent.llm_request"),
    (PLAIN, "gcp.vertex.agent.tool_call_args"),
    (PLAIN, "basalt.tool.input"),
    (PLAIN, "basalt.retrieval.query"),
    (ITEMS, "reranker.input_documents.", "document"),
    (PLAIN, "request_data"),
    (PLAIN, "input.value"),
    (INSTRUCTIONS, "gen_ai.system_instructions"),
)
OUTPUTS: tuple[tuple[str, ...], ...] = (
    (PLAIN, "langfuse.observation.output"),
    (PLAIN, "basalt.span.output"),
    (FLATTENED, "llm.output_messages.", "assistant"),
    (MESSAGES, "gen_ai.output.messages"),
    (DETAILS, "gen_ai.output.messages"),
    (EVENTS, CHOICE_EVENT),
    (IN_EVENT, "gen_ai.content.completion", "gen_ai.completion"),
    (LISTED_EVENTS, "events", CHOICE_EVENT),
    (RESPONSE, "ai.response."),
    (RESPONSE, "ai.result."),
    (FLATTENED, "gen_ai.completion.", "assistant"),
    (PLAIN, "gen_ai.completion"),
    (ITEMS, "llm.choices.", "completion", "text"),
    (QUOTED, "traceloop.entity.output"),
    (QUOTED, "mlflow.spanOutputs"),
    (QUOTED, "gen_ai.tool.call.result"),
    (PLAIN, "tool_response"),
    (QUOTED, "ai.toolCall.result"),
    (PLAIN, "final_result"),
    (PLAIN, "pydantic_ai.all_messages"),
    (LISTED_EVENTS, "all_messages_events", *EVENT_ROLES),
    (PLAIN, "ai.ranking"),
    (ITEMS, "retrieval.documents.", "document"),
    (PLAIN, "gen_ai.retrieval.documents"),
    (ITEMS, "reranker.output_documents.", "document"),
    (PLAIN, "gcp.vertex.agent.llm_response"),
    (PLAIN, "gcp.vertex.agent.tool_response"),
    (PLAIN, "basalt.tool.output"),
    (PLAIN, "response_data"),
    (PLAIN, "output.value"),
)
RESPONSE_PARTS = ("text", "reasoning", "toolCalls", "object")

# ── Tokens and cost ──────────────────────────────────────────────────────────────────────────────────────────────────

INPUT_TOKENS = (
    *("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt", "ai.usage.promptTokens"),
    *("ai.usage.inputTokens", "llm.usage.prompt_tokens"),
)
OUTPUT_TOKENS = (
    *("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.token_count.completion"),
    *("ai.usage.completionTokens", "ai.usage.outputTokens", "llm.usage.completion_tokens"),
)
TOTAL_TOKENS = (
    *("gen_ai.usage.total_tokens", "llm.usage.total_tokens"),
    *("llm.token_count.total", "ai.usage.totalTokens"),
)
CACHED_INPUT_TOKENS = (
    *("gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens"),
    *("llm.token_count.prompt_details.cache_read", "ai.usage.inputTokenDetails.cacheReadTokens"),
    *("ai.usage.cachedInputTokens", "gen_ai.usage.details.cache_read_tokens"),
    *("gen_ai.usage.details.cached_tokens", "llm.token_count.prompt_details.cache_input"),
)
CACHE_WRITE_TOKENS = (
    *("gen_ai.usage.cache_write.input_tokens", "gen_ai.usage.cache_creation.input_tokens"),
    *("gen_ai.usage.cache_write_input_tokens", "gen_ai.usage.cache_creation_input_tokens"),
    *("llm.token_count.prompt_details.cache_write", "ai.usage.inputTokenDetails.cacheWriteTokens"),
    "gen_ai.usage.details.cache_write_tokens",
)
REASONING_TOKENS = (
    *("gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.reasoning_tokens", "llm.usage.reasoning_tokens"),
    *("llm.token_count.completion_details.reasoning", "ai.usage.outputTokenDetails.reasoningTokens"),
    *("ai.usage.reasoningTokens", "gen_ai.usage.details.reasoning_tokens"),
)
# Tokens of sound have prices that the columns of a log cannot express: with any of them no cost is computed
AUDIO_TOKENS = (
    *("llm.token_count.prompt_details.audio", "llm.token_count.completion_details.audio"),
    *("gen_ai.usage.details.input_audio_tokens", "gen_ai.usage.details.output_audio_tokens"),
)
# What a call was served with: other tiers than the standard have prices of their own
SERVICE_TIER = (
    *("gen_ai.openai.response.service_tier", "openai.response.service_tier", "gen_ai.response.service_tier"),
)
USAGE_DETAILS = "langfuse.observation.usage_details"  # JSON, see `tokens`
USAGE = ("mlflow.chat.tokenUsage",)  # JSON as in a model's response
COST_DETAILS = "langfuse.observation.cost_details"  # JSON: the total, or the costs that make it up
COST = ("gen_ai.usage.cost", "operation.cost", "llm.cost.total", "gen_ai.cost.total_cost", "litellm.cost.total")
COST_OBJECTS = (("mlflow.llm.cost", "total_cost"),)  # JSON, and the key of the total

# Seconds, and milliseconds, from the beginning of a call to the first token of its output
FIRST_TOKEN_S = (
    *("gen_ai.response.time_to_first_chunk", "gen_ai.client.operation.time_to_first_chunk"),
    "gen_ai.server.time_to_first_token",
)
FIRST_TOKEN_MS = ("ai.response.msToFirstChunk", "ai.stream.msToFirstChunk")
COMPLETION_START = "langfuse.observation.completion_start_time"
FIRST_TOKEN_EVENTS = ("First Token Stream Event", "llm.content.completion.chunk", "gen_ai.content.completion.chunk")

# ── The prompt ───────────────────────────────────────────────────────────────────────────────────────────────────────

PROMPTS = (  # the names of slug, version and tag, of which a prompt may have less
    ("langfuse.observation.prompt.name", "langfuse.observation.prompt.version", ""),
    ("langfuse.prompt.name", "langfuse.prompt.version", ""),
    ("basalt.prompt.slug", "basalt.prompt.version", "basalt.prompt.tag"),
    ("gen_ai.prompt.name", "gen_ai.prompt.version", ""),
    ("traceloop.prompt.key", "traceloop.prompt.version", ""),
)
PROMPT_OBJECT = "ai.telemetry.metadata.langfusePrompt"  # JSON: name, version, isFallback
PROMPT_ID = "prompt.id"
VARIABLES = (
    *("basalt.prompt.variables", "basalt.span.variables", "traceloop.prompt.template_variables"),
    "llm.prompt_template.variables",
)
VARIABLE_PREFIX = "traceloop.prompt.template_variables."

# ── Parameters and metadata ──────────────────────────────────────────────────────────────────────────────────────────

PARAMETER_OBJECTS = ("langfuse.observation.model.parameters", "llm.invocation_parameters")  # JSON
PARAMETER_PREFIXES = ("gen_ai.request.", "gen_ai.openai.request.")
TOOLS = ("gen_ai.tool.definitions", "ai.prompt.tools", "mlflow.chat.tools")
TOOL_PREFIXES = ("llm.tools.", "llm.request.functions.")  # flattened lists
PARAMETERS = (  # name of the parameter, and that of the attribute
    *(("tool_choice", "ai.prompt.toolChoice"), ("model_request_parameters", "model_request_parameters")),
    *(("temperature", "llm.temperature"), ("top_p", "llm.top_p"), ("top_k", "llm.top_k")),
    *(("frequency_penalty", "llm.frequency_penalty"), ("presence_penalty", "llm.presence_penalty")),
    *(("stop_sequences", "llm.chat.stop_sequences"), ("stream", "llm.is_streaming"), ("stream", "gen_ai.is_streaming")),
)
# What the sender calls metadata: objects, and prefixes of single values. Later ones count
METADATA_OBJECTS = ("metadata", "basalt.metadata", "langfuse.trace.metadata", "langfuse.observation.metadata")
METADATA_PREFIXES = (
    *("ai.telemetry.metadata.", "traceloop.association.properties.", "basalt.meta.", "langsmith.metadata."),
    *("litellm.metadata.", "metadata.", "langfuse.trace.metadata.", "langfuse.observation.metadata."),
)
INTERNAL_CALL = "basalt.internal.api"  # in the JSON of `basalt.metadata`: Basalt's SDK calls its own API
TAGS = ("langfuse.trace.tags", "tag.tags", "langsmith.span.tags", "ai.telemetry.metadata.tags")
FINISH_REASONS = (
    *("gen_ai.response.finish_reasons", "ai.response.finishReason", "llm.finish_reason"),
    *("gen_ai.response.finish_reason", "llm.response.finish_reason", "llm.response.stop_reason"),
)
RESPONSE_ID = ("gen_ai.response.id", "ai.response.id", "gen_ai.response_id")
RELEASE = "langfuse.release"
METADATA = (  # our names of single values, and theirs
    *(("release", RELEASE), ("version", "langfuse.version"), ("level", LEVEL)),
    *(("promptVendor", "prompt.vendor"), ("functionId", "ai.telemetry.functionId")),
)

# ── The trace ────────────────────────────────────────────────────────────────────────────────────────────────────────

TRACE_NAME = ("langfuse.trace.name", "langsmith.trace.name", "traceloop.workflow.name")
TRACE_INPUT, TRACE_OUTPUT = "langfuse.trace.input", "langfuse.trace.output"
SLUG = "basalt.span.feature_slug"
SERVICE = "service.name"
UNKNOWN_SERVICE = "unknown_service"  # what the SDKs of OpenTelemetry say where nothing is configured
USER = ("basalt.user.id", "basalt.user.name")
ORGANIZATION = ("basalt.organization.id", "basalt.organization.name")
TRACE_METADATA = "langfuse.trace.metadata"

# ── Evaluations ──────────────────────────────────────────────────────────────────────────────────────────────────────

EVALUATION_EVENT = "gen_ai.evaluation.result"
EVALUATOR = ("gen_ai.evaluator.id", "gen_ai.evaluator.name")  # tells apart several that give scores of one name

# Attributes that say nothing that another one, or a column, does not say
REDUNDANT = frozenset(
    (
        *("input.mime_type", "output.mime_type", "logfire.json_schema", "logfire.msg_template", "logfire.msg"),
        *(
            "basalt.in_trace",
            "basalt.root",
            "basalt.trace",
            "langfuse.internal.as_root",
            "langfuse.internal.is_app_root",
        ),
        *("ai.response.timestamp", "operation.name", "resource.name", "ai.embedding", "ai.embeddings"),
        *("ai.usage.inputTokenDetails.noCacheTokens", "ai.usage.outputTokenDetails.textTokens", "logfire.span_type"),
        *("mlflow.traceRequestId", "mlflow.experimentId", "mlflow.spanFunctionName", "mlflow.message.format"),
        *("mlflow.spanStartTimeNs", "mlflow.spanLogLevel", "langsmith.span.id", "langsmith.trace.id"),
        *("langsmith.span.parent_id", "langsmith.span.dotted_order", "langsmith.span.runtime", "prompt.url"),
    )
)
REDUNDANT_PREFIXES = ("embedding.embeddings.", "llm.cost.", "llm.token_count.", "gen_ai.aggregated_usage.")

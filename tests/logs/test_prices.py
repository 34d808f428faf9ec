"""The price that a model's name means: an entry of the price list, one of PRICES_FILE, or none."""

import logging
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from genai_prices import Usage
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ClauseEquals, StartDateConstraint

from config import Config
from promptcrafter.logs import prices
from promptcrafter.logs.prices import Tokens, find
from tests.support.databases import only_sqlite

NOW = datetime(2026, 11, 29, 18, tzinfo=UTC)
A_MILLION_EACH = Tokens(1_000_000, 1_000_000)

# Families of real names, each with the entry of the list that it means, or `none`. An entry of `=` is that of the line
# before.
NAMES = {
    "OpenAI": """
        gpt-4o                                   openai/gpt-4o
        gpt-4o-2024-08-06                        =
        gpt-4o-2024-11-20                        =
        gpt-4o-2024-05-13                        openai/gpt-4o-2024-05-13
        gpt-4o-20240513                          =
        gpt-4o@2024-05-13                        =
        chatgpt-4o-latest                        openai/chatgpt-4o-latest
        gpt-4o-mini                              openai/gpt-4o-mini
        gpt-4o-mini-2024-07-18                   =
        gpt-4.1                                  openai/gpt-4.1
        gpt-4.1-mini-2025-04-14                  openai/gpt-4.1-mini
        gpt-4.1-nano                             openai/gpt-4.1-nano
        gpt-4                                    openai/gpt-4
        gpt-4-0613                               =
        gpt-4-32k                                openai/gpt-4-32k
        gpt-4-turbo                              openai/gpt-4-turbo
        gpt-4-turbo-2024-04-09                   =
        gpt-4-1106-preview                       =
        gpt-3.5-turbo                            openai/gpt-3.5-turbo
        gpt-3.5-turbo-0125                       =
        gpt-3.5-turbo-0613                       openai/gpt-3.5-turbo-0613
        gpt-3.5-turbo-instruct                   openai/gpt-3.5-turbo-instruct
        o1                                       openai/o1
        o1-2024-12-17                            =
        o1-mini                                  openai/o1-mini
        o1-pro                                   openai/o1-pro
        o3                                       openai/o3
        o3-mini-2025-01-31                       openai/o3-mini
        o3-mini-high                             =
        o4-mini                                  openai/o4-mini
        gpt-5                                    openai/gpt-5
        gpt-5-chat-latest                        =
        gpt-5-nano-2025-08-07                    openai/gpt-5-nano
        gpt-5.1-codex-max                        openai/gpt-5.1
        text-embedding-3-small                   openai/text-embedding-3-small
        text-embedding-ada-002                   openai/text-embedding-ada-002
        gpt-4o-8b                                none
        gpt-4o-latest                            none
        gpt-4o-mini-high                         none
        gpt-4-0125                               none
        gpt-oss-120b                             none
    """,
    "sound, pictures and hours": """
        whisper-1                                none
        tts-1-hd                                 none
        dall-e-3                                 none
        gpt-image-1                              none
        gpt-4o-audio-preview                     none
        openai/gpt-4o-audio-preview              none
        openrouter/openai/gpt-4o-audio-preview   none
        gpt-4o-realtime-preview-2024-12-17       none
        gpt-4o-transcribe                        none
        gpt-4o-mini-tts                          none
        gpt-realtime                             none
        omni-moderation-latest                   none
        gemini-2.5-flash-preview-tts             none
        gemini-2.5-flash-image                   none
        groq/whisper-large-v3                    none
        mistral-ocr-latest                       none
        amazon.nova-sonic-v1:0                   none
        voxtral-small-latest                     none
        grok-voice-latest                        none
    """,
    "Anthropic": """
        claude-3-5-sonnet-20241022               anthropic/claude-3-5-sonnet
        claude-3-5-sonnet-20240620               =
        claude-3-5-sonnet-latest                 =
        claude-3-5-haiku-latest                  anthropic/claude-3-5-haiku-latest
        claude-3-7-sonnet-20250219               anthropic/claude-3-7-sonnet-latest
        claude-3-7-sonnet-thinking               =
        claude-3-7-sonnet-20250219-thinking      =
        claude-3-haiku-20240307                  anthropic/claude-3-haiku
        claude-3-opus-20240229                   anthropic/claude-3-opus-latest
        claude-2.1                               anthropic/claude-2
        claude-sonnet-4-20250514                 anthropic/claude-sonnet-4-0
        claude-sonnet-4-5-20250929               anthropic/claude-sonnet-4-5
        claude-opus-4-1                          anthropic/claude-opus-4-1
        claude-opus-4-5-20251101                 anthropic/claude-opus-4-5
        claude-haiku-4-5-20251001                anthropic/claude-haiku-4-5
        claude-3-5-sonnet-20240620-v1:0          anthropic/claude-3-5-sonnet
        claude-instant-1.2                       none
        claude-sonnet-99                         none
        claude-3-5-sonnet-mine                   none
    """,
    "Bedrock": """
        anthropic.claude-3-5-sonnet-20240620-v1:0     aws/regional.anthropic.claude-3-5-sonnet-20240620-v1:0
        us.anthropic.claude-3-5-sonnet-20240620-v1:0  =
        eu.anthropic.claude-3-5-sonnet-20240620-v1:0  =
        arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-5-sonnet-20240620-v1:0  =
        bedrock/anthropic.claude-3-5-sonnet-20240620-v1:0   =
        bedrock:anthropic.claude-3-5-sonnet-20240620-v1:0   =
        bedrock/eu-central-1/anthropic.claude-3-5-sonnet-20240620-v1:0  =
        arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-3-7-sonnet-20250219-v1:0 \
            aws/regional.anthropic.claude-3-7-sonnet-20250219-v1:0
        apac.anthropic.claude-3-haiku-20240307-v1:0   aws/regional.anthropic.claude-3-haiku-20240307-v1:0
        us.anthropic.claude-sonnet-4-5-20250929-v1:0  aws/regional.anthropic.claude-sonnet-4-5-20250929-v1:0
        global.anthropic.claude-sonnet-4-5-20250929-v1:0  aws/global.anthropic.claude-sonnet-4-5-20250929-v1:0
        anthropic.claude-opus-4-5-20251101-v1:0       aws/regional.anthropic.claude-opus-4-5-v1:0
        amazon.nova-pro-v1:0                          aws/amazon.nova-pro-v1:0
        us.amazon.nova-lite-v1:0                      aws/amazon.nova-lite-v1:0
        amazon.titan-embed-text-v2:0                  aws/amazon.titan-embed-text-v2:0
        bedrock/converse/us.meta.llama3-3-70b-instruct-v1:0  aws/meta.llama3-3-70b-instruct-v1:0
        us.deepseek.r1-v1:0                           aws/deepseek.r1-v1:0
        mistral.mistral-large-2402-v1:0               aws/mistral.mistral-large-2402-v1:0
        openai.gpt-oss-120b-1:0                       aws/openai.gpt-oss-120b-1:0
        us-gov.anthropic.claude-3-5-sonnet-20240620-v1:0  none
        arn:aws-us-gov:bedrock:us-gov-west-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0  none
        arn:aws:bedrock:us-gov-west-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0  none
        arn:aws:bedrock:us-gov-east-1:1:inference-profile/us.anthropic.claude-sonnet-4-5-20250929-v1:0  none
        arn:aws-cn:bedrock:cn-north-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0  none
        eu.amazon.nova-pro-v1:0                       none
        bedrock/eu-west-2/meta.llama3-8b-instruct-v1:0    none
        anthropic.claude-3-haiku-20240307-v1:0:200k   none
        bedrock/us-east-1/1-month-commitment/anthropic.claude-3-haiku-20240307-v1:0  none
        arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123def456  none
        arn:aws:bedrock:us-east-1:123456789012:provisioned-model/abc123  none
        cohere.command-r-plus-v1:0                    none
    """,
    "Google": """
        gemini-1.5-flash                         google/gemini-1.5-flash
        gemini-1.5-flash-002                     =
        models/gemini-1.5-flash                  =
        gemini-1.5-pro-latest                    google/gemini-1.5-pro
        gemini-2.0-flash-001                     google/gemini-2.0-flash
        gemini-2.0-flash-lite-001                google/gemini-2.0-flash-lite
        gemini-2.5-pro                           google/gemini-2.5-pro
        gemini-2.5-pro-preview-05-06             =
        gemini-2.5-flash-preview-05-20           google/gemini-2.5-flash-preview
        gemini-2.5-flash-preview-09-2025         google/gemini-2.5-flash
        gemini-2.5-flash-lite-preview-06-17      google/gemini-2.5-flash-lite
        gemini/gemini-2.5-flash                  google/gemini-2.5-flash
        gemini-embedding-001                     google/gemini-embedding-001
        gemini-1.5-flash-8b                      none
        gemini-1.5-flash-8b-001                  none
        gemini/gemini-1.5-flash-8b               none
        gemini-2.5-pro-exp-03-25                 none
        gemma-3-27b-it                           none
        tunedModels/my-model-1234                none
    """,
    "Vertex": """
        vertex_ai/gemini-1.5-pro                 google/gemini-1.5-pro
        publishers/google/models/gemini-2.5-pro  google/gemini-2.5-pro
        projects/p1/locations/us-central1/publishers/google/models/gemini-2.0-flash-001  google/gemini-2.0-flash
        vertex_ai/claude-3-5-sonnet@20240620     google/claude-3-5-sonnet
        claude-3-5-sonnet-v2@20241022            =
        claude-opus-4@20250514                   google/claude-4-opus
        publishers/anthropic/models/claude-sonnet-4-5@20250929  google/claude-sonnet-4-5
        vertex_ai/claude-sonnet-5                anthropic/claude-sonnet-5
        vertex_ai/mistral-large@2407             none
        projects/p1/locations/us-central1/endpoints/1234567890  none
        publishers/meta/models/llama-3.3-70b-instruct-maas  none
    """,
    "Azure": """
        azure/gpt-4o                             openai/gpt-4o
        azure/gpt-4o-2024-08-06                  =
        azure/global/gpt-4o-2024-08-06           =
        azure:chat:gpt-4o                        =
        azure/gpt-35-turbo                       openai/gpt-3.5-turbo
        azure/gpt-4-1-mini                       openai/gpt-4.1-mini
        azure/o1                                 azure/o1
        azure/o_series/o3-mini                   azure/o3-mini
        azure_ai/claude-haiku-4-5                anthropic/claude-haiku-4-5
        azure/my-deployment                      none
        azure/gpt-4o-prod                        none
        azure/eu/gpt-4o-2024-08-06               none
        azure_ai/deepseek-r1                     none
    """,
    "OpenRouter": """
        openrouter/deepseek/deepseek-r1          openrouter/deepseek/deepseek-r1
        openrouter/openai/gpt-4o-mini            openrouter/openai/gpt-4o-mini
        openrouter/anthropic/claude-3.5-sonnet   openrouter/anthropic/claude-3.5-sonnet
        anthropic/claude-3.5-sonnet:beta         =
        openrouter/anthropic/claude-3.7-sonnet:thinking  openrouter/anthropic/claude-3.7-sonnet
        anthropic/claude-4.5-sonnet-20250929:beta    openrouter/anthropic/claude-sonnet-4.5
        openrouter/meta-llama/llama-3.1-70b-instruct  openrouter/meta-llama/llama-3.1-70b-instruct
        openrouter/deepseek/deepseek-chat-v3-0324     openrouter/deepseek/deepseek-chat-v3-0324
        google/gemini-2.5-flash-preview:thinking openrouter/google/gemini-2.5-flash-preview:thinking
        gemini-2.5-flash-preview-05-20:thinking  openrouter/gemini-2.5-flash-preview-05-20:thinking
        openai/gpt-4o:extended                   openrouter/openai/gpt-4o:extended
        openai/gpt-4o:nitro                      openrouter/openai/gpt-4o
        openai/gpt-4o:floor                      =
        openai/gpt-4o:online                     =
        openai/gpt-4o:batch                      openrouter/openai/gpt-4o:batch
        deepseek/deepseek-r1:free                openrouter/deepseek/deepseek-r1:free
        openrouter/deepseek/deepseek-r1:free     =
        deepseek-r1:free                         openrouter/deepseek-r1:free
        meta-llama/llama-3.3-70b-instruct:free   openrouter/meta-llama/llama-3.3-70b-instruct:free
        mistralai/mistral-nemo:free              openrouter/mistralai/mistral-nemo:free
        deepseek/deepseek-r1:nitro               none
        openai/gpt-4o:free                       none
        openrouter/auto                          none
        openrouter/mine/gpt-4o                   none
    """,
    "Groq": """
        groq/llama-3.3-70b-versatile             groq/llama-3.3-70b-versatile
        groq/llama-3.1-8b-instant                groq/llama-3.1-8b-instant
        groq:llama3-70b-8192                     groq/llama3-70b-8192
        groq/openai/gpt-oss-120b                 groq/openai/gpt-oss-120b
        groq/moonshotai/kimi-k2-instruct-0905    groq/moonshotai/kimi-k2-instruct
        groq/deepseek-r1-distill-llama-70b       groq/deepseek-r1-distill-llama-70b
        groq/qwen/qwen3-32b                      groq/qwen/qwen3-32b
        llama-3.1-8b-instant                     none
        groq/gpt-4o                              none
    """,
    "Together and Fireworks": """
        together_ai/meta-llama/Llama-3.3-70B-Instruct-Turbo  together/meta-llama/Llama-3.3-70B-Instruct-Turbo
        together:mistralai/Mixtral-8x7B-Instruct-v0.1        together/mistralai/Mixtral-8x7B-Instruct-v0.1
        together_ai/deepseek-ai/DeepSeek-R1                  none
        fireworks_ai/accounts/fireworks/models/deepseek-v3-0324  fireworks/deepseek-v3-0324
        fireworks_ai/deepseek-r1-0528                        fireworks/deepseek-r1-0528
        accounts/fireworks/models/llama-v3p1-8b-instruct     fireworks/llama-v3p1-8b-instruct
        accounts/acme/models/tuned#accounts/acme/deployments/1   none
        fireworks_ai/accounts/fireworks/models/llama-v3p1-8b-instruct-long  none
    """,
    "Mistral": """
        mistral-large-latest                     mistral/mistral-large
        mistral/mistral-large-2411               =
        mistral-large-2512                       mistral/mistral-large-2512
        mistralai:mistral-small-latest           mistral/mistral-small-latest
        open-mistral-7b                          mistral/mistral-7b
        open-mixtral-8x22b                       mistral/mixtral-8x22b-instruct
        codestral-latest                         mistral/codestral
        ministral-8b-2410                        mistral/ministral-8b
        pixtral-12b                              mistral/pixtral-12b
        magistral-medium-2506                    mistral/magistral-medium
        mistral-embed                            mistral/mistral-embed
        mistral-medium-latest                    mistral/mistral-medium-latest
        codestral-2405                           none
        mixtral-8x7b-32768                       none
        mixtral-8x7b-instruct-v0.1               none
    """,
    "DeepSeek": """
        deepseek-chat                            deepseek/deepseek-chat
        deepseek/deepseek-chat                   =
        deepseek:deepseek-chat                   =
        deepseek-reasoner                        deepseek/deepseek-reasoner
        deepseek-r1                              =
        deepseek-v3.2                            deepseek/deepseek-v3.2
        deepseek-v4-flash-0731                   deepseek/deepseek-v4-flash
        deepseek-r1-distill-qwen-7b              none
        deepseek-chat-mine                       none
        deepseek-chat-v2                         none
        deepseek-coder                           none
    """,
    "xAI, Cohere, Perplexity and other makers": """
        grok-3                                   x-ai/grok-3
        xai/grok-3-beta                          =
        grok-3-mini-latest                       x-ai/grok-3-mini
        x-ai/grok-4                              x-ai/grok-4-0709
        grok-4-fast-non-reasoning                x-ai/grok-4-fast-non-reasoning
        grok-2-latest                            x-ai/grok-2-1212
        command-r                                cohere/command-r
        command-r-08-2024                        =
        cohere/command-a-03-2025                 cohere/command-a
        cohere_chat/command-r-plus               cohere/command-r-plus
        embed-v4.0                               cohere/embed-v4.0
        command-r-03-2024                        none
        perplexity/sonar                         perplexity/sonar
        sonar-pro                                perplexity/sonar-pro
        perplexity/sonar-deep-research           none
        kimi-k2-0905-preview                     moonshotai/kimi-k2-0905-preview
        moonshot/kimi-k2-thinking                moonshotai/kimi-k2-thinking
        glm-4.6                                  zai/GLM-4.6
        zai/glm-5                                zai/GLM-5
        glm-5                                    none
        MiniMax-M2                               minimax/MiniMax-M2
        voyage-3-large                           voyageai/voyage-3-large
        cerebras/llama3.1-8b                     cerebras/llama3.1-8b
        @cf/meta/llama-3.1-8b-instruct           cloudflare/@cf/meta/llama-3.1-8b-instruct
        databricks-llama-4-maverick              databricks/databricks-llama-4-maverick
        github_copilot/gpt-5-mini                github-copilot/gpt-5-mini
        github_copilot/gpt-4o                    none
        huggingface/together/Qwen/Qwen2.5-7B-Instruct  huggingface_together/Qwen/Qwen2.5-7B-Instruct
    """,
    "run at home": """
        ollama/deepseek-r1                       none
        ollama/llama3.2                          none
        ollama_chat/llama3.1                     none
        ollama:chat:llama3.2                     none
        deepseek-r1:1.5b                         none
        deepseek-r1:latest                       none
        llama3.2:1b                              none
        llama3:latest                            none
        mistral:7b                               none
        mistral:latest                           none
        mistral-nemo:latest                      none
        command-r:35b                            none
        qwen2.5-coder:7b-instruct-q4_K_M         none
        qwen3:8b                                 none
        phi3:mini                                none
        gemma3:27b                               none
        gpt-oss:20b                              none
        lmstudio/qwen2.5-7b-instruct             none
        lm_studio/deepseek-r1                    none
        llama.cpp/llama-3-8b.Q4_K_M.gguf         none
        Meta-Llama-3.1-8B-Instruct-Q4_K_M.gguf   none
        mistral-7b-q4_0                          none
        mlx-community/Llama-3.2-3B-Instruct-4bit none
        bartowski/Llama-3.2-1B-Instruct-GGUF     none
        TheBloke/Mistral-7B-Instruct-v0.2-AWQ    none
        TheBloke/Llama-2-13B-chat-GPTQ           none
        hf.co/bartowski/Llama-3.2-1B-Instruct-GGUF  none
        hosted_vllm/meta-llama/Llama-3.1-8B-Instruct  none
        vllm/deepseek-r1                         none
        huggingface/meta-llama/Llama-3.1-8B-Instruct  none
        deepseek-ai/DeepSeek-R1                  none
        Qwen/Qwen3-32B                           none
        meta-llama/Llama-3.3-70B-Instruct        none
        openai/gpt-oss-20b                       none
    """,
    "fine-tunes": """
        ft:gpt-4o-mini-2024-07-18:acme::B1                openai/ft:gpt-4o-mini
        ft:gpt-4o-mini-2024-07-18:acme::B1:ckpt-step-100  =
        openai/ft:gpt-4o-mini-2024-07-18:acme::B1         =
        openai:chat:ft:gpt-4o-mini-2024-07-18:acme::B1    =
        ft:gpt-4o-2024-08-06:acme:tone:AbC123             openai/ft:gpt-4o
        ft:gpt-3.5-turbo-0125:acme::B1                    openai/ft:gpt-3.5-turbo-
        ft:gpt-3.5-turbo-1106:acme::B1                    =
        gpt-4o-mini-2024-07-18.ft-0e208cf33a6a466994aff31a08aba678  openai/gpt-4o-mini-2024-07-18.ft-
        ft:gpt-4-0613:acme::B1                            none
        ft:gpt-4.1-2025-04-14:acme::B1                    none
        ft:babbage-002:acme::B1                           none
        ft:open-mistral-7b:acme::B1                       none
    """,
    "LiteLLM, promptfoo, pydantic-ai, LangChain and gateways": """
        openai/gpt-4o                            openai/gpt-4o
        openai:gpt-4o                            =
        OpenAI / GPT-4o                          =
        litellm/gpt-4o                           =
        vercel/openai/gpt-4o                     =
        gateway/openai:gpt-4o                    =
        openai:chat:gpt-4o-mini                  openai/gpt-4o-mini
        openai:responses:o1-pro                  openai/o1-pro
        openai/responses/o1-pro                  =
        text-completion-openai/gpt-3.5-turbo-instruct  openai/gpt-3.5-turbo-instruct
        anthropic/claude-3-opus                  anthropic/claude-3-opus-latest
        anthropic:messages:claude-sonnet-4-20250514  anthropic/claude-sonnet-4-0
        litellm_proxy/anthropic/claude-3-haiku   anthropic/claude-3-haiku
        google-gla:gemini-2.0-flash              google/gemini-2.0-flash
        google_vertexai:gemini-2.0-flash         =
        google_genai:gemini-2.0-flash            =
        bedrock_converse:anthropic.claude-3-haiku-20240307-v1:0  aws/regional.anthropic.claude-3-haiku-20240307-v1:0
        openai:assistant:asst_abc123             none
        my-org/gpt-4o                            none
        github/gpt-4o                            none
    """,
    "typed by people": """
        GPT-4o                                   openai/gpt-4o
        GPT 4o                                   =
        gpt4o                                    =
        gpt_4o                                   =
        OpenAI GPT-4o                            =
        Azure GPT-4o                             =
        GPT-4o mini                              openai/gpt-4o-mini
        GPT-4.1 nano                             openai/gpt-4.1-nano
        GPT-5 mini                               openai/gpt-5-mini
        GPT-3.5 Turbo                            openai/gpt-3.5-turbo
        O3 Mini                                  openai/o3-mini
        Claude 3.5 Sonnet                        anthropic/claude-3-5-sonnet
        Claude Sonnet 3.5                        =
        Anthropic Claude 3.5 Sonnet              =
        claude 4.5 sonnet                        anthropic/claude-sonnet-4-5
        Claude Opus 4.1                          anthropic/claude-opus-4-1
        Claude Haiku 4.5                         anthropic/claude-haiku-4-5
        Gemini Pro                               google/gemini-pro
        Gemini 2.5 Flash                         google/gemini-2.5-flash
        gemini-2-5-pro                           google/gemini-2.5-pro
        Mistral Large                            mistral/mistral-large
        Grok 3                                   x-ai/grok-3
        DeepSeek R1                              deepseek/deepseek-reasoner
        Command R+                               cohere/command-r-plus
        Llama 3 70B                              none
        mistral-8x7B                             none
        Claude                                   none
        ChatGPT                                  none
        DALL·E                                   none
        3.5-sonnet                               none
        gpt-4o-but-mine                          none
        my-private-model                         none
    """,
}

# A provider that is named beside the name
BESIDE = """
    openai           gpt-4o                                     openai/gpt-4o
    open-ai          4.1-nano                                   openai/gpt-4.1-nano
    anthropic        3.5-sonnet                                 anthropic/claude-3-5-sonnet
    openai           openai/gpt-4o                              openai/gpt-4o
    openai           groq/llama-3.1-8b-instant                  none
    openai           llama3:8b                                  none
    openai           gpt-oss-120b                               none
    azure.ai.openai  gpt-4o-2024-08-06                          openai/gpt-4o
    azure            my-deployment                              none
    bedrock          anthropic.claude-3-5-sonnet-20240620-v1:0  aws/regional.anthropic.claude-3-5-sonnet-20240620-v1:0
    aws.bedrock      claude-3-5-sonnet-20240620                 aws/regional.anthropic.claude-3-5-sonnet-20240620-v1:0
    anthropic        anthropic.claude-3-5-sonnet-20240620-v1:0  aws/regional.anthropic.claude-3-5-sonnet-20240620-v1:0
    gcp.vertex_ai    claude-3-5-sonnet@20240620                 google/claude-3-5-sonnet
    gemini           gemini-1.5-flash-8b                        none
    gemini           gemini-2.5-flash-preview-05-20:thinking    none
    openrouter       deepseek/deepseek-r1                       openrouter/deepseek/deepseek-r1
    openrouter       gpt-4o                                     none
    groq             llama-3.3-70b-versatile                    groq/llama-3.3-70b-versatile
    together_ai      meta-llama/Llama-3.3-70B-Instruct-Turbo    together/meta-llama/Llama-3.3-70B-Instruct-Turbo
    litellm          groq/llama-3.1-8b-instant                  groq/llama-3.1-8b-instant
    perplexity       perplexity/sonar                           perplexity/perplexity/sonar
    ollama           gpt-4o                                     none
    acme             gpt-4o                                     none
"""


def table() -> Iterator[tuple[str, str, str | None]]:
    """Yield family, name and entry of each line of NAMES."""
    for family, lines in NAMES.items():
        before = None
        for line in lines.strip().splitlines():
            name, entry = line.rsplit(maxsplit=1)
            before = {"=": before, "none": None}.get(entry, entry)
            yield family, name.strip(), before


def entry_of(provider: str | None, name: str, moment: datetime = NOW) -> str | None:
    price = find(provider, name, moment)
    return None if price is None else price.entry


def cost_of(name: str, tokens: Tokens = A_MILLION_EACH, moment: datetime = NOW) -> float | None:
    """Return what a call costs, in US dollars."""
    price = find(None, name, moment)
    cost = None if price is None else price.cost(tokens)
    return None if cost is None else float(cost)


def test_a_name_means_the_entry_that_is_its_own_or_none(subtests: pytest.Subtests) -> None:
    cases = list(table())
    assert len(cases) >= 200
    assert len({name for _, name, _ in cases}) == len(cases)
    assert len(NAMES) >= 14
    for family, name, entry in cases:
        with subtests.test(family=family, name=name):
            assert entry_of(None, name) == entry


def test_only_the_prices_of_a_provider_that_is_named_beside_the_name_count(subtests: pytest.Subtests) -> None:
    for line in BESIDE.strip().splitlines():
        provider, name, entry = line.split()
        with subtests.test(provider=provider, name=name):
            assert entry_of(provider, name) == (None if entry == "none" else entry)
    for nothing in ("", " ", None):
        assert entry_of(nothing, "gpt-4o") == "openai/gpt-4o"


# In US dollars for a million tokens of input and a million of output, as the providers have published them
COSTS = {
    "openrouter/deepseek/deepseek-r1": 3.2,
    "deepseek/deepseek-r1:free": 0,
    "deepseek-r1:1.5b": None,
    "ollama/deepseek-r1": None,
    "anthropic.claude-3-5-sonnet-20240620-v1:0": 18,
    "us.anthropic.claude-3-5-sonnet-20240620-v1:0": 18,
    "eu.anthropic.claude-3-5-sonnet-20240620-v1:0": 18,
    "ft:gpt-4o-mini-2024-07-18:acme::B1": 1.5,
    "openai:chat:gpt-4o-mini": 0.75,
    "openai:gpt-4o": 12.5,
    "whisper-1": None,
    "gemini-1.5-flash-8b": None,
    "gpt-4o-2024-05-13": 20,
    "gpt-3.5-turbo": 2,
    "o1": 75,
    "claude-3-opus-20240229": 90,
    "claude-3-haiku-20240307": 1.5,
    "us.anthropic.claude-haiku-4-5-20251001-v1:0": 6.6,  # a tenth more than at Anthropic
    "global.anthropic.claude-haiku-4-5-20251001-v1:0": 6,
    "claude-3-7-sonnet-thinking": 18,
    "groq/llama-3.3-70b-versatile": 1.38,
    "groq/openai/gpt-oss-120b": 0.75,
    "together_ai/meta-llama/Llama-3.3-70B-Instruct-Turbo": 1.76,
    "fireworks_ai/deepseek-r1-0528": 11,
    "azure/gpt-4o": 12.5,
    "google/gemini-2.5-flash-preview:thinking": 3.65,
    "mistral-large-2411": 8,
    "command-r-plus": 12.5,
    "grok-3": 18,
    "ft:gpt-4o-2024-08-06:acme:tone:AbC123": 18.75,
    "text-embedding-3-small": None,  # no output is sold
}


@pytest.mark.parametrize("name", COSTS)
def test_a_model_costs_what_its_provider_asks(name: str) -> None:
    assert cost_of(name) == (None if COSTS[name] is None else pytest.approx(COSTS[name]))


def test_each_kind_of_token_has_its_own_price() -> None:
    assert cost_of("gpt-4o", Tokens(2000, 500, cached_input=1792)) == pytest.approx(0.00776)
    sonnet = Tokens(10_000, 100, cached_input=6000, cache_write=3000)  # 3, 15, 0.30 and 3.75 dollars a million
    assert cost_of("claude-3-5-sonnet", sonnet) == pytest.approx((3 * 1000 + 0.3 * 6000 + 3.75 * 3000 + 15 * 100) / 1e6)
    with_reasoning = Tokens(0, 1000, reasoning=600)
    assert cost_of("o3", with_reasoning) == cost_of("o3", Tokens(0, 1000)) == pytest.approx(0.008)
    assert cost_of("openrouter/perplexity/sonar-deep-research", with_reasoning) == pytest.approx(
        (8 * 400 + 3 * 600) / 1e6
    )
    assert cost_of("text-embedding-3-small", Tokens(1_000_000, 0)) == pytest.approx(0.02)


def test_a_kind_without_a_price_costs_what_the_whole_costs() -> None:
    cached = Tokens(1_000_000, 0, cached_input=500_000, cache_write=100_000)
    assert cost_of("gpt-4", cached) == pytest.approx(30)
    assert cost_of("mistral-large-2411", cached) == pytest.approx(2)


def test_the_fee_of_a_request_is_part_of_its_cost() -> None:
    assert cost_of("perplexity/sonar", Tokens(1000, 1000)) == pytest.approx(0.012 + 0.002)


@pytest.mark.parametrize(
    "tokens",
    [
        Tokens(-1, 0),
        Tokens(float("nan"), 0),
        Tokens(0, float("inf")),
        Tokens(10, 0, cached_input=11),
        Tokens(10, 0, cached_input=6, cache_write=5),
        Tokens(0, 10, reasoning=11),
    ],
)
def test_counts_that_contradict_each_other_have_no_cost(tokens: Tokens) -> None:
    assert cost_of("gpt-4o", tokens) is None


def test_a_long_input_has_the_price_of_its_tier_for_all_tokens() -> None:
    for name, limit, low, high in (
        ("gemini-2.5-pro", 200_000, (1.25, 10), (2.5, 15)),
        ("gemini-1.5-flash", 128_000, (0.075, 0.3), (0.15, 0.6)),
        ("claude-sonnet-4-5", 200_000, (3, 15), (6, 22.5)),
        ("grok-4.5", 199_999, (2, 6), (4, 12)),
    ):
        for count, (input_price, output_price) in ((limit, low), (limit + 1, high)):
            expected = (count * input_price + 1000 * output_price) / 1e6
            assert cost_of(name, Tokens(count, 1000)) == pytest.approx(expected), name
    # the tier is that of the whole input, cached or not
    assert cost_of("gemini-2.5-pro", Tokens(300_000, 0, cached_input=250_000)) == pytest.approx(0.125 + 0.0625)


def test_a_price_that_changed_is_the_one_of_the_moment() -> None:
    before, after = (find(None, "o3", datetime(2025, 6, day, 12, tzinfo=UTC)) for day in (9, 10))
    assert before is not None
    assert after is not None
    assert (before.cost(A_MILLION_EACH), before.valid_from) == (Decimal(50), None)
    assert (after.cost(A_MILLION_EACH), after.valid_from) == (Decimal(10), date(2025, 6, 10))
    long_ago = find(None, "gpt-4o", datetime(2023, 1, 1, tzinfo=UTC))
    assert long_ago is not None
    assert long_ago.valid_from is None, "the list has no history of it"
    assert cost_of("o3", moment=datetime(2025, 1, 1)) == 50, "a moment without an offset is UTC"


def test_a_price_by_the_time_of_day_is_the_one_of_the_moment() -> None:
    for hour, expected in ((1, 1.37), (16, 1.37), (17, 0.685), (0, 0.685)):
        moment = datetime(2025, 4, 1, hour, tzinfo=UTC)
        assert cost_of("deepseek-chat", moment=moment) == pytest.approx(expected), hour


def test_a_price_by_the_time_of_day_is_not_older_than_the_dated_price_that_it_varies() -> None:
    two_o_clock = {moment: find(None, "deepseek-v4-flash", moment) for moment in (
        datetime(2026, 7, 1, 2, tzinfo=UTC), datetime(2026, 8, 20, 2, tzinfo=UTC), datetime(2026, 9, 20, 2, tzinfo=UTC)
    )}  # fmt: skip
    found = [(price.valid_from, price.cost(A_MILLION_EACH)) for price in two_o_clock.values() if price is not None]
    assert found == [
        (None, Decimal("0.42")),
        (date(2026, 8, 17), Decimal("0.88")),
        (date(2026, 9, 10), Decimal("1.5")),
    ]


def test_a_price_says_where_and_of_when_it_is() -> None:
    price = find(None, "gpt-4o", NOW)
    assert price is not None
    installed = version("genai-prices")
    assert price.source == f"genai-prices {installed}"
    starts = {
        conditional.constraint.start_date
        for provider in get_snapshot().providers
        for model in provider.models
        for conditional in (model.prices if isinstance(model.prices, list) else [])
        if isinstance(conditional.constraint, StartDateConstraint)
    }
    assert price.list_date in starts, f"add the date of the list of {installed} to prices.py"
    assert sum(start > price.list_date for start in starts) <= 2, "only prices that are announced are of a later day"


# Why the id of an entry of the list has no price under its own provider
WITHOUT_PRICE = {
    "billed by hours, characters, pages or messages": r"_(hours|mchars|kpages|messages_kcount)$",
    "makes sounds, pictures or videos": r"^output_(audio|image|video)_mtok$",
    "bills citations that no count covers": r"^output_citation_mtok$",
}
NOT_TEXT = r"audio|image|live|omni|realtime|transcribe|tts|voxtral"
NOT_SOLD = r"openai/gpt-oss-|google/gemma-2-"  # open weights, with the price of another provider


def listed_prices() -> Iterator[tuple[str, Any, list[Any]]]:
    """Yield each provider's id, model and prices of the shipped list."""
    for provider in get_snapshot().providers:
        for model in provider.models:
            conditionals = model.prices if isinstance(model.prices, list) else None
            yield provider.id, model, [model.prices] if conditionals is None else [c.prices for c in conditionals]


def test_every_entry_is_found_by_its_own_id_under_its_own_provider() -> None:
    found = 0
    for provider, model, listed in listed_prices():
        entry = f"{provider}/{model.id}"
        price = find(provider, model.id, NOW)
        if price is not None:
            assert price.entry == entry
            found += 1
            continue
        kinds = {kind for each in listed for kind in vars(each)}
        reasons = [why for why, pattern in WITHOUT_PRICE.items() if any(re.search(pattern, kind) for kind in kinds)]
        is_known = not kinds or reasons or re.search(NOT_TEXT, model.id) or re.match(NOT_SOLD, entry)
        assert is_known, f"{entry} has prices, {kinds}, and is not found"
    assert found > 2200


def test_every_price_is_that_of_the_list() -> None:
    compared = 0
    moments = (NOW, datetime(2025, 3, 1, 17, 0, 30, tzinfo=UTC))
    for provider, model, _ in listed_prices():
        for moment in moments:
            price = find(provider, model.id, moment)
            listed = model.get_prices(moment)
            for tokens in (Tokens(123, 4567), Tokens(300_000, 5, 1000, 200)):
                cost = None if price is None else price.cost(tokens)
                if cost is not None:
                    usage = Usage(
                        input_tokens=tokens.input,
                        output_tokens=tokens.output,
                        cache_read_tokens=tokens.cached_input,
                        cache_write_tokens=tokens.cache_write,
                    )
                    assert cost == listed.calc_price(usage)["total_price"], f"{provider}/{model.id}"
                    compared += 1
    assert compared > 8000


REMAINDERS = "-mine", ":mine", "/mine", "-9b", ":7b", "-q4_0", "-GGUF", "-32768", "-audio-preview", ".7-mine", " (mine)"


def test_an_invented_remainder_behind_an_id_has_no_price() -> None:
    for number, (provider, model, _) in enumerate(listed_prices()):
        if "ft:" in model.id or model.id.endswith(".ft-"):
            continue  # a fine-tune has an invented remainder
        # all behind entries that the list matches by parts of names, and one in turn behind the others
        is_exact = all(type(clause) is ClauseEquals for clause in getattr(model.match, "or_", [model.match]))
        for remainder in [REMAINDERS[number % len(REMAINDERS)]] if is_exact else REMAINDERS:
            name = model.id + remainder
            assert entry_of(provider, name) is None, f"{provider}/{name}"
            assert entry_of(None, name) is None, name


def test_a_name_of_more_than_300_characters_has_no_price() -> None:
    assert entry_of(None, "gpt-4o" + " " * 500) is None
    assert entry_of(None, "models/" * 42 + "gpt-4o") is None


@pytest.fixture
def cold_caches() -> Iterator[None]:
    """Load the list anew in the test, and again after it."""
    prices.clear_caches()
    yield
    prices.clear_caches()


@pytest.mark.usefixtures("cold_caches")
def test_without_the_package_no_model_has_a_price_and_one_line_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "genai_prices", None)
    for _ in range(2):
        prices.load()
        assert find(None, "gpt-4o", NOW) is None
        assert find(None, "gpt-4.1", NOW) is None
    assert [record.levelno for record in caplog.records if record.name == prices.__name__] == [logging.ERROR]


@pytest.mark.usefixtures("cold_caches")
def test_a_failure_of_the_package_gives_no_price_and_logs_one_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*args: Any) -> None:
        raise MemoryError("no")

    prices.load()
    monkeypatch.setattr("genai_prices.types.StartDateConstraint.active", fail)
    for _ in range(2):
        assert find(None, "o3", NOW) is None
        assert find(None, "claude-opus-4-6", NOW) is None
    assert entry_of(None, "gpt-4o") == "openai/gpt-4o"
    assert len([record for record in caplog.records if record.name == prices.__name__]) == 1


OWN = """{"date": "2026-11-01", "models": {
    "My Deployment": {"input": 2.5, "output": 10, "cachedInput": 1.25, "cacheWrite": 3.75, "reasoning": 12},
    "azure/my-gpt": {"input": 1, "output": 2},
    "gpt-4o": {"input": 2, "output": 8},
    "ollama/llama3.2": {"free": true}}}"""


@only_sqlite
def test_prices_of_ones_own_come_before_those_of_the_list(
    config: Config, make_app: Callable[[Config], Flask], app: Flask, tmp_path: Path
) -> None:
    (tmp_path / "prices.json").write_text(OWN, encoding="utf-8")
    own_app = make_app(replace(config, prices_file=str(tmp_path / "prices.json")))
    with own_app.app_context():
        price = find(None, "my_deployment", NOW)
        assert price is not None
        assert (price.entry, price.source) == ("My Deployment", "PRICES_FILE")
        assert (price.list_date, price.valid_from) == (date(2026, 11, 1), None)
        assert price.cost(Tokens(1000, 100, 500, 200, 50)) == Decimal("0.003225")
        assert entry_of("azure", "my-gpt") == entry_of(None, "Azure/My-GPT") == "azure/my-gpt"
        assert entry_of(None, "my-gpt") is None
        assert cost_of("gpt-4o") == 10
        assert cost_of("azure/gpt-4o") == cost_of("gpt-4o-2024-08-06") == 12.5, "other names keep the price of the list"
        assert cost_of("ollama/llama3.2") == 0
        assert cost_of("ollama/llama3.1") is None
    with app.app_context():
        assert cost_of("gpt-4o") == 12.5
        assert cost_of("my-deployment") is None

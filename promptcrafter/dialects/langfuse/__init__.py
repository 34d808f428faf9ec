"""The dialect of Langfuse's clients: their SDKs fetch and write prompts, and give scores.

All its routes are under /api/public, which takes Basic authentication. The spans that the same SDKs export belong to
the dialect `otlp`.
"""

"""A prompt as a file: the form `.prompt.yml` of GitHub Models, with keys of this service for what that lacks.

https://docs.github.com/en/github-models/use-github-models/storing-prompts-in-github-repositories
"""

from collections.abc import Mapping
from typing import Any

from promptcrafter import yamlio
from promptcrafter.prompts.fields import BESIDE_PARAMETERS


def write_prompt_file(prompt: Any, version: Any) -> str:
    """Return the file of a version of a prompt, or of the prompt itself, which has what its latest version has.

    They have the attributes of `models.Prompt` and `models.Version`.

    It has every key whose value a file can change, so that storing it gives any prompt this state.
    """
    beside = {name: text for name in BESIDE_PARAMETERS if isinstance(text := version.config.get(name), str)}
    return yamlio.dumps(
        {
            "name": prompt.title,
            "description": prompt.description,
            "model": version.model,
            "modelParameters": {name: value for name, value in version.config.items() if name not in beside},
            **beside,
            **_text_or_messages(version),
            "slug": prompt.slug,
            "tags": prompt.tags,
        }
    )


def _text_or_messages(version: Any) -> Mapping[str, Any]:
    return {"content": version.content} if version.messages is None else {"messages": version.messages}

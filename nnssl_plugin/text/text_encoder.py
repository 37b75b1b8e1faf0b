from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from nnssl_plugin.settings.validation import STRICT
from nnssl_plugin.text.embedded_encoder import EmbeddedTextEncoder
from nnssl_plugin.text.pretrained_encoder import PretrainedTextEncoder

TextEncoder = EmbeddedTextEncoder | PretrainedTextEncoder


@dataclass(frozen=True, config=STRICT)
class TextSettings:
    """Settings of a text encoder.

    `model`: folder of a Hugging Face model, or its name in the local cache; none: a small transformer of our own.
    `trained`: false leaves a Hugging Face model as it is. `vocabulary`: most tokens of our own. `context`: most tokens of a text.
    """

    model: str | None = None
    trained: bool = True
    vocabulary: Annotated[int, Field(ge=257)] = 2000
    context: Annotated[int, Field(ge=8)] = 128


def text_encoder(settings: TextSettings) -> TextEncoder:
    """The text encoder that the settings name.

    Raises:
        InputError: as `PretrainedTextEncoder`.
    """
    if settings.model is not None:
        return PretrainedTextEncoder(settings.model, settings.context, settings.trained)
    return EmbeddedTextEncoder(settings.vocabulary, settings.context)

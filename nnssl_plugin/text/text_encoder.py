from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from nnssl_plugin.settings.validation import STRICT
from nnssl_plugin.text.embedded_encoder import EmbeddedTextEncoder
from nnssl_plugin.text.pretrained_encoder import PretrainedTextEncoder

TextEncoder = EmbeddedTextEncoder | PretrainedTextEncoder


@dataclass(frozen=True, config=STRICT)
class TextSettings:
    """Settings of a text encoder."""

    model: str | None = None
    """Folder of a Hugging Face text model, or its name in the local cache; by default a small transformer, trained along."""

    trained: bool = True
    """`false` leaves a Hugging Face model as it is."""

    vocabulary: Annotated[int, Field(ge=257)] = 2000
    """Most tokens of the small transformer's vocabulary."""

    context: Annotated[int, Field(ge=8)] = 128
    """Most tokens of a report; a longer one is cut behind a sentence."""


def text_encoder(settings: TextSettings) -> TextEncoder:
    """The text encoder that the settings name.

    Raises:
        InputError: as `PretrainedTextEncoder`.
    """
    if settings.model is not None:
        return PretrainedTextEncoder(settings.model, settings.context, settings.trained)
    return EmbeddedTextEncoder(settings.vocabulary, settings.context)

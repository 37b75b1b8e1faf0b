from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nnssl_plugin.errors import InputError
from nnssl_plugin.text.tokens import cut_at_sentence, fitting_text, pad


class PretrainedTextEncoder(nn.Module):
    """A text encoder of Hugging Face's transformers, from a local folder or the local cache; nothing is downloaded.

    Args:
        model: folder, or name of a model in the cache.
        context: most tokens of a text, the model's marks included.
        trained: false leaves its weights as they are.

    Attributes:
        width: of a token's vector.

    Shape: tokens `[B, L]`, whether they are there `[B, L]` (bool) → `[B, L, width]`.

    Raises:
        InputError: transformers is not installed, there is no such model, or the context is more than it takes.
    """

    def __init__(self, model: str, context: int, trained: bool) -> None:
        super().__init__()
        self.context = context
        self.trained = trained
        check_model(model, context)
        self.tokenizer, self.model = _load(model)
        self.width = int(self.model.config.hidden_size)
        self.model.requires_grad_(trained)
        # Its output is not used, and DDP waits for a gradient of all that asks for one.
        if (pooler := getattr(self.model, "pooler", None)) is not None:
            pooler.requires_grad_(False)

    def learn(self, texts: Sequence[str]) -> None:
        """Nothing: it has a vocabulary."""

    def is_cut(self, text: str) -> bool:
        """Whether a text is longer than the context."""
        return len(self._encode(text)) > self.context

    def tokenize(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Tokens `[B, L]` and whether they are there."""
        rows = [cut_at_sentence(text, self.context, self._encode) for text in texts]
        return pad(rows, self.context, padding=self.tokenizer.pad_token_id or 0)

    def spans(self, text: str) -> tuple[str, list[tuple[int, int]]]:
        """The part of a text that fits, and where in it each of its tokens begins and ends; the model's marks are nowhere.

        Raises:
            InputError: its tokenizer does not say where.
        """
        if not self.tokenizer.is_fast:
            raise InputError(
                "the tokenizer of this text model does not say where its tokens stand: a fast one is needed"
            )
        kept = fitting_text(text, self.context, self._encode)
        found = self.tokenizer(kept, verbose=False, return_offsets_mapping=True)["offset_mapping"]
        return kept, [(int(start), int(end)) for start, end in found][: self.context]

    def train(self, mode: bool = True) -> "PretrainedTextEncoder":
        """As of every module; one that is not trained has no dropout either."""
        super().train(mode)
        self.model.train(mode and self.trained)
        return self

    def forward(self, tokens: Tensor, there: Tensor) -> Tensor:
        """Vectors of the tokens; what stands at padding means nothing."""
        with torch.set_grad_enabled(self.trained and torch.is_grad_enabled()):
            vectors: Tensor = self.model(input_ids=tokens, attention_mask=there.long()).last_hidden_state
        return vectors

    def _encode(self, text: str) -> list[int]:
        return list(self.tokenizer(text, verbose=False)["input_ids"])


def check_model(model: str, context: int) -> None:
    """Check that a model can be loaded, without loading its weights.

    Raises:
        InputError: as `PretrainedTextEncoder`.
    """
    try:
        from transformers import AutoConfig
    except ImportError:
        raise InputError(
            f"the text model {model} needs the library transformers: pip install 'nnssl_plugin[text]', or leave out text.model"
        ) from None
    try:
        limit = getattr(AutoConfig.from_pretrained(model, local_files_only=True), "max_position_embeddings", None)
    except (OSError, ValueError) as error:
        raise _unknown(model, error) from None
    if limit is not None and context > limit:
        raise InputError(f"text.context {context}: the text model {model} takes {limit} tokens at most")


def _load(model: str) -> tuple[Any, Any]:
    from transformers import AutoModel, AutoTokenizer

    try:
        return (
            AutoTokenizer.from_pretrained(model, local_files_only=True),
            AutoModel.from_pretrained(model, local_files_only=True),
        )
    except (OSError, ValueError) as error:
        raise _unknown(model, error) from None


def _unknown(model: str, error: Exception) -> InputError:
    return InputError(
        f"there is no usable text model {model}: a folder of Hugging Face's format (config, weights, tokenizer), or the name of "
        f"a model in the local cache, is expected; nothing is downloaded ({str(error).splitlines()[0]})"
    )

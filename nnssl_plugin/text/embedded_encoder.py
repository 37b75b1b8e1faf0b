from collections.abc import Sequence

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from nnssl_plugin.text.tokens import cut_at_sentence, fitting_text, pad
from nnssl_plugin.text.vocabulary import bytes_alone, learned_from

WIDTH = 128
LAYERS = 2
HEADS = 4


class EmbeddedTextEncoder(nn.Module):
    """A small transformer over a byte-pair vocabulary of the reports, trained along (ours; Vaswani et al., arXiv 1706.03762).

    The vocabulary is part of its state; before it is learned, every byte is a token. No dropout: two passes agree.

    Args:
        size: most tokens of the vocabulary.
        context: most tokens of a text.

    Attributes:
        width: of a token's vector.
        learned: whether the vocabulary is of reports.

    Shape: tokens `[B, L]`, whether they are there `[B, L]` (bool) → `[B, L, width]`.
    """

    def __init__(self, size: int, context: int) -> None:
        super().__init__()
        self.size = size
        self.context = context
        self.width = WIDTH
        self.learned = False
        self.vocabulary = bytes_alone()
        self.embedding = nn.Embedding(size, WIDTH)
        self.position = nn.Parameter(0.02 * torch.randn(context, WIDTH))
        layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 4 * WIDTH, dropout=0.0, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, LAYERS, nn.LayerNorm(WIDTH), enable_nested_tensor=False)

    def learn(self, texts: Sequence[str]) -> None:
        """Learn the vocabulary, unless it is learned or came with weights."""
        if not self.learned:
            self.vocabulary, self.learned = learned_from(texts, self.size), True

    def is_cut(self, text: str) -> bool:
        """Whether a text is longer than the context."""
        return len(self._encode(text)) > self.context

    def tokenize(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Tokens `[B, L]` and whether they are there."""
        return pad([cut_at_sentence(text, self.context, self._encode) for text in texts], self.context, padding=0)

    def spans(self, text: str) -> tuple[str, list[tuple[int, int]]]:
        """The part of a text that fits, and where in it each of its tokens begins and ends."""
        kept = fitting_text(text, self.context, self._encode)
        return kept, list(self.vocabulary.encode(kept).offsets)[: self.context]

    def forward(self, tokens: Tensor, there: Tensor) -> Tensor:
        """Vectors of the tokens; what stands at padding means nothing."""
        vectors: Tensor = self.layers(self.embedding(tokens) + self.position, src_key_padding_mask=~there)
        return vectors

    def _encode(self, text: str) -> list[int]:
        return list(self.vocabulary.encode(text).ids)

    def get_extra_state(self) -> Tensor:
        """The vocabulary as bytes of its JSON, for a checkpoint; empty where none is learned."""
        content = self.vocabulary.to_str().encode() if self.learned else b""
        return torch.tensor(list(content), dtype=torch.uint8)

    def set_extra_state(self, state: Tensor) -> None:
        """Undo of `get_extra_state`."""
        self.learned = len(state) > 0
        self.vocabulary = Tokenizer.from_str(state.cpu().numpy().tobytes().decode()) if self.learned else bytes_alone()

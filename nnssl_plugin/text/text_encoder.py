import torch
from torch import Tensor, nn

from nnssl_plugin.text.hashed_words import BUCKETS

LAYERS, HEADS = 2, 4


class TextEncoder(nn.Module):
    """A small transformer over hashed words, trained along with the images; needs no download (ours).

    Args:
        length: words of a text at most.
        width: of its features, a multiple of 4.
    """

    def __init__(self, length: int, width: int) -> None:
        super().__init__()
        self.words = nn.Embedding(BUCKETS, width, padding_idx=0)
        self.places = nn.Parameter(0.02 * torch.randn(length, width))
        layer = nn.TransformerEncoderLayer(
            width, HEADS, 2 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False)

    def forward(self, words: Tensor) -> Tensor:
        """`[B, W]`: mean over the words of each text, of the numbers `[B, L]` from `hashed_words`; in float32."""
        with torch.autocast(words.device.type, enabled=False):
            there = words > 0
            # A text without words attends to its padding, and does not count.
            hidden = ~there & there.any(dim=1, keepdim=True)
            features = self.layers(self.words(words) + self.places, src_key_padding_mask=hidden)
            weights = there[..., None].float()
            mean: Tensor = (features * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)
            return mean

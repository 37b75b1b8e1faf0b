"""A byte-pair vocabulary that is learned from the reports of a run, so that nothing is downloaded and any language fits."""

from collections.abc import Iterable

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

PADDING = "[PAD]"
# Fewest times that a pair of tokens must occur to become one.
FEWEST = 2


def bytes_alone() -> Tokenizer:
    """A vocabulary before anything is learned: every byte is a token, padding is number 0."""
    alphabet = {PADDING: 0, **{byte: number for number, byte in enumerate(_alphabet(), start=1)}}
    return _around(models.BPE(vocab=alphabet, merges=[]))


def learned_from(texts: Iterable[str], size: int) -> Tokenizer:
    """At most `size` tokens (Sennrich et al., ACL 2016, arXiv 1508.07909), over bytes; the order of the texts does not matter.

    A text that stands there several times counts once. Letter case is left out: ours, because few reports are many words.
    """
    tokenizer = _around(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=FEWEST,
        initial_alphabet=_alphabet(),
        special_tokens=[PADDING],
        show_progress=False,
    )
    tokenizer.train_from_iterator(sorted(set(texts)), trainer)
    return tokenizer


def _alphabet() -> list[str]:
    return sorted(pre_tokenizers.ByteLevel.alphabet())


def _around(model: models.BPE) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    return tokenizer

"""Reports of tiny cases, and tiny text models."""

from pathlib import Path

from nnssl_plugin.nnunet.dataset_json import KEY
from nnssl_plugin.text.report_file import REPORT

SIDES = ("left", "right", "both")
PLACES = ("upper", "middle", "lower")


def text(number: int) -> str:
    """A report that no other number below nine has."""
    return f"Frontal view. A round opacity in the {PLACES[number // 3 % 3]} field of the {SIDES[number % 3]} lung. No effusion."


def described(folder: Path, cases: list[str]) -> dict[str, dict[str, object]]:
    """Our part of a `dataset.json` whose cases have reports, which are written to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = {}
    for number, case in enumerate(cases):
        file = folder / f"{case}.txt"
        file.write_text(text(number), encoding="utf-8")
        entries[case] = {"files": {REPORT: str(file)}}
    return {KEY: {"cases": entries}}


def tiny_bert(folder: Path) -> Path:
    """A randomly initialised BERT in Hugging Face's format, with its tokenizer."""
    from transformers import BertConfig, BertModel, BertTokenizerFast

    words = sorted({word.strip(".").lower() for number in range(9) for word in text(number).split()})
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", *words]
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(folder)
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    return folder

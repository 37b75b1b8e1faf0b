import subprocess
import sys
from pathlib import Path

import pytest
import torch

from nnssl_plugin.errors import InputError
from nnssl_plugin.text.embedded_encoder import EmbeddedTextEncoder
from nnssl_plugin.text.pretrained_encoder import PretrainedTextEncoder
from nnssl_plugin.text.report_file import identity_of, read_report
from nnssl_plugin.text.text_encoder import TextSettings, text_encoder
from nnssl_plugin.text.tokens import cut_at_sentence
from nnssl_plugin.text.vocabulary import bytes_alone, learned_from
from tests.reports import text, tiny_bert

TEXTS = [text(number) for number in range(9)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b" \n .,\n", "is empty"),
        (b"\x89PNG\r\n\x1a\n\0\0", "not UTF-8"),
        (b"a\0b", "binary"),
        ("Überblähung".encode("latin-1"), "not UTF-8"),
    ],
)
def test_unusable_reports_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "case.txt"
    file.write_bytes(content)
    with pytest.raises(InputError, match=message) as raised:
        read_report(file)
    assert str(file) in str(raised.value)
    with pytest.raises(InputError, match="cannot be read"):
        read_report(tmp_path / "none.txt")


def test_a_byte_order_mark_and_blanks_are_no_text(tmp_path: Path) -> None:
    file = tmp_path / "case.txt"
    file.write_bytes(b"\xef\xbb\xbf  Klar.\r\nKein Erguss.\n")
    assert read_report(file) == "Klar.\r\nKein Erguss."
    assert identity_of("Klar.\r\n Kein ERGUSS. ") == identity_of("klar. Kein Erguss.") != identity_of("Klar.")


def test_a_long_text_is_cut_at_a_sentence() -> None:
    words = lambda said: said.split()  # noqa: E731
    said = "One two. Three four five. Six seven."
    assert cut_at_sentence(said, 7, words) == words(said)
    assert cut_at_sentence(said, 6, words) == words("One two. Three four five.")
    assert cut_at_sentence(said, 4, words) == ["One", "two."]
    # The first sentence is longer than the context.
    assert cut_at_sentence(said, 1, words) == ["One"]
    assert cut_at_sentence("一二。三四。五", 5, list) == list("一二。")


def test_the_vocabulary_is_the_same_whatever_the_order_and_whoever_learns_it() -> None:
    learned = learned_from(TEXTS, 300)
    assert learned.get_vocab_size() == 300
    assert learned.to_str() == learned_from([*TEXTS[::-1], TEXTS[0]], 300).to_str()
    lines = (
        "from tests.test_text import TEXTS; from nnssl_plugin.text.vocabulary import learned_from",
        "print(learned_from(TEXTS, 300).to_str())",
    )
    root = Path(__file__).parents[1]
    printed = subprocess.run(
        [sys.executable, "-X", "utf8", "-c", "\n".join(lines)], capture_output=True, encoding="utf-8", cwd=root
    )
    assert printed.stdout.strip() == learned.to_str().strip()


@pytest.mark.parametrize("said", ["No effusion.", "Kein Erguß links", "右肺に結節影。", "\N{LUNGS} 3 mm"])
def test_any_language_has_tokens_that_lead_back_to_it(said: str) -> None:
    from tokenizers.decoders import ByteLevel

    for vocabulary in (bytes_alone(), learned_from(TEXTS, 2000)):
        vocabulary.decoder = ByteLevel()
        encoded = vocabulary.encode(said)
        assert max(encoded.ids) < 2000
        assert vocabulary.decode(encoded.ids, skip_special_tokens=False).strip() == said.lower()


def test_learned_tokens_are_fewer_and_stay_with_the_weights() -> None:
    torch.manual_seed(0)
    encoder = EmbeddedTextEncoder(400, 128)
    before = encoder.tokenize(TEXTS)[1].sum()
    encoder.learn(TEXTS)
    tokens, there = encoder.tokenize(TEXTS)
    assert there.sum() < before / 2
    again = EmbeddedTextEncoder(400, 128)
    again.load_state_dict(encoder.state_dict())
    again.learn(["something else " * 5] * 3)
    assert torch.equal(again.tokenize(TEXTS)[0], tokens)
    assert torch.equal(again(tokens, there), encoder(tokens, there))


def test_padding_does_not_change_a_text() -> None:
    torch.manual_seed(0)
    encoder = EmbeddedTextEncoder(300, 96)
    tokens, there = encoder.tokenize(["No effusion.", TEXTS[0]])
    length = int(there[0].sum())
    vectors = encoder(tokens, there)
    tokens[0, length:] = 7
    torch.testing.assert_close(encoder(tokens, there)[0, :length], vectors[0, :length])
    assert not encoder.is_cut("No effusion.")
    assert encoder.is_cut("word " * 96)


# -------------------------------------------------- a Hugging Face model


def test_a_hugging_face_model_from_a_folder(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    folder = tiny_bert(tmp_path / "bert")
    encoder = text_encoder(TextSettings(model=str(folder), context=48))
    assert isinstance(encoder, PretrainedTextEncoder)
    tokens, there = encoder.tokenize(TEXTS)
    vectors = encoder.eval()(tokens, there)
    assert vectors.shape == (9, 48, encoder.width)
    expected = encoder.model(**encoder.tokenizer(TEXTS[2], return_tensors="pt")).last_hidden_state[0]
    torch.testing.assert_close(vectors[2, : len(expected)], expected)
    vectors[there].sum().backward()
    trained = [parameter for parameter in encoder.parameters() if parameter.requires_grad]
    assert trained
    assert all(parameter.grad is not None for parameter in trained)


def test_a_frozen_model_has_no_gradient_and_no_dropout(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    encoder = PretrainedTextEncoder(str(tiny_bert(tmp_path / "bert")), 48, trained=False)
    encoder.train()
    tokens, there = encoder.tokenize(TEXTS)
    first, second = encoder(tokens, there), encoder(tokens, there)
    assert torch.equal(first, second)
    assert not first.requires_grad
    assert not any(parameter.requires_grad for parameter in encoder.parameters())


def test_models_that_cannot_be_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("transformers")
    with pytest.raises(InputError, match=r"no usable text model nobody/nothing.*nothing is downloaded"):
        text_encoder(TextSettings(model="nobody/nothing"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no usable text model .*empty"):
        text_encoder(TextSettings(model=str(tmp_path / "empty")))
    folder = tiny_bert(tmp_path / "bert")
    with pytest.raises(InputError, match=r"text\.context 65: .* takes 64 tokens at most"):
        text_encoder(TextSettings(model=str(folder), context=65))
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match="no usable text model"):
        text_encoder(TextSettings(model=str(folder), context=64))
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(InputError, match=r"pip install 'nnssl_plugin\[text\]'"):
        text_encoder(TextSettings(model=str(folder)))

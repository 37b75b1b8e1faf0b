"""Reports as side data of a batch."""

import hashlib
from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nnssl_plugin.data.case_record import CaseRecord
from nnssl_plugin.errors import InputError
from nnssl_plugin.objectives.region_interaction import Parts
from nnssl_plugin.text.report_file import REPORT, identity_of, read_report
from nnssl_plugin.text.text_encoder import TextEncoder

# Side data have one shape; what is behind this many bytes of a report is not used.
BYTES = 16384
SHOWN = 3


def report_of(record: CaseRecord) -> Mapping[str, Tensor]:
    """As `side_data_of`, of the report of a case."""
    return side_data_of(read_report(record.files[REPORT]))


def side_data_of(text: str) -> dict[str, Tensor]:
    """`text` `[BYTES]`, uint8, UTF-8, 0 behind its end; `identity` `[]`, int64, the same for texts that say the same."""
    content = text.encode()[:BYTES]
    digest = hashlib.blake2b(identity_of(text).encode(), digest_size=8).digest()
    return {
        "text": torch.frombuffer(bytearray(content.ljust(BYTES, b"\0")), dtype=torch.uint8),
        "identity": torch.tensor(int.from_bytes(digest, "little", signed=True)),
    }


def texts_of(rows: Tensor) -> list[str]:
    """Undo of `side_data_of` for `[B, BYTES]`."""
    return [row.numpy().tobytes().rstrip(b"\0").decode(errors="ignore") for row in rows.cpu()]


def text_parts(encoder: TextEncoder, projection: nn.Module, tokens: Tensor, there: Tensor) -> Parts:
    """Reports, and their tokens as parts, in the joint space that `projection` leads to.

    Shape: numbers `[B, L]`, whether they are there `[B, L]` (bool) → parts of B reports.
    """
    vectors, weights = encoder(tokens, there), there.float()
    with torch.autocast(vectors.device.type, enabled=False):
        vectors = vectors.float()
        pooled = (vectors * weights[..., None]).sum(dim=1) / weights.sum(dim=1, keepdim=True).clamp(min=1)
        whole = F.normalize(projection(pooled), dim=1)
        return Parts(whole, F.normalize(projection(vectors), dim=2), weights)


def prepare_texts(
    encoder: TextEncoder, records: Sequence[CaseRecord], objective: str, say: Callable[[str], None]
) -> None:
    """Check the reports of a run's cases and let the text encoder learn its vocabulary from them.

    Args:
        encoder: of the objective.
        records: cases of the run.
        objective: its name, for messages.
        say: prints a line.

    Raises:
        InputError: a case has no usable report, or all reports say the same.
    """
    without = [record.case for record in records if REPORT not in record.files]
    if without:
        more = ", …" if len(without) > SHOWN else ""
        raise InputError(
            f"{len(without)} of {len(records)} cases have no report ({', '.join(without[:SHOWN])}{more}); the objective {objective} "
            f"needs one of each: convert them with nnssl_plugin convert reports, or set pretraining.objectives.{objective}.weight=0"
        )
    # A list: cases of several data sets may be called alike.
    texts: list[tuple[str, str]] = []
    for record in records:
        try:
            texts.append((record.case, read_report(record.files[REPORT])))
        except InputError as error:
            raise InputError(f"case {record.case}: {error}") from None
    different = {identity_of(text) for _, text in texts}
    if len(different) < 2:
        raise InputError(f"all {len(texts)} reports say the same: the objective {objective} has nothing to compare")
    encoder.learn([text for _, text in texts])
    say(f"{len(texts)} reports, {len(different)} different ones")
    cut = [case for case, text in texts if encoder.is_cut(text) or len(text.encode()) > BYTES]
    if cut:
        say(
            f"WARNING: {len(cut)} reports are longer than {encoder.context} tokens and cut behind a sentence "
            f"({', '.join(cut[:SHOWN])}{', …' if len(cut) > SHOWN else ''}); pretraining.objectives.{objective}.text.context is more"
        )

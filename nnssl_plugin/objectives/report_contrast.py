import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from nnssl_plugin.data.batch import PretrainingBatch
from nnssl_plugin.data.case_record import CaseRecord
from nnssl_plugin.errors import InputError
from nnssl_plugin.networks.heads import mlp
from nnssl_plugin.objectives.gather import gather_rows
from nnssl_plugin.objectives.needs import Needs
from nnssl_plugin.objectives.objective import Features, NetworkShape, Objective, ObjectiveResult, Views
from nnssl_plugin.objectives.patient_contrast import embed_patches
from nnssl_plugin.settings.validation import STRICT
from nnssl_plugin.text.report_file import LENGTH, REPORT, read_report, report_words
from nnssl_plugin.text.text_encoder import TextEncoder

# Similarities are divided by no less.
SMALLEST_TEMPERATURE = 0.01


@dataclass(frozen=True, config=STRICT)
class ReportContrastSettings:
    """Settings of report contrast; every one is ours."""

    weight: Annotated[float, Field(ge=0)] = 0.0
    """Weight in the total loss."""
    temperature: Annotated[float, Field(gt=0)] = 0.1
    """Divides the cosine similarities at the start; it is learned."""
    embedding_size: Annotated[int, Field(ge=2)] = 64
    """Length of the vectors that are compared."""
    text_width: Annotated[int, Field(ge=4, multiple_of=4)] = 128
    """Width of the text encoder."""


class ReportContrast(Objective):
    """Images against their reports: the global contrast under LRCLR (Rizvi et al. 2023, arXiv 2303.14153), as in CLIP and ConVIRT.

    Bottleneck → average pool → MLP → unit vector of the image; hashed words → small transformer → mean → MLP → unit vector of
    the report; InfoNCE in both directions, gathered over processes, with a learned temperature. Ours: reports of the same patient
    or group, and equal texts, are never negatives; a case without a report does not count.

    Shape: one view `[B, C, *P]` of a batch of B patches, and the words `[B, LENGTH]` of their reports.
    """

    Settings = ReportContrastSettings
    citations = (
        "Rizvi et al. Local Contrastive Learning for Medical Image Recognition. 2023. arXiv:2303.14153",
        "Zhang et al. Contrastive Learning of Medical Visual Representations from Paired Images and Text. MLHC 2022. arXiv:2010.00747",
    )

    def __init__(self, settings: ReportContrastSettings, network: NetworkShape) -> None:
        super().__init__()
        self.settings = settings
        features = network.encoder_features[-1]
        self.projection = mlp(features, features, settings.embedding_size)
        self.text_encoder = TextEncoder(LENGTH, settings.text_width)
        self.text_projection = mlp(settings.text_width, settings.text_width, settings.embedding_size)
        self.log_scale = nn.Parameter(torch.tensor(-math.log(settings.temperature)))

    @classmethod
    def needs(cls, settings: ReportContrastSettings) -> Needs:
        """A view of many patients and their reports."""
        return Needs("patients", ("augmented",), views=1, side_data=report_words, patients=2)

    @classmethod
    def check_cases(cls, settings: Any, records: Sequence[CaseRecord]) -> list[str]:
        """Refuse cases of which fewer than two patients have a report; say which have none and which are cut."""
        texts = {record.case: read_report(record.files[REPORT]) for record in records if REPORT in record.files}
        having = {record.patient for record in records if texts.get(record.case, "").strip()}
        if len(having) < 2:
            raise InputError(
                f"{len(having)} patients have a report: add reports with nnssl_plugin convert reports, or set "
                "pretraining.objectives.report_contrast.weight=0"
            )
        without = [record.case for record in records if not texts.get(record.case, "").strip()]
        long = [case for case, text in texts.items() if len(text.split()) > LENGTH]
        lines = [f"reports of {len(records) - len(without)} of {len(records)} cases"]
        if without:
            lines.append(
                f"{len(without)} cases have no report and do not count in report_contrast: {', '.join(without[:5])}"
            )
        if long:
            lines.append(f"{len(long)} reports are cut after {LENGTH} words: {', '.join(long[:5])}")
        return lines

    def draw_views(self, batch: PretrainingBatch, generator: torch.Generator) -> Views:
        """The augmented patch."""
        return Views({"image": batch.images["augmented"]})

    def embed(self, features: Features) -> Tensor:
        """`[B, D]`, unit vectors of images."""
        return embed_patches(self.projection, features)

    def embed_text(self, words: Tensor) -> Tensor:
        """`[N, D]`, unit vectors of texts `[N, LENGTH]`."""
        with torch.autocast(words.device.type, enabled=False):
            return F.normalize(self.text_projection(self.text_encoder(words)), dim=1)

    @property
    def scale(self) -> Tensor:
        """1 / temperature."""
        return self.log_scale.clamp(max=-math.log(SMALLEST_TEMPERATURE)).exp()

    def forward(self, features: Mapping[str, Features], views: Views, batch: PretrainingBatch) -> ObjectiveResult:
        """InfoNCE image ↔ report; how often an image finds its report among those of others, beside chance."""
        side = batch.side_data["report_contrast"]
        image, text = gather_rows(self.embed(features["image"])), gather_rows(self.embed_text(side["words"]))
        patient, content = gather_rows(batch.patient), gather_rows(side["text"])
        valid = gather_rows((side["words"] > 0).any(dim=1))
        alike = (patient[:, None] == patient[None, :]) | (content[:, None] == content[None, :])
        excluded = (alike | ~(valid[:, None] & valid[None, :])).fill_diagonal_(False)
        with torch.autocast(image.device.type, enabled=False):
            similarity = (self.scale * (image @ text.T)).masked_fill(excluded, -torch.inf)
            index = torch.arange(len(similarity), device=similarity.device)
            each = torch.stack(
                [F.cross_entropy(one, index, reduction="none") for one in (similarity, similarity.T)]
            ).mean(dim=0)
            counted = valid.float()
            loss = (each * counted).sum() / counted.sum().clamp(min=1)
        with torch.no_grad():
            found = (similarity.argmax(dim=1) == index).float()
            metrics = {
                "retrieval": (found * counted).sum() / counted.sum(),
                "retrieval_chance": (counted / similarity.isfinite().sum(dim=1)).sum() / counted.sum(),
                "temperature": 1 / self.scale,
            }
        return ObjectiveResult(loss, {"info_nce": loss}, metrics)

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from nnssl_plugin.data.batch import PretrainingBatch
from nnssl_plugin.data.case_record import CaseRecord
from nnssl_plugin.networks.heads import mlp
from nnssl_plugin.objectives.gather import gather_rows
from nnssl_plugin.objectives.needs import Needs
from nnssl_plugin.objectives.objective import Features, NetworkShape, Objective, ObjectiveResult, Views
from nnssl_plugin.objectives.pair_losses import mean_of_pairs
from nnssl_plugin.objectives.placed_tokens import PlacedTokens
from nnssl_plugin.objectives.region_interaction import Parts
from nnssl_plugin.objectives.report_info_nce import ReportInfoNCE
from nnssl_plugin.objectives.reports import prepare_texts, report_of, text_parts, texts_of
from nnssl_plugin.objectives.representation import retrieval_top1, uniformity
from nnssl_plugin.settings.validation import STRICT
from nnssl_plugin.text.pretrained_encoder import check_model
from nnssl_plugin.text.text_encoder import TextSettings, text_encoder

NAME = "report_contrast"


@dataclass(frozen=True, config=STRICT)
class ReportContrastSettings:
    """Settings of the contrast of image and report; the temperature is CLIP's, the rest ours."""

    weight: Annotated[float, Field(ge=0)] = 0.0
    """Weight in the total loss."""

    temperature: Annotated[float, Field(ge=0.01)] = 0.07
    """Divides the cosine similarities at the start; it is learned."""

    embedding_size: Annotated[int, Field(ge=2)] = 128
    """Length of the vectors that are compared."""

    stage: Annotated[int, Field(le=-1)] = -1
    """Encoder stage whose positions are averaged, -1 the bottleneck."""

    text: TextSettings = field(default_factory=TextSettings)


class ReportContrast(Objective):
    """Global contrast of image and report, stage one of LRCLR (Rizvi et al. 2023, arXiv 2303.14153).

    The paper builds on an image–report model of the kind of CLIP (Radford et al., ICML 2021, arXiv 2103.00020). Ours: the
    plans' encoder → normalised positions of an encoder stage → MLP → mean, against the mean of the text's token vectors → MLP; texts
    of one patient and equal texts are never negatives; gathered over processes.

    Shape: one view `[B, C, *P]` of a batch of B patches.
    """

    Settings = ReportContrastSettings
    citations = (
        "Rizvi et al. Local Contrastive Learning for Medical Image Recognition. 2023. arXiv:2303.14153",
        "Radford et al. Learning Transferable Visual Models From Natural Language Supervision. ICML 2021. arXiv:2103.00020",
    )

    def __init__(self, settings: ReportContrastSettings, network: NetworkShape) -> None:
        super().__init__()
        self.settings = settings
        self.text = text_encoder(settings.text)
        features, size = network.encoder_features[settings.stage], settings.embedding_size
        self.tokens = PlacedTokens(features, len(network.patch_size))
        self.projection = mlp(features, features, size)
        self.text_projection = mlp(self.text.width, self.text.width, size)
        self.loss = ReportInfoNCE(settings.temperature)

    @classmethod
    def needs(cls, settings: ReportContrastSettings) -> Needs:
        """One view of patches of many patients, and their reports."""
        return Needs("patients", ("augmented",), 1, encoder_stages=(settings.stage,), side_data=report_of, patients=2)

    @classmethod
    def check_settings(cls, settings: ReportContrastSettings, modalities: int, stages: int) -> None:
        """Check that a text model that is named can be loaded."""
        if settings.text.model is not None:
            check_model(settings.text.model, settings.text.context)

    def prepare(self, records: Sequence[CaseRecord], say: Callable[[str], None]) -> None:
        """Check the reports and learn the vocabulary."""
        prepare_texts(self.text, records, NAME, say)

    def draw_views(self, batch: PretrainingBatch, generator: torch.Generator) -> Views:
        """The patch as it is; the tokens of its report."""
        tokens, there = self.text.tokenize(texts_of(batch.side_data[NAME]["text"]))
        device = batch.patient.device
        return Views({"image": batch.images["augmented"]}, {"tokens": tokens.to(device), "there": there.to(device)})

    def look(self, features: Features) -> Parts:
        """Patches and their positions."""
        stage = features.encoder[self.settings.stage]
        with torch.autocast(stage.device.type, enabled=False):
            vectors = self.projection(self.tokens(stage))
            whole, weights = F.normalize(vectors.mean(dim=1), dim=1), torch.ones_like(vectors[..., 0])
            return Parts(whole, F.normalize(vectors, dim=2), weights)

    def read(self, tokens: Tensor, there: Tensor) -> Parts:
        """Texts of numbers `[B, L]`, and their tokens."""
        return text_parts(self.text, self.text_projection, tokens, there)

    def logits(self, images: Parts, texts: Parts) -> Tensor:
        """`[N, M]`, scaled similarities of N images and M texts."""
        return self.loss.scale * images.whole @ texts.whole.T

    def forward(self, features: Mapping[str, Features], views: Views, batch: PretrainingBatch) -> ObjectiveResult:
        """InfoNCE both ways; retrieval both ways with chance, temperature, uniformity of the images."""
        images = gather_rows(self.look(features["image"]).whole)
        texts = gather_rows(self.read(views.targets["tokens"], views.targets["there"]).whole)
        patient, identity = gather_rows(batch.patient), gather_rows(batch.side_data[NAME]["identity"])
        same = (patient[:, None] == patient[None, :]) | (identity[:, None] == identity[None, :])
        loss = mean_of_pairs(self.loss(images, texts, same))
        with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
            valid = torch.ones_like(patient, dtype=torch.bool)
            group = same.int().argmax(dim=1)
            hit, chance = retrieval_top1(images, texts, group, valid)
            metrics = {
                "retrieval": hit,
                "retrieval_chance": chance,
                "image_retrieval": retrieval_top1(texts, images, group, valid)[0],
                "image_retrieval_chance": chance,
                "uniformity": uniformity(images, group, valid),
                "temperature": 1 / self.loss.scale,
            }
        return ObjectiveResult(loss, {"info_nce": loss}, metrics)

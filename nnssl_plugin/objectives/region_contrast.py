from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Annotated, Literal

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from nnssl_plugin.data.batch import Image, PretrainingBatch
from nnssl_plugin.data.case_record import CaseRecord
from nnssl_plugin.errors import InputError
from nnssl_plugin.networks.heads import mlp
from nnssl_plugin.objectives.gather import gather_rows
from nnssl_plugin.objectives.modality_pair import draw_modality_pair
from nnssl_plugin.objectives.needs import Needs
from nnssl_plugin.objectives.objective import Features, NetworkShape, Objective, ObjectiveResult, Views
from nnssl_plugin.objectives.pair_losses import mean_of_pairs
from nnssl_plugin.objectives.region_encoder import RegionEncoder
from nnssl_plugin.objectives.region_interaction import Parts, local_similarity
from nnssl_plugin.objectives.region_selection import Selection, selection_metrics
from nnssl_plugin.objectives.report_info_nce import ReportInfoNCE
from nnssl_plugin.objectives.reports import prepare_texts, report_of, text_parts, texts_of
from nnssl_plugin.objectives.representation import retrieval_top1, uniformity
from nnssl_plugin.objectives.stage_one import heads_of_stage_one, take_heads
from nnssl_plugin.settings.validation import STRICT
from nnssl_plugin.text.pretrained_encoder import check_model
from nnssl_plugin.text.text_encoder import TextEncoder, TextSettings, text_encoder

NAME = "region_contrast"


@dataclass(frozen=True, config=STRICT)
class RegionContrastSettings:
    """Settings of the contrast of regions and words; all ours but the temperature, which is CLIP's."""

    weight: Annotated[float, Field(ge=0)] = 0.0
    """Weight in the total loss."""

    against: Literal["report", "modality"] = "report"
    """What regions are compared with: words of the report, or regions of another modality, which needs no report."""

    selection: Literal["learned", "random"] = "learned"
    """How regions are selected; `random` is the control."""

    regions: Annotated[int, Field(ge=1)] = 8
    """Positions that are selected in each patch."""

    stage: Annotated[int, Field(le=-1)] = -1
    """Encoder stage whose positions these are, -1 the bottleneck."""

    global_weight: Annotated[float, Field(ge=0)] = 1.0
    """Weight of the contrast of whole image and whole report."""

    local_weight: Annotated[float, Field(ge=0)] = 1.0
    """Weight of the contrast of regions and words."""

    temperature: Annotated[float, Field(ge=0.01)] = 0.07
    """Divides the similarities at the start; it is learned, for each of the two losses."""

    embedding_size: Annotated[int, Field(ge=2)] = 128
    """Length of the vectors that are compared."""

    stage_one: str | None = None
    """Checkpoint of `report_contrast`, of the same stage, whose heads this goes on with; its network comes by `-pretrained_weights`."""

    text: TextSettings = field(default_factory=TextSettings)


class RegionContrast(Objective):
    """Selected regions of an image against the words of its report, after LRCLR (Rizvi et al. 2023, arXiv 2303.14153).

    The paper adds layers for significant region selection and cross-modality interaction to an image–report model; which
    layers and losses is not known to us. Ours: positions of an encoder stage → learned scores → straight-through top-k →
    projection into a joint space with the words; contrast of the selected regions' mean with the report's vector, and of
    regions with words by cross-attention both ways. Another modality may stand in for the report: its selected regions are
    the words. Texts of one patient and equal texts are never negatives; gathered over processes.

    Shape: one view `[B, C, *P]` of a batch of B patches, two with another modality.
    """

    Settings = RegionContrastSettings
    citations = (
        "Rizvi et al. Local Contrastive Learning for Medical Image Recognition. 2023. arXiv:2303.14153",
        "Huang et al. GLoRIA: A Multimodal Global-Local Representation Learning Framework for Label-efficient Medical Image "
        "Recognition. ICCV 2021",
    )

    def __init__(self, settings: RegionContrastSettings, network: NetworkShape) -> None:
        super().__init__()
        self.settings = settings
        size, axes = settings.embedding_size, len(network.patch_size)
        features, learned = network.encoder_features[settings.stage], settings.selection == "learned"
        self.regions = RegionEncoder(features, axes, size, settings.regions, learned)
        self.loss = ReportInfoNCE(settings.temperature)
        self.local_loss = ReportInfoNCE(settings.temperature)
        self.text: TextEncoder | None = None
        if settings.against == "report":
            self.text = text_encoder(settings.text)
            self.text_projection = mlp(self.text.width, self.text.width, size)
            if settings.stage_one is not None:
                take_heads(self, heads_of_stage_one(settings.stage_one, settings.stage), settings.stage_one)

    @classmethod
    def needs(cls, settings: RegionContrastSettings) -> Needs:
        """One view of patches of many patients and their reports, or views of two modalities."""
        stages = (settings.stage,)
        if settings.against == "report":
            return Needs("patients", ("augmented",), views=1, encoder_stages=stages, side_data=report_of, patients=2)
        images: tuple[Image, ...] = ("augmented", "denormalized")
        return Needs("patients", images, views=2, encoder_stages=stages, modalities=2, patients=2)

    @classmethod
    def check_settings(cls, settings: RegionContrastSettings, modalities: int, stages: int) -> None:
        """Check that there is a loss, and that what is to be loaded can be."""
        if settings.global_weight == settings.local_weight == 0:
            raise InputError(f"global_weight and local_weight of {NAME} are both 0: nothing would be learned")
        if settings.against == "modality":
            if settings.stage_one is not None or settings.text.model is not None:
                raise InputError(
                    f"pretraining.objectives.{NAME}.against=modality has no text: leave out stage_one and text.model"
                )
            return
        if settings.text.model is not None:
            check_model(settings.text.model, settings.text.context)
        if settings.stage_one is not None:
            heads_of_stage_one(settings.stage_one, settings.stage)

    def prepare(self, records: Sequence[CaseRecord], say: Callable[[str], None]) -> None:
        """Check the reports and learn the vocabulary, where stage one has not brought one."""
        if self.text is None:
            return
        prepare_texts(self.text, records, NAME, say)
        if self.settings.stage_one is not None:
            say(f"{NAME} goes on with text encoder, projections and temperature of {self.settings.stage_one}")

    def draw_views(self, batch: PretrainingBatch, generator: torch.Generator) -> Views:
        """The patch and the tokens of its report, or two modalities of it; scores of chance, where these select."""
        if self.text is None:
            views = draw_modality_pair(batch, "cross", generator)
        else:
            tokens, there = self.text.tokenize(texts_of(batch.side_data[NAME]["text"]))
            device = batch.patient.device
            views = Views(
                {"image": batch.images["augmented"]}, {"tokens": tokens.to(device), "there": there.to(device)}
            )
        if self.regions.score is None:
            # Drawn for each view: places that two modalities share would tell whose they are.
            views.targets |= {f"noise of {name}": noise_for(batch.foreground, generator) for name in views.images}
        return views

    def read(self, tokens: Tensor, there: Tensor) -> Parts:
        """Texts and their tokens, of numbers `[B, L]`."""
        if self.text is None:
            raise ValueError("regions of modalities have no words")
        return text_parts(self.text, self.text_projection, tokens, there)

    def look(self, features: Features, foreground: Tensor, noise: Tensor | None) -> tuple[Parts, Selection]:
        """Patches and their selected regions; as `RegionEncoder`."""
        result: tuple[Parts, Selection] = self.regions(features.encoder[self.settings.stage], foreground, noise)
        return result

    def logits(self, images: Parts, texts: Parts) -> Tensor:
        """`[N, M]`, scaled similarities of N images and M texts: those of wholes and of parts, weighted as the losses are."""
        weights = self.settings.global_weight, self.settings.local_weight
        whole, local = images.whole @ texts.whole.T, local_similarity(images, texts)
        both = weights[0] * self.loss.scale * whole + weights[1] * self.local_loss.scale * local
        return both / sum(weights)

    def forward(self, features: Mapping[str, Features], views: Views, batch: PretrainingBatch) -> ObjectiveResult:
        """InfoNCE of wholes and of parts, both ways; retrieval by either with chance, what is selected, temperature."""
        patient, valid = batch.patient, torch.ones_like(batch.patient, dtype=torch.bool)

        def seen(view: str) -> tuple[Parts, Selection]:
            return self.look(features[view], batch.foreground, views.targets.get(f"noise of {view}"))

        if self.text is None:
            (images, selection), (texts, _) = seen("source"), seen("target")
            identity, valid = patient, views.targets["valid"]
        else:
            images, selection = seen("image")
            texts = self.read(views.targets["tokens"], views.targets["there"])
            identity = batch.side_data[NAME]["identity"]
        images, texts = images.gathered(), texts.gathered()
        patient, identity, valid = gather_rows(patient), gather_rows(identity), gather_rows(valid)
        same = (patient[:, None] == patient[None, :]) | (identity[:, None] == identity[None, :])
        # Who has no pair is nobody's negative.
        apart = same | ~(valid[:, None] & valid[None, :])
        with torch.autocast(patient.device.type, enabled=False):
            whole, local = images.whole @ texts.whole.T, local_similarity(images, texts)
            of_whole = mean_of_pairs(self.loss.of_similarities(whole, apart))
            of_parts = mean_of_pairs(self.local_loss.of_similarities(local, apart))
            loss = self.settings.global_weight * of_whole + self.settings.local_weight * of_parts
        with torch.no_grad():
            group, each = same.int().argmax(dim=1), torch.eye(len(patient), device=patient.device)
            # The rows of a similarity matrix are queries against candidates that are unit axes.
            hit, chance = retrieval_top1(whole, each, group, valid)
            local_hit, _ = retrieval_top1(local, each, group, valid)
            metrics = {
                "retrieval": hit,
                "retrieval_chance": chance,
                "local_retrieval": local_hit,
                "local_retrieval_chance": chance,
                "uniformity": uniformity(images.whole, group, valid),
                "temperature": 1 / self.loss.scale,
                **selection_metrics(selection),
            }
        return ObjectiveResult(loss, {"global_info_nce": of_whole, "local_info_nce": of_parts}, metrics)


def noise_for(foreground: Tensor, generator: torch.Generator) -> Tensor:
    """`[B, voxels]` in the place of scores; a stage has no more positions than `[B, 1, *P]` has voxels."""
    return torch.rand(foreground.flatten(1).shape, generator=generator, device=foreground.device)

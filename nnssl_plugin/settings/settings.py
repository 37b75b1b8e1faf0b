"""The settings of a run: one validated dataclass in three sections, stored in the plans file under `nnssl_plugin`."""

import difflib
import json
from collections.abc import Mapping
from dataclasses import asdict, field, fields, is_dataclass, make_dataclass
from typing import Annotated, Any, Literal, cast, get_args, get_type_hints

from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from nnssl_plugin.errors import InputError
from nnssl_plugin.objectives.registry import OBJECTIVES
from nnssl_plugin.settings.earlier_version import finetuning_of_today
from nnssl_plugin.settings.validation import STRICT
from nnssl_plugin.transforms.denormalization import DenormalizationSettings

PLANS_KEY = "nnssl_plugin"

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]

# One section per registered objective, so that a new objective brings its own settings along.
ObjectivesSettings: Any = dataclass(frozen=True, config=STRICT)(
    make_dataclass(
        "ObjectivesSettings",
        [(name, cls.Settings, field(default_factory=cls.Settings)) for name, cls in OBJECTIVES.items()],
        frozen=True,
    )
)


@dataclass(frozen=True, config=STRICT)
class MetaSettings:
    """How weights of pairs are learned, where an objective has `weighting` `meta` (docs/meta-weights.md)."""

    held_out: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of the patients by which weights are learned, and on which nothing else is trained."""
    every: Count = 5
    """Steps from one update of the weights to the next."""
    learning_rate: Positive = 1e-3
    """Of the network that weighs, under Adam."""


@dataclass(frozen=True, config=STRICT)
class PretrainingSettings:
    """What `SSLPretrainTrainer` does."""

    epochs: Count = 250
    """Epochs of pre-training."""
    iterations_per_epoch: Count = 250
    """Steps per epoch."""
    validation_iterations: Count = 25
    """Batches the per-epoch measures are taken on, without augmentation."""
    save_every: Count = 10
    """Epochs between two `checkpoint_latest.pth`."""
    keep: list[Count] = field(default_factory=list)
    """Numbers of epochs after which a checkpoint is kept, as `checkpoint_epoch_N.pth`, for the gain against
    pre-training steps."""
    probe: list[Count] = field(default_factory=list)
    """Numbers of epochs after which frozen features are judged on classes and labels that training does not see
    (docs/probe.md)."""
    initial_lr: Positive = 1e-3
    """Learning rate of AdamW, decaying as nnU-Net's."""
    weight_decay: Annotated[float, Field(ge=0)] = 1e-2
    """Of AdamW."""
    seed: Annotated[int, Field(ge=0)] | None = None
    """Of initialisation; with `nnUNet_n_proc_DA=0` the whole run repeats exactly on the CPU."""
    datasets: list[int | str] = field(default_factory=list)
    """Ids or names of further data sets, preprocessed under the same plans, whose images are used, but for patients
    of the fold's validation cases."""
    patients_per_step: Annotated[int, Field(ge=2)] = 8
    """Patches of different patients in a step, as far as the cohort and the cost of a supervised step allow."""
    crop_size: list[Count] | None = None
    """Size of these patches in voxels; by default the largest that fits."""
    minimum_foreground: Share = 0.1
    """Share of foreground below which a quarter of a patch makes it be drawn again."""
    mirroring: bool = True
    """Mirroring along the axes that nnU-Net mirrors, and rotation by more than 30 degrees where it has that; its other
    augmentations are always on."""
    denormalization: DenormalizationSettings = field(default_factory=DenormalizationSettings)
    meta: MetaSettings = field(default_factory=MetaSettings)
    objectives: ObjectivesSettings = field(default_factory=ObjectivesSettings)


@dataclass(frozen=True, config=STRICT)
class FinetuningSettings:
    """What `SSLFinetuneTrainer`, `SSLFinetuneSawtoothTrainer`, `SSLSelfTrainTrainer` and `SSLScratchTrainer` do."""

    epochs: Count = 1000
    """Epochs of the fine-tuning trainers and `SSLScratchTrainer`."""
    iterations_per_epoch: Count = 250
    """Steps per epoch."""
    validation_iterations: Count = 50
    """Batches of nnU-Net's per-epoch validation."""
    save_every: Count = 50
    """Epochs between two `checkpoint_latest.pth`."""
    optimizer: Literal["adamw", "sgd"] = "adamw"
    """`adamw`, whose norms and biases do not decay, or `sgd` as in nnU-Net."""
    initial_lr: Positive = 1e-3
    """Peak learning rate, after which it decays as nnU-Net's."""
    scratch_initial_lr: Positive | None = None
    """That of `SSLScratchTrainer`; by default the same with AdamW, nnU-Net's 0.01 with SGD."""
    segmentation_lr: Positive | None = None
    """Peak learning rate of the segmentation layers, which are always new; by default as the others."""
    warmup_fraction: Share = 0.05
    """Share of the steps over which the rate rises."""
    scratch_warmup_fraction: Share | None = None
    """That of `SSLScratchTrainer`; by default the same."""
    decoder_up_fraction: Share = 0.025
    """Sawtooth: share of the steps in which the decoder alone warms up."""
    decoder_down_fraction: Share = 0.025
    """Sawtooth: share of the steps in which its rate decays again."""
    pseudo_labels: int | str | None = None
    """`SSLSelfTrainTrainer`: id or name of the pseudo-labelled data set."""
    pseudo_labelled_share: Share = 0.5
    """Its cases' share of each batch."""
    label_fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the fold's training patients whose labels are used; smaller shares are subsets of larger ones."""
    label_seed: Annotated[int, Field(ge=0)] = 0
    """Which patients these are."""
    seed: Annotated[int, Field(ge=0)] | None = None
    """Of initialisation and, with `nnUNet_n_proc_DA=0`, of the patches of each epoch."""


@dataclass(frozen=True, config=STRICT)
class ClassificationSettings:
    """What `SSLClassifyTrainer` does."""

    columns: list[str] = field(default_factory=list)
    """Columns of the data set's table, each a task of its own in one run; `nnssl_plugin plan --classify COLUMN`."""
    epochs: Count = 100
    """Epochs of `SSLClassifyTrainer`."""
    iterations_per_epoch: Count = 50
    """Steps per epoch."""
    save_every: Count = 10
    """Epochs between two `checkpoint_latest.pth`."""
    cases_per_step: Annotated[int, Field(ge=2)] | None = None
    """Cases of a step; by default as many as cost no more than a supervised step of the plans, at most 8."""
    tiles: Count | None = None
    """Patches of each of them, by default chosen likewise."""
    stages: Annotated[list[Annotated[int, Field(le=-1)]], Field(min_length=1)] = field(default_factory=lambda: [-1, -2])
    """Encoder stages whose features are pooled, -1 the bottleneck."""
    pooling: Literal["attention", "mean"] = "attention"
    """Of a case's tiles: gated attention, or `mean`."""
    initial_lr: Positive = 1e-3
    """Peak learning rate of the head."""
    encoder_lr: Positive | None = None
    """Peak learning rate of the encoder; by default the head's."""
    weight_decay: Annotated[float, Field(ge=0)] = 1e-2
    """Of AdamW; norms and biases do not decay."""
    warmup_fraction: Share = 0.05
    """Share of the steps over which the rates rise."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.25
    """Before the last layer."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Of the cross-entropy."""
    class_weights: bool = True
    """Rare classes count more."""
    folds: Annotated[int, Field(ge=2)] = 5
    """Of the split by patients, stratified by class."""
    label_fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the fold's training patients whose classes are used, of each class alike; smaller shares are subsets
    of larger ones."""
    label_seed: Annotated[int, Field(ge=0)] = 0
    """Which patients these are."""
    seed: Annotated[int, Field(ge=0)] | None = None
    """Of initialisation and, with `nnUNet_n_proc_DA=0`, of the tiles."""


@dataclass(frozen=True, config=STRICT)
class Settings:
    """All settings of the plugin."""

    pretraining: PretrainingSettings = field(default_factory=PretrainingSettings)
    finetuning: FinetuningSettings = field(default_factory=FinetuningSettings)
    classification: ClassificationSettings = field(default_factory=ClassificationSettings)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready copy, for the plans file."""
        return asdict(self)


def settings_from_dict(values: Mapping[str, Any]) -> Settings:
    """Validate `values`; what they leave out has its default.

    Raises:
        InputError: a key is unknown (the message names the nearest known one) or a value is not of its type.
    """
    try:
        # JSON mode: strict about types, yet a list may fill a section's dataclass, as in a plans file.
        return TypeAdapter(Settings).validate_json(json.dumps(values))
    except ValidationError as error:
        raise InputError("\n".join(_explain(dict(problem)) for problem in error.errors())) from None


def settings_from_plans(plans: Mapping[str, Any]) -> Settings:
    """The settings a plans file carries, or the defaults where it carries none."""
    values = plans.get(PLANS_KEY, {})
    if isinstance(values, dict) and isinstance(values.get("finetuning"), dict):
        values = {**values, "finetuning": finetuning_of_today(values["finetuning"])}
    return settings_from_dict(values)


def known_settings(prefix: str = "", section: Any = Settings) -> dict[str, Any]:
    """Dotted name → default of every setting."""
    instance = section() if isinstance(section, type) else section
    known: dict[str, Any] = {}
    for item in fields(instance):
        value = getattr(instance, item.name)
        if is_dataclass(value):
            known.update(known_settings(f"{prefix}{item.name}.", value))
        else:
            known[prefix + item.name] = value
    return known


def settings_with(settings: Settings, assignments: list[str]) -> Settings:
    """`settings` changed by assignments like `pretraining.epochs=20`; values are JSON or bare words, `none` among them.

    Raises:
        InputError: as `settings_from_dict`, or an assignment has no `=`.
    """
    values = settings.to_dict()
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or not name:
            raise InputError(f"--set wants name=value, like pretraining.epochs=20, not {assignment!r}")
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            value = text
        if name not in known_settings():
            raise InputError(_unknown(name))
        *sections, last = name.split(".")
        section, described = values, cast(Any, Settings)
        for part in sections:
            section, described = section[part], get_type_hints(described)[part]
        # As the tables print it.
        section[last] = None if text == "none" and type(None) in get_args(get_type_hints(described)[last]) else value
    return settings_from_dict(values)


def _unknown(name: str) -> str:
    nearest = difflib.get_close_matches(name, known_settings(), n=1, cutoff=0.0)
    return f"unknown setting {name!r}; the nearest known one is {nearest[0]!r}"


def _explain(problem: dict[str, Any]) -> str:
    # A list's entry and the alternatives of a union stand behind the setting's own name in `loc`.
    name = ".".join(str(part) for part in problem["loc"])
    if problem["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        return _unknown(name)
    return f"setting {name!r}: {problem['msg']}, got {problem['input']!r}"

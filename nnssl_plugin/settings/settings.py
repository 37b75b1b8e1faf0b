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
    """How weights of pairs are learned, where an objective has `weighting` `meta` (docs/meta-weights.md).

    `held_out`: share of the patients by which they are learned, and on which nothing else is trained. `every`: steps from one
    update of the weights to the next. `learning_rate`: of their network.
    """

    held_out: Annotated[float, Field(gt=0, lt=1)] = 0.2
    every: Count = 5
    learning_rate: Positive = 1e-3


@dataclass(frozen=True, config=STRICT)
class PretrainingSettings:
    """What `SSLPretrainTrainer` does.

    `datasets`: ids or names of further data sets, preprocessed under the same plans; patients of the fold's validation
    cases are left out.
    `patients_per_step`: patches of different patients in a step, as far as the cohort has them and the cost of a supervised
    step allows. `crop_size`: size of these patches in voxels; by default the largest that fits.
    `minimum_foreground`: share of foreground below which a quarter of a patch makes the patch be drawn again.
    `mirroring`: along the axes that nnU-Net mirrors; the other augmentations are always on.
    `initial_lr`, `weight_decay`: of AdamW; the rate decays as nnU-Net's.
    `keep`: numbers of epochs after which a checkpoint is kept, as `checkpoint_epoch_N.pth`.
    `probe`: numbers of epochs after which frozen features are judged on labels that training never sees (docs/probe.md).
    `seed`: of initialisation; of everything with `nnUNet_n_proc_DA=0` on the CPU.
    """

    epochs: Count = 250
    iterations_per_epoch: Count = 250
    validation_iterations: Count = 25
    save_every: Count = 10
    keep: list[Count] = field(default_factory=list)
    probe: list[Count] = field(default_factory=list)
    initial_lr: Positive = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 1e-2
    seed: Annotated[int, Field(ge=0)] | None = None
    datasets: list[int | str] = field(default_factory=list)
    patients_per_step: Annotated[int, Field(ge=2)] = 8
    crop_size: list[Count] | None = None
    minimum_foreground: Share = 0.1
    mirroring: bool = True
    denormalization: DenormalizationSettings = field(default_factory=DenormalizationSettings)
    meta: MetaSettings = field(default_factory=MetaSettings)
    objectives: ObjectivesSettings = field(default_factory=ObjectivesSettings)


@dataclass(frozen=True, config=STRICT)
class FinetuningSettings:
    """What `SSLFinetuneTrainer`, `SSLFinetuneSawtoothTrainer`, `SSLSelfTrainTrainer` and `SSLScratchTrainer` do.

    `optimizer`: AdamW, whose norms and biases do not decay, or nnU-Net's own SGD.
    `initial_lr`: peak learning rate, reached linearly over `warmup_fraction` of the steps, then nnU-Net's polynomial
    decay. `segmentation_lr`: peak of the segmentation layers, which are always new; by default as the others.
    `decoder_up_fraction`, `decoder_down_fraction`: shares of the steps in which the sawtooth trains the decoder alone.
    `scratch_initial_lr`, `scratch_warmup_fraction`: set training from scratch apart; by default it warms up as
    fine-tuning, to the same rate with AdamW and to nnU-Net's 0.01 with SGD.
    `pseudo_labels`: id or name of a pseudo-labelled data set, for `SSLSelfTrainTrainer`, and `pseudo_labelled_share`: of
    its cases in each batch.
    `label_fraction`: share of the fold's training patients whose labels are used, nested for one `label_seed`.
    """

    epochs: Count = 1000
    iterations_per_epoch: Count = 250
    validation_iterations: Count = 50
    save_every: Count = 50
    optimizer: Literal["adamw", "sgd"] = "adamw"
    initial_lr: Positive = 1e-3
    scratch_initial_lr: Positive | None = None
    segmentation_lr: Positive | None = None
    warmup_fraction: Share = 0.05
    scratch_warmup_fraction: Share | None = None
    decoder_up_fraction: Share = 0.025
    decoder_down_fraction: Share = 0.025
    pseudo_labels: int | str | None = None
    pseudo_labelled_share: Share = 0.5
    label_fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    label_seed: Annotated[int, Field(ge=0)] = 0
    seed: Annotated[int, Field(ge=0)] | None = None


@dataclass(frozen=True, config=STRICT)
class ClassificationSettings:
    """What `SSLClassifyTrainer` does.

    `columns`: of the data set's table, each a task of its own in one run. `cases_per_step`, `tiles`: cases of a step and
    patches of each; by default as many as cost a supervised step, at most 8 of each. `stages`: encoder stages whose features are pooled, −1 the bottleneck. `pooling`: of a case's tiles.
    `initial_lr`: peak of the head; `encoder_lr`: of the encoder, by default the same. `folds`: of the split by
    patients, stratified by class.
    `label_fraction`: share of the fold's training patients whose classes are used, nested for one `label_seed`.
    """

    columns: list[str] = field(default_factory=list)
    epochs: Count = 100
    iterations_per_epoch: Count = 50
    save_every: Count = 10
    cases_per_step: Annotated[int, Field(ge=2)] | None = None
    tiles: Count | None = None
    stages: Annotated[list[Annotated[int, Field(le=-1)]], Field(min_length=1)] = field(default_factory=lambda: [-1, -2])
    pooling: Literal["attention", "mean"] = "attention"
    initial_lr: Positive = 1e-3
    encoder_lr: Positive | None = None
    weight_decay: Annotated[float, Field(ge=0)] = 1e-2
    warmup_fraction: Share = 0.05
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.25
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1
    class_weights: bool = True
    folds: Annotated[int, Field(ge=2)] = 5
    label_fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    label_seed: Annotated[int, Field(ge=0)] = 0
    seed: Annotated[int, Field(ge=0)] | None = None


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

from math import prod
from typing import Any

import pytest
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager

from nnssl_plugin.errors import InputError
from nnssl_plugin.objectives.needs import Needs
from nnssl_plugin.pretraining.active_objectives import active_objectives, needs_of
from nnssl_plugin.pretraining.step_budget import StepBudget, describe_budget, patches_of_process, step_budget
from nnssl_plugin.settings.presets import PRESETS, preset_assignments
from nnssl_plugin.settings.settings import PretrainingSettings, Settings, settings_with
from tests.synthetic import architecture

# Patch size, batch size, features of the stages, strides as powers of 2.
PLANS: dict[str, tuple[tuple[int, ...], int, list[int], list[list[int]]]] = {
    "128^3": ((128,) * 3, 2, [32, 64, 128, 256, 320, 320], [[1] * 3] + [[2] * 3] * 5),
    "small": ((40, 48, 40), 2, [32, 64, 128, 256], [[1] * 3] + [[2] * 3] * 3),
    "2d": ((128, 128), 8, [32, 64, 128, 256, 512, 512], [[1] * 2] + [[2] * 2] * 5),
}
RECIPES = {name: preset_assignments(name) for name in PRESETS} | {
    "slem and contrast": [*preset_assignments("slem"), "pretraining.objectives.contrastive.weight=1"],
    "everything": [*preset_assignments("full"), "pretraining.objectives.local_contrastive.weight=1"],
}
# Two views of the student and two of the teacher, a third each: 2.67 decoded patches for each of the plans' size.
OF_DISTILLATION = {"128^3": ((96, 96, 96), 1), "small": ((32, 40, 32), 1), "2d": ((128, 128), 3)}


def configuration(plans: str, residual: bool = False) -> ConfigurationManager:
    patch, batch, features, strides = PLANS[plans]
    network = architecture(len(patch), residual, len(features))
    network["arch_kwargs"] |= {"features_per_stage": features, "strides": strides}
    depth = "n_blocks_per_stage" if residual else "n_conv_per_stage"
    network["arch_kwargs"] |= {depth: [1, 3, 4, 6, 6, 6][: len(features)] if residual else [2] * len(features)}
    network["arch_kwargs"] |= {"n_conv_per_stage_decoder": [1 if residual else 2] * (len(features) - 1)}
    return ConfigurationManager({"patch_size": list(patch), "batch_size": batch, "architecture": network})


def settings_of(*assignments: str) -> PretrainingSettings:
    return settings_with(Settings(), list(assignments)).pretraining


def budget_of(configuration: ConfigurationManager, settings: PretrainingSettings) -> StepBudget:
    return step_budget(settings, needs_of(active_objectives(settings)), configuration, 4)


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("plans", PLANS)
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_step_costs_no_more_than_a_supervised_one(recipe: str, plans: str, residual: bool) -> None:
    planned, settings = configuration(plans, residual), settings_of(*RECIPES[recipe])
    budget = budget_of(planned, settings)
    stride = [2 ** (len(PLANS[plans][2]) - 1)] * len(planned.patch_size)
    assert 0.3 < budget.cost <= 1.0
    for kind, patches in budget.kinds.items():
        assert all(c % s == 0 and c >= 2 * s for c, s in zip(patches.patch_size, stride, strict=True) if s > 1), kind
    if "plans" in budget.kinds:
        whole = budget.kinds["plans"]
        batch_size = planned.batch_size if len(budget.kinds) == 1 else planned.batch_size // 2
        of_plans = OF_DISTILLATION[plans] if recipe == "distillation" else (tuple(planned.patch_size), batch_size)
        assert (whole.patch_size, whole.patches) == of_plans
    if "patients" in budget.kinds:
        assert 2 <= budget.kinds["patients"].patches <= 8


def test_restoration_alone_is_a_supervised_step() -> None:
    budget = budget_of(configuration("128^3"), settings_of(*RECIPES["restoration"]))
    assert budget.cost == 1
    assert (budget.kinds["plans"].patch_size, budget.kinds["plans"].patches) == ((128, 128, 128), 2)
    assert budget.gigabytes[0] == budget.gigabytes[1]


@pytest.mark.parametrize("patients", [2, 4, 8, 16])
def test_patients_are_as_many_as_asked_for_where_there_is_room(patients: int) -> None:
    settings = settings_of(*RECIPES["contrast"], f"pretraining.patients_per_step={patients}")
    for plans in ("128^3", "2d"):
        planned = configuration(plans)
        got = budget_of(planned, settings).kinds["patients"]
        # By hand: 64^3, the smallest, is an eighth of the patch, and a view costs less than half of a decoded one.
        assert got.patches == patients
        assert 2 * patients * prod(got.patch_size) <= 2.5 * planned.batch_size * prod(planned.patch_size)


def test_small_patches_are_as_large_as_the_room_allows() -> None:
    settings = settings_of(*RECIPES["contrast"], "pretraining.patients_per_step=4")
    sizes = [
        budget_of(configuration("128^3"), settings_of(*RECIPES["contrast"], f"pretraining.patients_per_step={n}"))
        for n in (2, 4, 8)
    ]
    volumes = [prod(one.kinds["patients"].patch_size) for one in sizes]
    assert volumes == sorted(volumes, reverse=True)
    planned, chosen = configuration("128^3"), sizes[1].kinds["patients"].patch_size
    larger = [min(size + 32, 128) for size in chosen]
    with_larger = settings_of(
        *RECIPES["contrast"], "pretraining.patients_per_step=4", f"pretraining.crop_size={larger}"
    )
    assert budget_of(planned, with_larger).kinds["patients"].patches < settings.patients_per_step


def cost_alone(need: Needs) -> float:
    """Cost of a step of one objective on the plans' patches, with room for any number."""
    settings = settings_of()
    budget = step_budget(settings, {"one": need}, configuration("128^3"), 4)
    return budget.cost / budget.kinds["plans"].patches


def test_cost_goes_by_views_decoder_and_teacher() -> None:
    def need(**own: Any) -> Needs:
        return Needs("plans", ("augmented",), **{"views": 0.25, **own})

    encoder, decoded = cost_alone(need()), cost_alone(need(decoder_stages=(-1,)))
    assert decoded == pytest.approx(0.25 / 2)
    assert 0.1 < encoder / decoded < 0.6
    assert cost_alone(need(views=0.5)) == pytest.approx(2 * encoder)
    # A forward pass is a third of a step.
    assert cost_alone(need(teacher_views=0.75)) == pytest.approx(2 * encoder)


def test_fewer_patients_where_the_smallest_patch_is_large() -> None:
    settings = settings_of(*RECIPES["contrast"], "pretraining.patients_per_step=200")
    budget = budget_of(configuration("128^3"), settings)
    patches = budget.kinds["patients"]
    assert patches.patch_size == (64, 64, 64)
    assert 8 < patches.patches < 200
    assert budget.cost <= 1
    assert f"there is room for {patches.patches}" in "\n".join(describe_budget(budget, settings))


def test_crop_size_can_be_set_and_is_checked() -> None:
    def crop(size: list[int]) -> StepBudget:
        return budget_of(configuration("2d"), settings_of(*RECIPES["slem"], f"pretraining.crop_size={size}"))

    assert crop([64, 96]).kinds["patients"].patch_size == (64, 96)
    with pytest.raises(InputError, match=r"nearest possible size is \[64, 64\]"):
        crop([65, 8])
    with pytest.raises(InputError, match="2 axes"):
        crop([64])
    with pytest.raises(InputError, match="no room for two patients"):
        crop([1024, 1024])
    settings = settings_of("pretraining.crop_size=[64, 64]")
    lines = describe_budget(budget_of(configuration("2d"), settings), settings)
    assert "crop_size [64, 64] has no effect" in "\n".join(lines)


def test_patches_are_split_over_processes() -> None:
    settings = settings_of(*RECIPES["full"], "pretraining.patients_per_step=7")
    budget = budget_of(configuration("2d"), settings)
    assert {kind: p.patches for kind, p in patches_of_process(budget, 2).items()} == {"plans": 2, "patients": 3}
    assert "7 patches do not split evenly over 2 GPUs: using 6" in describe_budget(budget, settings, 2)
    with pytest.raises(InputError, match="4 patches a step cannot be split over 5 GPUs"):
        patches_of_process(budget, 5)


@pytest.mark.parametrize("recipe", ["restoration", "distillation", "full"])
def test_two_processes_share_plans_of_two_patches(recipe: str) -> None:
    planned, settings = configuration("128^3"), settings_of(*RECIPES[recipe])
    budget = step_budget(settings, needs_of(active_objectives(settings)), planned, 4, processes=2)
    assert budget.kinds["plans"].patches == 2
    assert budget.cost <= 1
    assert patches_of_process(budget, 2)["plans"].patches == 1


def test_more_processes_than_the_plans_have_patches_are_refused() -> None:
    planned, settings = configuration("128^3"), settings_of(*RECIPES["restoration"])
    budget = step_budget(settings, needs_of(active_objectives(settings)), planned, 4, processes=3)
    assert budget == budget_of(planned, settings)
    with pytest.raises(InputError, match="2 patches a step cannot be split over 3 GPUs; use at most 2"):
        patches_of_process(budget, 3)

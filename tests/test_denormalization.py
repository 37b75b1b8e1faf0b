import pickle

import numpy as np
import pytest
import torch
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from torch import Tensor, nn

from nnssl_plugin.transforms.denormalization import (
    DenormalizationSettings,
    DenormalizationTransform,
    IntensityStatistics,
)
from tests.synthetic import architecture

MODES = ("moments", "local_moments", "quantile")
PROBABILITIES = np.linspace(0, 1, 33)


def statistics(patients: tuple[int, ...] = (0, 1, 2), channels: int = 2) -> IntensityStatistics:
    """Case n's modality c has mean 10 n + c and standard deviation n + 1, and is skewed."""
    shape = (len(patients), channels)
    mean = 10.0 * np.arange(len(patients))[:, None] + np.arange(channels)
    std = np.broadcast_to(np.arange(len(patients))[:, None] + 1.0, shape)
    quantiles = mean[..., None] + std[..., None] * (PROBABILITIES**2 * 3 - 1)
    return IntensityStatistics(np.array(patients), np.ones(shape, dtype=bool), mean, std, quantiles)


def sample(axes: int = 3, channels: int = 2, size: int = 32, seed: int = 0) -> dict[str, object]:
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn((channels, *[size] * axes), generator=generator).cumsum(dim=-1) / 4
    segmentation = torch.zeros((1, *[size] * axes), dtype=torch.int16)
    segmentation[:, : size // 4] = -1
    return {"image": image, "segmentation": segmentation, "present": np.ones(channels, dtype=bool), "patient": 0}


def apply(mode: str, data: dict[str, object], **parameters: object) -> Tensor:
    transform = DenormalizationTransform(statistics(), DenormalizationSettings(mode=mode, ratio_limit=1000.0))  # type: ignore[arg-type]
    drawn = {**transform.get_parameters(**data), **parameters}
    result: Tensor = transform.apply(dict(data), **drawn)["image"]
    return result


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("axes", [2, 3])
def test_background_stays_and_foreground_changes(mode: str, axes: int) -> None:
    data = sample(axes)
    before = data["image"].clone()  # type: ignore[attr-defined]
    after = apply(mode, data)
    assert torch.equal(after[:, :8], before[:, :8])
    assert (after[:, 8:] != before[:, 8:]).float().mean() > 0.99
    assert torch.equal(data["image"], before), "the input is not written to"


def test_moments_have_exactly_the_targets_mean_and_deviation() -> None:
    after = apply("moments", sample(), target=np.array([1, 0]), donors=[np.array([1]), np.array([2])])
    assert after[0, 8:].mean().item() == pytest.approx(11, abs=1e-3)
    assert after[0, 8:].std().item() == pytest.approx(2, abs=1e-3)
    assert after[1, 8:].mean().item() == pytest.approx(20, abs=1e-3)


def test_quantiles_become_those_of_the_target_and_order_is_kept() -> None:
    data = sample()
    after = apply("quantile", data, target=np.array([1, 0]), donors=[np.array([1]), np.array([1])])
    wanted = statistics().quantiles[1, 1]
    np.testing.assert_allclose(np.quantile(after[0, 8:].numpy(), PROBABILITIES), wanted, atol=2e-3)
    order = data["image"][0, 8:].flatten().argsort()  # type: ignore[index]
    assert (after[0, 8:].flatten()[order].diff() >= 0).all()


def test_local_moments_remove_a_bias_field_that_moments_keep() -> None:
    data = sample()
    field = torch.linspace(-3, 3, 32).view(1, 1, 1, 32)
    data["image"] = torch.randn(2, 32, 32, 32, generator=torch.Generator().manual_seed(3)) + field
    kept = {"target": np.array([1, 0]), "donors": [np.array([1]), np.array([1])]}
    profile = {mode: apply(mode, data, **kept)[0, 8:].mean(dim=(0, 1)) for mode in ("moments", "local_moments")}
    assert profile["local_moments"][4:-4].std() < 0.3 * profile["moments"][4:-4].std()


def test_ratio_of_deviations_is_limited() -> None:
    transform = DenormalizationTransform(statistics(), DenormalizationSettings(mode="moments", ratio_limit=1.5))
    data = sample()
    drawn = transform.get_parameters(**data) | {"target": np.array([1, 0]), "donors": [np.array([2]), np.array([2])]}
    spread = data["image"][0, 8:].std()  # type: ignore[index]
    assert transform.apply(dict(data), **drawn)["image"][0, 8:].std().item() == pytest.approx(
        float(1.5 * spread), rel=1e-3
    )


def test_draws_only_present_targets_and_other_patients() -> None:
    np.random.seed(0)
    transform = DenormalizationTransform(statistics((0, 0, 1), channels=3), DenormalizationSettings())
    data = sample(channels=3)
    data["present"] = np.array([True, True, False])
    for _ in range(20):
        drawn = transform.get_parameters(**data)
        assert drawn["target"].tolist() == [1, 0, 2]
        assert [d.tolist() for d in drawn["donors"]] == [[2], [2], []], "cases 0 and 1 are of the same patient"


def test_dataset_statistics_are_the_mean_of_other_patients_images() -> None:
    settings = DenormalizationSettings(mode="moments", ratio_limit=1000.0, statistics="dataset")
    transform, data = DenormalizationTransform(statistics((0, 1, 2)), settings), sample()
    drawn = transform.get_parameters(**data)
    assert [d.tolist() for d in drawn["donors"]] == [[1, 2], [1, 2]]
    after = transform.apply(dict(data), **drawn)["image"]
    wanted = statistics((0, 1, 2))
    assert after[0, 8:].mean().item() == pytest.approx(wanted.mean[1:, 1].mean(), abs=1e-3)
    assert after[0, 8:].std().item() == pytest.approx(wanted.std[1:, 1].mean(), abs=1e-3)


def test_without_donor_or_foreground_the_image_stays() -> None:
    alone = DenormalizationTransform(statistics((0, 0)), DenormalizationSettings())
    data = sample()
    assert torch.equal(alone(**dict(data))["image"], data["image"])  # type: ignore[arg-type]
    data["segmentation"] = torch.full((1, 32, 32, 32), -1)
    assert torch.equal(apply("quantile", data), data["image"])  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", MODES)
def test_constant_channel_is_finite(mode: str) -> None:
    data = sample()
    data["image"] = torch.zeros(2, 32, 32, 32)
    assert torch.isfinite(apply(mode, data)).all()


def encoder_change(mode: str) -> float:
    """Relative change of the stock encoder's output when its one-channel input is denormalised."""
    torch.manual_seed(0)
    plan = architecture(3, residual=False, stages=3, features=8)
    network = get_network_from_plans(
        plan["network_class_name"], plan["arch_kwargs"], plan["_kw_requires_import"], 1, 2, deep_supervision=False
    )
    for module in network.modules():
        # Zero padding would make an offset visible at the border; a network sees that nowhere else.
        if isinstance(module, nn.Conv3d):
            module.padding_mode = "replicate"
            module._reversed_padding_repeated_twice = [p for p in reversed(module.padding) for _ in range(2)]
    data = sample(size=16)
    data["segmentation"] = torch.zeros((1, 16, 16, 16), dtype=torch.int16)
    before = data["image"][:1]  # type: ignore[index]
    after = apply(mode, data, target=np.array([1, 0]), donors=[np.array([1]), np.array([1])])[:1]
    with torch.no_grad():
        first, second = network.encoder(before[None])[-1], network.encoder(after[None])[-1]
    return float((first - second).norm() / first.norm())


def test_the_encoder_sees_local_and_quantile_modes_but_not_plain_moments() -> None:
    assert encoder_change("moments") < 1e-3
    assert encoder_change("local_moments") > 0.1
    assert encoder_change("quantile") > 0.1


def test_can_be_pickled_for_worker_processes() -> None:
    transform = pickle.loads(pickle.dumps(DenormalizationTransform(statistics(), DenormalizationSettings())))
    assert torch.isfinite(transform(**sample())["image"]).all()

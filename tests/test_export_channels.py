from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
import torch.nn.functional as F
from torch import Tensor

from nnssl_plugin.errors import InputError
from nnssl_plugin.export.channels import adapt_input, canonical_name, match_channels

BRATS = ["T1", "T1c", "T2", "FLAIR"]


@pytest.mark.parametrize(
    ("names", "modality"),
    [
        (["T1", "t1n", "T1N", "T1w"], "t1"),
        (["T1c", "T1ce", "T1Gd", "T1POST", "t1_ce"], "t1c"),
        (["T2", "T2w", "t2-w"], "t2"),
        (["FLAIR", "T2f", "flair"], "flair"),
        (["ADC"], "adc"),
    ],
)
def test_aliases(names: list[str], modality: str) -> None:
    assert {canonical_name(name) for name in names} == {modality}


@pytest.mark.parametrize(
    ("source", "target", "overrides", "expected"),
    [
        (BRATS, BRATS, {}, [0, 1, 2, 3]),
        (BRATS, ["FLAIR", "T1w", "T1Gd", "T2w"], {}, [3, 0, 1, 2]),
        (BRATS, ["T2f", "T1POST", "t1n"], {}, [3, 1, 0]),
        (BRATS, ["T2w"], {}, [2]),
        (["T1"], BRATS, {}, [0, None, None, None]),
        (["T1", "T1ce", "FLAIR"], ["ADC", "T1n", "T1c", "T2w", "T2f"], {}, [None, 0, 1, None, 2]),
        (BRATS, ["MR", "PD"], {"MR": "T1"}, [0, None]),
        (BRATS, ["T1", "T2"], {"T1": "FLAIR"}, [3, 2]),
        (["in phase", "out phase"], ["OutPhase", "InPhase"], {}, [1, 0]),
        (["T1c", "T1Gd"], ["T1Gd"], {}, [1]),
    ],
)
def test_channels_are_matched_by_name(
    source: list[str], target: list[str], overrides: dict[str, str], expected: list[int | None]
) -> None:
    assert match_channels(source, target, overrides) == expected


@pytest.mark.parametrize(
    ("source", "target", "overrides", "message"),
    [
        (BRATS, ["CT"], {}, r"no channel of the target \(CT\).*--map CT=T1"),
        (BRATS, ["T1"], {"T9": "T1"}, r"--map T9=T1: a channel of the target \(T1\)"),
        (BRATS, ["T1"], {"T1": "PD"}, r"--map T1=PD:.*T1, T1c, T2, FLAIR"),
        (["T1c", "T1Gd"], ["T1ce"], {}, r"T1ce of the target fits several of the checkpoint \(T1c, T1Gd\)"),
    ],
)
def test_channels_that_cannot_be_matched(
    source: list[str], target: list[str], overrides: dict[str, str], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        match_channels(source, target, overrides)


@pytest.mark.parametrize("axes", [2, 3])
def test_reordered_channels_keep_their_filters_exactly(axes: int) -> None:
    weight = torch.randn(8, 4, *[3] * axes)
    assert torch.equal(adapt_input(weight, [3, 0, 1, 2]), weight[:, [3, 0, 1, 2]])
    assert torch.equal(adapt_input(weight, [0, 1, 2, 3]), weight)


@pytest.mark.parametrize("channels", [[3, 1, 0], [2], [None, 0, 1, None, 2], [0, 0, 1, 2, 3], [None, None]])
def test_filters_are_the_sources_up_to_one_scale_per_output(channels: list[int | None]) -> None:
    weight = torch.randn(8, 4, 3, 3, 3)
    adapted = adapt_input(weight, channels)
    assert adapted.shape == (8, len(channels), 3, 3, 3)
    wanted = torch.stack([weight.mean(1) if i is None else weight[:, i] for i in channels], 1)
    scales = adapted / wanted
    assert torch.allclose(scales.flatten(1), scales.flatten(1)[:, :1].expand(-1, scales[0].numel()), rtol=1e-4)
    assert (scales > 0).all()


@pytest.mark.parametrize(("count", "channels"), [(4, [0, 1, 3]), (4, [None]), (1, [0] * 4), (3, [None, 0, 1, None, 2])])
def test_response_keeps_its_scale_on_correlated_noise(count: int, channels: list[int | None]) -> None:
    """Monte Carlo: unit-variance channels of one common correlation, white in space."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(6, count, 9, generator=generator) + 0.3
    adapted = adapt_input(weight, channels)

    def spread(filters: Tensor) -> Tensor:
        channels = filters.shape[1]
        factor = torch.linalg.cholesky(0.5 * torch.eye(channels) + 0.5 * torch.ones(channels, channels))
        noise = torch.einsum("cd,ndk->nck", factor, torch.randn(40000, channels, 9, generator=generator))
        return torch.einsum("ock,nck->no", filters, noise).std(dim=0)

    assert torch.allclose(spread(adapted), spread(weight), rtol=0.03)


def test_zero_filters_and_half_precision() -> None:
    weight = torch.zeros(2, 4, 3, 3)
    weight[0] = 1e-3
    adapted = adapt_input(weight.half(), [0, 1, 2])
    assert adapted.dtype == torch.float16
    assert torch.isfinite(adapted).all()
    assert (adapted[1] == 0).all()


@pytest.mark.parametrize(
    ("kept", "bounds"), [([0, 1, 2], (0.8, 1.2)), ([1, 2, 3], (0.8, 1.2)), ([0, 0, 0, 0], (0.6, 1.4))]
)
def test_response_on_real_brains(real_data: Path, kept: list[int], bounds: tuple[float, float]) -> None:
    """Median over filters and cases of the spread inside the brain, new over old; 4→3 and 1→4."""
    generator = torch.Generator().manual_seed(0)
    single = len(set(kept)) == 1
    weight = torch.randn(16, 1 if single else 4, 3, 3, 3, generator=generator)
    adapted = adapt_input(weight, kept)
    ratios = []
    for case in sorted((real_data / "mr-brain-2mm").iterdir())[:4]:
        if not case.is_dir():
            continue
        images = [
            sitk.GetArrayFromImage(sitk.ReadImage(str(next(case.glob(f"*_{m}.nii.gz")))))
            for m in ("t1", "t1c", "t2", "flair")
        ]
        stack = np.stack(images).astype(np.float32)
        inside = torch.from_numpy((stack > 0).any(axis=0)).flatten()
        stack = (stack - stack.mean(axis=(1, 2, 3), keepdims=True)) / stack.std(axis=(1, 2, 3), keepdims=True)
        image = torch.from_numpy(stack)
        before = image[:1] if single else image
        after = image if single else image[kept]

        def spread(x: Tensor, filters: Tensor, inside: Tensor = inside) -> Tensor:
            return F.conv3d(x[None], filters, padding=1)[0].flatten(1)[:, inside].std(dim=1)

        ratios.append(spread(after, adapted) / spread(before, weight))
    median = float(torch.cat(ratios).median())
    print(f"{weight.shape[1]} channels -> {kept}: {median:.2f} of the response before (median over filters and cases)")
    assert bounds[0] < median < bounds[1], median

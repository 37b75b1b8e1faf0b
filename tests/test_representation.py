import math

import pytest
import torch
import torch.nn.functional as F

from nnssl_plugin.objectives.representation import alignment, effective_rank, retrieval_top1, uniformity


def all_valid(count: int) -> torch.Tensor:
    return torch.ones(count, dtype=torch.bool)


def test_alignment_of_equal_opposite_and_orthogonal_vectors() -> None:
    x = F.normalize(torch.randn(5, 3), dim=1)
    assert alignment(x, x, all_valid(5)) == 0
    assert alignment(x, -x, all_valid(5)).item() == pytest.approx(4)
    assert alignment(torch.eye(4)[:2], torch.eye(4)[2:], all_valid(2)).item() == pytest.approx(2)


def test_uniformity_counts_different_groups_only() -> None:
    z = torch.eye(3)
    assert uniformity(z, torch.arange(3), all_valid(3)).item() == pytest.approx(-4)
    assert uniformity(torch.ones(3, 1), torch.arange(3), all_valid(3)).item() == pytest.approx(0)
    # Groups 0 and 1, two orthogonal vectors each pair across: pairs inside a group would be e^0.
    z = torch.tensor([[1.0, 0], [1, 0], [0, 1]])
    assert uniformity(z, torch.tensor([0, 0, 1]), all_valid(3)).item() == pytest.approx(-4)
    assert uniformity(z, torch.zeros(3), all_valid(3)).isnan()


def test_retrieval_counts_hits_and_chance() -> None:
    queries, candidates = torch.eye(4), torch.eye(4)[[0, 1, 3, 2]]
    groups = torch.arange(4)
    hit, chance = retrieval_top1(queries, candidates, groups, all_valid(4))
    assert (hit, chance) == (0.5, 0.25)


def test_what_is_not_valid_does_not_count() -> None:
    z, valid = torch.eye(4), torch.tensor([True, True, True, False])
    other = z.clone()
    other[3] = -z[3]
    assert alignment(z, other, valid) == 0
    collapsed = torch.tensor([[1.0, 0], [1, 0], [1, 0], [0, 1]])
    assert uniformity(collapsed, torch.arange(4), valid).item() == pytest.approx(0)
    # What the third would find is not valid.
    candidates = z[[0, 1, 3, 2]]
    hit, chance = retrieval_top1(z, candidates, torch.tensor([0, 1, 2, 2]), valid)
    assert (hit.item(), chance.item()) == (pytest.approx(2 / 3), pytest.approx(1 / 3))
    assert all(value.isnan() for value in retrieval_top1(z, candidates, torch.arange(4), ~all_valid(4)))


def test_effective_rank_of_known_spectra() -> None:
    assert effective_rank(torch.ones(8, 5)) == 0
    line = torch.linspace(-1, 1, 9)[:, None] * torch.tensor([[1.0, 2, 3]])
    assert effective_rank(line) == pytest.approx(1, abs=1e-4)
    cross = torch.cat([torch.eye(3), -torch.eye(3)])
    assert effective_rank(cross) == pytest.approx(3, abs=1e-4)
    # Singular values 3 : 1 → entropy of (3/4, 1/4).
    uneven = torch.tensor([[3.0, 0], [-3, 0], [0, 1], [0, -1]])
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert effective_rank(uneven) == pytest.approx(math.exp(entropy), rel=1e-6)

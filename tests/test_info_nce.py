import math

import pytest
import torch
import torch.nn.functional as F
from pytorch_metric_learning.losses import NTXentLoss
from torch import Tensor

from nnssl_plugin.objectives.info_nce import PatientInfoNCE
from nnssl_plugin.objectives.pair_losses import PairLosses, mean_of_pairs

PATIENTS = [[0, 1, 2, 0, 1, 2], [0, 0, 1, 0, 0, 1], [3, 1, 1, 1, 2, 3], [0, 0, 0, 1, 2, 3]]


def unit_vectors(count: int) -> Tensor:
    return F.normalize(torch.randn(count, 5, generator=torch.Generator().manual_seed(0)), dim=1)


def info_nce(z: Tensor, patients: list[int], temperature: float, valid: list[bool] | None = None) -> Tensor:
    counted = torch.tensor([True] * len(z) if valid is None else valid)
    return mean_of_pairs(PatientInfoNCE(temperature)(z, torch.tensor(patients), counted))


def reference(z: Tensor, patients: list[int], temperature: float) -> float:
    """The definition, pair by pair."""
    terms = []
    for i in range(len(z)):
        negatives = [math.exp(float(z[i] @ z[n]) / temperature) for n in range(len(z)) if patients[n] != patients[i]]
        for p in range(len(z)):
            if p != i and patients[p] == patients[i] and negatives:
                positive = math.exp(float(z[i] @ z[p]) / temperature)
                terms.append(-math.log(positive / (positive + sum(negatives))))
    return sum(terms) / len(terms)


@pytest.mark.parametrize("patients", PATIENTS)
@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_value_is_that_of_the_definition(patients: list[int], temperature: float) -> None:
    z = unit_vectors(6)
    assert info_nce(z, patients, temperature).item() == pytest.approx(reference(z, patients, temperature), rel=1e-5)


@pytest.mark.parametrize("patients", [*PATIENTS, [0, 1, 2, 3] * 4, [0] * 5 + [1]])
@pytest.mark.parametrize("temperature", [0.07, 0.5])
def test_value_and_gradient_are_those_of_pytorch_metric_learning(patients: list[int], temperature: float) -> None:
    ours, theirs = (unit_vectors(len(patients)).requires_grad_() for _ in range(2))
    loss = info_nce(ours, patients, temperature)
    loss.backward()
    expected = NTXentLoss(temperature)(theirs, torch.tensor(patients))
    expected.backward()
    torch.testing.assert_close(loss, expected)
    # Theirs normalises the embeddings once more, which removes the part of the gradient along them.
    assert ours.grad is not None
    across = ours.grad - (ours.grad * ours).sum(dim=1, keepdim=True) * ours
    torch.testing.assert_close(across, theirs.grad)


@pytest.mark.parametrize("valid", [[True] * 5 + [False], [True, False, True, True, False, True]])
def test_what_is_not_valid_is_as_if_it_were_not_there(valid: list[bool]) -> None:
    patients, z = [0, 1, 0, 1, 1, 0], unit_vectors(6).requires_grad_()
    loss = info_nce(z, patients, 0.3, valid)
    there = torch.tensor(valid)
    left = [patient for patient, one in zip(patients, valid, strict=True) if one]
    assert loss.item() == pytest.approx(reference(z.detach()[there], left, 0.3), rel=1e-5)
    loss.backward()
    assert z.grad is not None
    assert ((z.grad != 0).any(dim=1) == there).all()


def test_pairs_are_those_of_one_patient_in_both_orders() -> None:
    pairs = PatientInfoNCE()(unit_vectors(4), torch.tensor([0, 1, 0, 2]), torch.ones(4, dtype=torch.bool))
    counted = {(int(i), int(j)) for i, j in zip(pairs.first[pairs.counted], pairs.second[pairs.counted], strict=True)}
    assert counted == {(0, 2), (2, 0)}
    assert len(pairs.values) == 16
    assert pairs.values.isfinite().all()


def test_weights_of_pairs_come_from_outside() -> None:
    values = torch.tensor([1.0, 10, 100, 1000]).requires_grad_()
    index = torch.arange(4)
    pairs = PairLosses(values, index, index, torch.tensor([True, True, False, True]))
    assert mean_of_pairs(pairs).item() == pytest.approx(1011 / 3)
    # What does not count has no say, whatever its weight.
    for scale in (1.0, 1e-9):
        weighted = mean_of_pairs(pairs, scale * torch.tensor([1.0, 3, 50, 0]))
        assert weighted.item() == pytest.approx((1 + 3 * 10) / 4)
    (gradient,) = torch.autograd.grad(weighted, values)
    torch.testing.assert_close(gradient, torch.tensor([0.25, 0.75, 0, 0]))
    none = mean_of_pairs(pairs, torch.tensor([0.0, 0, 1, 0]))
    assert none == 0
    assert (torch.autograd.grad(none, values)[0] == 0).all()


def test_analytic_values() -> None:
    # Positives coincide, negatives are orthogonal: log(1 + N e^{-1/τ}) with N = 2 negatives.
    z = torch.eye(2).repeat(2, 1)
    assert info_nce(z, [0, 1, 0, 1], 0.5).item() == pytest.approx(math.log(1 + 2 * math.exp(-2)))
    # A collapse: every similarity is the same, so log(1 + N).
    assert info_nce(torch.ones(6, 1), [0, 1, 2, 0, 1, 2], 0.2).item() == pytest.approx(math.log(5))


@pytest.mark.parametrize("patients", [[0, 0, 0, 0], [0, 1, 2, 3], [5]])
def test_without_negatives_or_positives_the_loss_is_zero_and_differentiable(patients: list[int]) -> None:
    z = unit_vectors(len(patients)).requires_grad_()
    loss = info_nce(z, patients, 0.2)
    loss.backward()
    assert loss.item() == 0
    assert z.grad is not None
    assert torch.isfinite(z.grad).all()


def test_half_precision_input_is_scored_in_single_precision() -> None:
    z, patients = unit_vectors(8), [0, 1, 2, 3] * 2
    loss = info_nce(z.half(), patients, 0.05)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, info_nce(z, patients, 0.05), rtol=0.02, atol=0.02)

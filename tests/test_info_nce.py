import math

import pytest
import torch
import torch.nn.functional as F

from nnssl_plugin.objectives.info_nce import PatientInfoNCE


def reference(z: torch.Tensor, patients: list[int], temperature: float) -> float:
    """The definition, pair by pair."""
    terms = []
    for i in range(len(z)):
        negatives = [math.exp(float(z[i] @ z[n]) / temperature) for n in range(len(z)) if patients[n] != patients[i]]
        for p in range(len(z)):
            if p != i and patients[p] == patients[i] and negatives:
                positive = math.exp(float(z[i] @ z[p]) / temperature)
                terms.append(-math.log(positive / (positive + sum(negatives))))
    return sum(terms) / len(terms)


@pytest.mark.parametrize("patients", [[0, 1, 2, 0, 1, 2], [0, 0, 1, 0, 0, 1], [3, 1, 1, 1, 2, 3]])
@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_value_is_that_of_the_definition(patients: list[int], temperature: float) -> None:
    z = F.normalize(torch.randn(6, 5, generator=torch.Generator().manual_seed(0)), dim=1)
    loss = PatientInfoNCE(temperature)(z, torch.tensor(patients))
    assert loss.item() == pytest.approx(reference(z, patients, temperature), rel=1e-5)


def test_analytic_values() -> None:
    # Positives coincide, negatives are orthogonal: log(1 + N e^{-1/τ}) with N = 2 negatives.
    z = torch.eye(2).repeat(2, 1)
    assert PatientInfoNCE(0.5)(z, torch.tensor([0, 1, 0, 1])).item() == pytest.approx(math.log(1 + 2 * math.exp(-2)))
    # A collapse: every similarity is the same, so log(1 + N).
    z = torch.ones(6, 1)
    assert PatientInfoNCE(0.2)(z, torch.tensor([0, 1, 2, 0, 1, 2])).item() == pytest.approx(math.log(5))


@pytest.mark.parametrize("patients", [[0, 0, 0, 0], [0, 1, 2, 3], [5]])
def test_without_negatives_or_positives_the_loss_is_zero_and_differentiable(patients: list[int]) -> None:
    z = F.normalize(torch.randn(len(patients), 3), dim=1).requires_grad_()
    loss = PatientInfoNCE()(z, torch.tensor(patients))
    loss.backward()
    assert loss.item() == 0
    assert z.grad is not None
    assert torch.isfinite(z.grad).all()


def test_half_precision_input_is_scored_in_single_precision() -> None:
    z = F.normalize(torch.randn(8, 16), dim=1)
    patients = torch.arange(4).repeat(2)
    loss = PatientInfoNCE(0.05)(z.half(), patients)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, PatientInfoNCE(0.05)(z, patients), rtol=0.02, atol=0.02)

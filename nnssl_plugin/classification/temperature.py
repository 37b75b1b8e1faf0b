"""Calibration by one temperature a column (Guo et al., ICML 2017, arXiv 1706.04599, section 4.2)."""

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar

# Of the logarithm of the temperature: 1/20 to 20.
RANGE = float(np.log(20))


def with_temperature(probabilities: npt.NDArray[np.float64], temperature: float) -> npt.NDArray[np.float64]:
    """Softmax of the logits `[…, K]` that gave `probabilities`, divided by `temperature`."""
    logits = np.log(np.clip(probabilities, 1e-30, 1)) / temperature
    scaled = np.exp(logits - logits.max(axis=-1, keepdims=True))
    result: npt.NDArray[np.float64] = scaled / scaled.sum(axis=-1, keepdims=True)
    return result


def fitted_temperature(truth: npt.NDArray[np.int64], probabilities: npt.NDArray[np.float64]) -> float:
    """The temperature of the least negative log-likelihood.

    Args:
        truth: `[N]`, index of the class.
        probabilities: `[N, K]`, of cases that nothing was trained on.
    """

    def loss(log_temperature: float) -> float:
        scaled = with_temperature(probabilities, float(np.exp(log_temperature)))
        return float(-np.log(np.clip(scaled[np.arange(len(truth)), truth], 1e-12, 1)).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-RANGE, RANGE), method="bounded").x))

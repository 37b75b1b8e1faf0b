"""What a person would look at to see whether an objective is learned: plots beside the objectives they belong to."""

from collections.abc import Callable

from matplotlib.figure import Figure

from nnssl_plugin.plots.example import Example
from nnssl_plugin.plots.frame_pairs import plot_frame_pairs
from nnssl_plugin.plots.mosaics import plot_mosaics
from nnssl_plugin.plots.patient_similarity import plot_patient_similarity
from nnssl_plugin.plots.place_similarity import plot_place_similarity
from nnssl_plugin.plots.restored import plot_restored

# Name of an objective → its plot, whose docstring is the caption; an objective may have none.
PLOTS: dict[str, Callable[[Example], Figure]] = {
    "slem": plot_mosaics,
    "contrastive": plot_patient_similarity,
    "local_contrastive": plot_place_similarity,
    "restoration": plot_restored,
    "supervoxel": plot_restored,
    "mae": plot_restored,
    "frame_contrast": plot_frame_pairs,
}


def caption_of(name: str) -> str:
    """What the plot of an objective shows."""
    return (PLOTS[name].__doc__ or "").strip()

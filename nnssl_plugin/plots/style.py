"""The look of all figures."""

from matplotlib.axes import Axes

# Of runs and other groups, in this order; GREY is for what they are compared with.
PALETTE = ("#0b63a5", "#d1600a", "#2a8c4a", "#9b3fa5", "#c0392b", "#1f9eaf", "#7f6a00", "#4a4fbf", "#e377c2")
GREY = "#8a949e"
LONGEST_NAME = 24


def plain(axis: Axes) -> None:
    """No frame, small labels, thin horizontal lines."""
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=8)
    axis.title.set_fontsize(10)
    axis.grid(axis="y", color="#e6eaee", linewidth=0.8)
    axis.set_axisbelow(True)


def shortened(name: str) -> str:
    """The end of a name, at most `LONGEST_NAME` characters; beginnings are mostly alike."""
    return name if len(name) <= LONGEST_NAME else f"…{name[1 - LONGEST_NAME :]}"

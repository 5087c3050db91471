"""Plots of a report as SVG text, drawn without a screen; words in them are short and English."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from io import StringIO
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

Series = Sequence[float]
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # Letters stay letters: small, and the page's own font.
    "svg.hashsalt": "nearline",  # The same figures give the same text.
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "axes.grid": True,
    "grid.color": "#e5e5e5",
    "axes.axisbelow": True,
    "legend.frameon": False,
}
OURS, OTHERS, SECOND = "#1f6f8b", "#b9c3c9", "#d9822b"


def bars(values: Mapping[str, float], ours: str, label: str) -> str:
    """One lying bar a name, best on top; `ours` stands out."""
    ordered = sorted(values.items(), key=lambda pair: pair[1])

    def draw(axes: Axes) -> None:
        names = [name for name, _ in ordered]
        lengths = [value for _, value in ordered]
        colours = [OURS if name == ours else OTHERS for name in names]
        drawn = axes.barh(names, lengths, color=colours)
        axes.bar_label(drawn, fmt="%.4f", padding=3, fontsize=8)
        axes.margins(x=0.18)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(label)

    return _svg(draw, 5.4, 0.6 + 0.3 * len(ordered))


def lead(mean: float, low: float, high: float, label: str) -> str:
    """A mean with its interval, and zero."""

    def draw(axes: Axes) -> None:
        colour = OURS if low > 0 else SECOND
        axes.plot([low, high], [0, 0], color=colour, linewidth=3, solid_capstyle="butt")
        axes.plot([mean], [0], "o", color=colour)
        axes.axvline(0, color="#888888", linewidth=1)
        axes.set_yticks([])
        axes.set_ylim(-1, 1)
        axes.margins(x=0.15)
        axes.set_xlabel(label)

    return _svg(draw, 5.4, 1.0)


def learning(epochs: Series, losses: Series, figures: Series, label: str) -> str:
    """Loss on the left scale, the validation figure on the right."""

    def draw(axes: Axes) -> None:
        axes.plot(epochs, losses, color=OTHERS, marker=".")
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_ylabel("loss", color="#7a868c")
        other = axes.twinx()
        other.plot(epochs, figures, color=OURS, marker=".")
        other.set_ylabel(label, color=OURS)
        other.grid(visible=False)
        other.spines["right"].set_visible(True)

    return _svg(draw, 5.4, 2.6)


def calibration(chances: Series, seen: Series) -> str:
    """What was said against what came true; the diagonal is perfect."""

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color="#888888", linewidth=1, linestyle="--")
        axes.plot(chances, seen, color=OURS, marker="o", markersize=4)
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="chance said", ylabel="share seen")
        axes.set_aspect("equal")

    return _svg(draw, 2.9, 2.9)


def alerts(rates: Series, recall: Series, precision: Series) -> str:
    """What warning a share of customers finds, and how often it is right."""

    def draw(axes: Axes) -> None:
        axes.plot(rates, recall, color=OURS, label="recall")
        axes.plot(rates, precision, color=SECOND, label="precision")
        axes.plot([0, 1], [0, 1], color="#888888", linewidth=1, linestyle="--", label="by lot")
        axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="share that is warned")
        axes.legend(fontsize=8)

    return _svg(draw, 3.6, 2.9)


def _svg(draw: Callable[[Axes], None], width_in: float, height_in: float) -> str:
    with rc_context(_STYLE):
        figure = Figure(figsize=(width_in, height_in), layout="constrained")
        draw(figure.add_subplot())
        held = StringIO()
        figure.savefig(held, format="svg", metadata={"Date": None, "Creator": None})
    text = held.getvalue()
    return text[text.index("<svg") :]

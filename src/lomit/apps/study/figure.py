"""Figure 7 as a picture: shares with both intervals, and the mark of simulated answers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from lomit.apps.study.analysis import Analysis, Share
from lomit.errors import require
from lomit.images import write_file
from lomit.stats.estimate import MARK

FORMATS = ("png", "pdf", "svg")
BLUE, ORANGE = "#174ea6", "#f29900"


def draw_figure(analysis: Analysis, stem: Path, overwrite: bool) -> None:
    """Writes `stem.png`, `.pdf` and `.svg`.  Raises LomitError where matplotlib is missing or they can't be written."""
    require("drawing", "apps", "matplotlib")
    import matplotlib
    from matplotlib.figure import Figure

    panels = [list(shares) for _, shares in groupby(analysis.shares, key=lambda share: share.question.block)]
    heights = [0.8 + 0.36 * len(shares) for shares in panels]
    # Text stays text; the same answers give the same file.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "lomit", "font.size": 9}):
        figure = Figure(figsize=(6.4, 1.1 + sum(heights)), layout="constrained")
        axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
        for axis, shares in zip(axes, panels, strict=True):
            _draw_panel(axis, shares)
        axes[-1].set_xlabel("chosen, %")
        figure.suptitle(_caption(analysis), fontsize=9, color="#b00020" if analysis.simulated else "black")
        if analysis.simulated:
            for axis in axes:
                axis.text(
                    0.5, 0.5, MARK, transform=axis.transAxes, ha="center", va="center", fontsize=20, color="#b00020",
                    alpha=0.18, rotation=8, zorder=0,
                )  # fmt: skip
        for kind in FORMATS:
            told: dict[str, Any] = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(kind, {})
            write_file(
                stem.with_suffix(f".{kind}"),
                lambda file, kind=kind, told=told: figure.savefig(file, format=kind, dpi=200, metadata=told),  # type: ignore[misc]
                overwrite,
            )


def _caption(analysis: Analysis) -> str:
    who = f"{len(analysis.included)} {'simulated participants' if analysis.simulated else 'participants'}"
    mark = f"{MARK.upper()}: " if analysis.simulated else ""
    return f"{mark}{who}\n95 % intervals: thick, Wilson's of the answers; thin, bootstrap over participants"


def _draw_panel(axis: Any, shares: Sequence[Share]) -> None:
    """One block's shares."""
    axis.set_title(shares[0].question.question, loc="left", fontsize=10)
    axis.axvline(50, color="#888888", linewidth=0.8, linestyle=":")
    for row, share in enumerate(shares):
        value = 100 * share.hits / share.asked if share.asked else 50.0
        if share.asked:
            axis.plot(
                [100 * v for v in share.wilson], [row, row], color=BLUE, linewidth=4, solid_capstyle="butt", alpha=0.45
            )
            axis.plot(value, row, "o", color=BLUE, markersize=5)
            axis.annotate(f"{value:.1f}", (value, row), (0, 6), textcoords="offset points", ha="center", fontsize=8)
        if share.people is not None:
            axis.plot([100 * v for v in share.people], [row, row], color=ORANGE, linewidth=1.4)
    axis.set_yticks(range(len(shares)), [f"{share.question.chosen} (n = {share.asked})" for share in shares])
    axis.set_ylim(len(shares) - 0.5, -0.6)
    axis.set_xlim(0, 100)
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.tick_params(left=False)

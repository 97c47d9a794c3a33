"""The colours of figures: each has a role, and a value for light pages and one for dark ones.

The six colours of series differ in lightness too, so that readers who do not see some hues tell them apart; no figure
relies on colour alone.
"""

from __future__ import annotations

INK = "#1d1d20"  # text and what must be seen
MUTED = "#5d5d68"  # axes, notes
LINE = "#d8d8df"  # the grid
ACCENT = "#b3261e"  # what is chosen, thresholds, edges
SURFACE = "#fefefe"  # the page behind the figure
DENSITY = "#6f8fb8"  # rows, binned
SERIES = ("#0b6cb0", "#d2570a", "#0a7f5e", "#a03a8c", "#8a6a00", "#1893a6")

# In the dark. A colour of images is not here: one value must do for both.
DARK = {
    INK: "#ececf0",
    MUTED: "#a9a9b5",
    LINE: "#3b3b44",
    ACCENT: "#ff8b80",
    SURFACE: "#16161a",
    DENSITY: "#6f8fb8",
    **dict(zip(SERIES, ("#5fb4f2", "#ff9148", "#3fcb9f", "#e58fd2", "#dcb93f", "#6fdcec"), strict=True)),
}

# The custom property that each colour is given in an SVG for pages, so that a page can set it.
PROPERTIES = {
    INK: "--gmm-ink",
    MUTED: "--gmm-muted",
    LINE: "--gmm-line",
    ACCENT: "--gmm-accent",
    SURFACE: "--gmm-surface",
    DENSITY: "--gmm-density",
    **{colour: f"--gmm-series-{i}" for i, colour in enumerate(SERIES)},
}

# Ends and middle of a scale of what differs: transparent in the middle, so that it does on light and dark pages.
BELOW, MIDDLE, ABOVE = "rgba(24,119,190,0.78)", "rgba(128,128,128,0.05)", "rgba(222,104,24,0.78)"

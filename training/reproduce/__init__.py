"""Published comparisons, run again: ours beside the published figures and the simple models."""

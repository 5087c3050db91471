"""The backfill: all history folded again into the online features."""

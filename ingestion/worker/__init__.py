"""The stream worker: events on the log become online features, each exactly once."""

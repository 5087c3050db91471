"""The read side: the Ray Serve graph, hot-path features, rules and fallbacks."""

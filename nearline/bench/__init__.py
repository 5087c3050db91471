"""`nearline bench`: how fast an event changes an answer, each figure beside a floor of its own."""

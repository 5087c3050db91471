"""The parts that Nearline can run by itself, for one machine: no Docker, no apt, no account."""

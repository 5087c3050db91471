"""The `nearline` command: the court's own commands, and those that the rooms bring."""

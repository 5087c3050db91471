"""One definition of each metric, with formula, edge cases and source; and the report of a run."""

"""The history writer: the event log becomes Parquet by day, and the log is trimmed behind it."""

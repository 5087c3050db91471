"""Events from elsewhere: recorded logs brought into history, or replayed to the collector."""

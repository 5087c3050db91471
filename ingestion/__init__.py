"""The write side: collector, stream worker, history, backfill, simulated shop, connectors."""

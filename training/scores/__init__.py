"""Calibrated probabilities of what a customer will do: leave, buy again, buy in a category."""

"""Nearline: what a customer just did becomes what that customer sees next."""

__version__ = "0.1.0"

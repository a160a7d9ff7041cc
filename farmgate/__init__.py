"""Farmgate: a self-hosted build and delivery farm."""

__version__ = "0.1.0"

"""Synthetic recordings of any length, with their true arrivals."""

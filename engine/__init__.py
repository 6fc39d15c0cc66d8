"""Simulation, local language models, storage and reports."""

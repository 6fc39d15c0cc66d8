"""Personas, recipes and instruments that ship with Microcosm, as TOML files."""

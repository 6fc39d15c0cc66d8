"""The studio: pages, server and command line over the engine."""

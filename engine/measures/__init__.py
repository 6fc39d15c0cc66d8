"""Measures on arrays: pure functions that a scenario turns into named numbers per step."""

from engine.measures.inequality import gain_equality, gini, top_share
from engine.measures.opinion import bimodality, cluster_sizes, esteban_ray, major_clusters, variance_polarization

__all__ = [
    "bimodality",
    "cluster_sizes",
    "esteban_ray",
    "gain_equality",
    "gini",
    "major_clusters",
    "top_share",
    "variance_polarization",
]

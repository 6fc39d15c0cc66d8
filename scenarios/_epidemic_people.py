"""Who lives in the city, and where they meet."""

from dataclasses import dataclass

import numpy as np

from engine import MicrocosmError

HOUSEHOLD, WORK, SCHOOL = "household", "work", "school"
WORKS = ("employed full time", "employed part time", "self-employed")
SEEKS = ("unemployed",)
OLDEST = 120
LAYERS = [  # sizes of workplaces and classes, and the number of ties in the community, are ours
    {"name": HOUSEHOLD, "kind": "households", "area": "area"},
    {
        "name": WORK,
        "kind": "groups",
        "where": "employment in ('employed full time', 'employed part time', 'self-employed')",
        "sizes": [1, 3, 6, 12, 25],
        "weights": [30, 30, 20, 14, 6],
    },
    {
        "name": SCHOOL,
        "kind": "groups",
        "where": "employment == 'in education' and age >= 3",
        "by": ["area", "age"],
        "sizes": [20],
    },
    {"name": "community", "kind": "erdos_renyi", "mean_degree": 8.0},
]


@dataclass(frozen=True)
class People:
    """What the mechanism reads of the personas, arrays of shape (n,)."""

    age: np.ndarray
    essential: np.ndarray
    worker: np.ndarray
    seeker: np.ndarray


def read_people(world):
    """Return ages, who has an essential job, who works and who looks for work; without such columns nobody does."""
    population, columns, n = world.population, world.persona.columns, world.n_agents
    if "age" not in columns:
        raise MicrocosmError(
            "the city needs the age of its people; take a recipe with it, or add population.columns.age"
        )
    worker = seeker = np.zeros(n, bool)
    if "employment" in columns:
        labels, codes = columns["employment"].labels, population["employment"]
        worker = np.array([label in WORKS for label in labels])[codes]
        seeker = np.array([label in SEEKS for label in labels])[codes]
    essential = population.get("essential_worker", np.zeros(n, bool)).astype(bool, copy=False)
    return People(population["age"], essential, worker, seeker)

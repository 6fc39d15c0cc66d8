"""Who lives in the city, and where they meet."""

from dataclasses import dataclass

import numpy as np

from engine import MicrocosmError

HOUSEHOLD, WORK, SCHOOL = "household", "work", "school"
WORKS = ("employed full time", "employed part time", "self-employed")
SEEKS = ("unemployed",)
OUTSIDE, SEEKER, WORKER = range(3)
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
    """What the mechanism reads of the personas.

    Attributes:
        age: Years, integers (n,).
        essential: Who has a job that goes on when others stay at home, boolean (n,).
        employment: Code of the main activity (n,).
        labour: OUTSIDE, SEEKER or WORKER by that code, int8.
    """

    age: np.ndarray
    essential: np.ndarray
    employment: np.ndarray
    labour: np.ndarray

    @property
    def worker(self):
        """Who has a job, boolean (n,)."""
        return (self.labour == WORKER)[self.employment]


def read_people(world):
    """Return ages, who has an essential job, who works and who looks for work; without such columns nobody does."""
    population, columns, n = world.population, world.persona.columns, world.n_agents
    if "age" not in columns:
        raise MicrocosmError(
            "the city needs the age of its people; take a recipe with it, or add population.columns.age"
        )
    essential = population["essential_worker"] if "essential_worker" in columns else np.zeros(n, bool)
    employment, labour = np.zeros(n, np.int16), np.zeros(1, np.int8)
    if "employment" in columns:
        employment, labels = population["employment"], columns["employment"].labels
        labour = np.array([WORKER if label in WORKS else SEEKER if label in SEEKS else OUTSIDE for label in labels])
    return People(population["age"], essential.astype(bool, copy=False), employment, labour.astype(np.int8))

"""What is counted of the city each day, and the measures that read these counts from the environment."""

import numpy as np
from numba import njit

from engine import Measure
from scenarios._epidemic_people import OLDEST, SEEKER, WORKER

SUSCEPTIBLE, EXPOSED, INFECTIOUS, RECOVERED, DEAD = range(5)
WEEK = 7
GROUP_STARTS = (18, 30, 45, 65)
GROUPS = ("18-29", "30-44", "45-64", "65+")
ESSENTIAL = "essential workers"
ADULT = GROUP_STARTS[0]


@njit(cache=True, nogil=True)
def _tally(health, isolating, working, age, essential, employment, labour, group_of_age):
    """Return how many people there are of each kind, int64 (5, n_groups, 2, 2, 3, 2).

    Axes: health, group by age, isolating, essential, labour, working.
    """
    n_groups, oldest = group_of_age.max() + 1, group_of_age.size - 1
    kinds = np.zeros(5 * n_groups * 24, np.int64)
    for i in range(health.size):
        group = group_of_age[min(age[i], oldest)]
        kind = ((health[i] * n_groups + group) * 2 + isolating[i]) * 2 + essential[i]
        kinds[(kind * 3 + labour[employment[i]]) * 2 + working[i]] += 1
    return kinds.reshape((5, n_groups, 2, 2, 3, 2))


def count_city(world, people):
    """Put today's counts of people by health, of isolating adults and of the labour force into the environment.

    Args:
        world: The world.
        people: What `read_people` of the scenario gives.
    """
    population, env = world.population, world.env
    kinds = _tally(
        population["health"],
        population["isolating"],
        population["working"],
        people.age,
        people.essential,
        people.employment,
        people.labour,
        np.searchsorted(GROUP_STARTS, np.arange(OLDEST + 1), side="right"),
    )
    states = kinds.sum(axis=(1, 2, 3, 4, 5)).tolist()
    for name, count in zip(("susceptible", "exposed", "infectious", "recovered", "dead"), states, strict=True):
        env[f"n_{name}"] = count
    adults = kinds[:DEAD, 1:].sum(axis=0)
    parts = [*adults, adults[:, :, 1:].sum(axis=0)]
    for name, part in zip((*GROUPS, ESSENTIAL), parts, strict=True):
        env[f"adults {name}"], env[f"isolating {name}"] = int(part.sum()), int(part[1].sum())
    force = adults.sum(axis=(0, 1, 2))
    env["labour_force"] = int(force[SEEKER:].sum())
    env["without_work"] = int(force[SEEKER].sum() + force[WORKER, 0])


def note_cases(env, step, new_infections, new_cases):
    """Keep the last seven days' reported cases, and their sum per week."""
    env["new_infections"] = int(new_infections)
    env["cumulative_infections"] = env.get("cumulative_infections", 0) + int(new_infections)
    env[f"cases_{step % WEEK}"] = int(new_cases)
    env["weekly_cases"] = sum(env.get(f"cases_{day}", 0) for day in range(WEEK))


def share_isolating(world):
    """Return the share of adults who isolate: of all, by age, and of the essential workers."""
    env = world.env
    adults = sum(env[f"adults {group}"] for group in GROUPS)
    shares = {"": sum(env[f"isolating {group}"] for group in GROUPS) / max(adults, 1)}
    for group in (*GROUPS, ESSENTIAL):
        if env[f"adults {group}"]:
            shares[group] = env[f"isolating {group}"] / env[f"adults {group}"]
    return shares


def per_100k(count, world):
    """Return a count per 100,000 people."""
    return 1e5 * count / world.n_agents


MEASURES = (
    Measure("new_infections", lambda w: w.env["new_infections"], "People infected on this day.", "ours", "people", 0),
    Measure(
        "cumulative_infections",
        lambda w: w.env["cumulative_infections"],
        "People infected so far, those at the start included.",
        "ours",
        "people",
        0,
    ),
    Measure(
        "infectious_share",
        lambda w: w.env["n_infectious"] / w.n_agents,
        "Share of people who can infect others.",
        "ours",
        low=0,
        high=1,
    ),
    Measure(
        "weekly_cases",
        lambda w: w.env["weekly_cases"],
        "People found infected by a test in the last seven days.",
        "ours",
        "people",
        0,
    ),
    Measure(
        "cases_per_100k",
        lambda w: per_100k(w.env["weekly_cases"], w),
        "The same per 100,000 people: what everyone hears when deciding.",
        "Chopra et al. (2024), section 5",
        "cases a week",
        0,
    ),
    Measure("deaths", lambda w: w.env["n_dead"], "People who have died of the infection so far.", "ours", "people", 0),
    Measure(
        "isolation_share",
        share_isolating,
        "Share of the adults alive who stay at home, for all, by age, and of the essential workers.",
        "Chopra et al. (2024), section 5",
        low=0,
        high=1,
    ),
    Measure(
        "unemployment_rate",
        lambda w: w.env["without_work"] / max(w.env["labour_force"], 1),
        "Share of the labour force that looks for a job or does not work in this week.",
        "Chopra et al. (2024), section 5",
        low=0,
        high=1,
    ),
)

"""What is counted of the city each day, and the measures that read these counts from the environment."""

import numpy as np
from numba import njit

from engine import Measure

SUSCEPTIBLE, EXPOSED, INFECTIOUS, RECOVERED, DEAD = range(5)
WEEK = 7
GROUP_STARTS = (18, 30, 45, 65)
GROUPS = ("18-29", "30-44", "45-64", "65+")
ESSENTIAL = "essential workers"
ADULT = GROUP_STARTS[0]


@njit(cache=True, nogil=True)
def _tally(health, isolating, working, age, essential, worker, seeker, starts):
    """Return (people by health (5,), adults and isolating adults by group (n_groups + 1, 2), labour (2,)).

    The last group is that of the essential workers; labour holds the labour force and those of it without work.
    """
    states, groups, labour = np.zeros(5, np.int64), np.zeros((starts.size + 1, 2), np.int64), np.zeros(2, np.int64)
    for i in range(health.size):
        states[health[i]] += 1
        if health[i] == DEAD or age[i] < starts[0]:
            continue
        group = 0
        while group + 1 < starts.size and age[i] >= starts[group + 1]:
            group += 1
        groups[group, 0] += 1
        groups[group, 1] += isolating[i]
        if essential[i]:
            groups[starts.size, 0] += 1
            groups[starts.size, 1] += isolating[i]
        if worker[i] or seeker[i]:
            labour[0] += 1
            labour[1] += seeker[i] or not working[i]
    return states, groups, labour


def count_city(world, people):
    """Put today's counts of people by health, of isolating adults and of the labour force into the environment.

    Args:
        world: The world.
        people: What `read_people` of the scenario gives.
    """
    population, env = world.population, world.env
    states, groups, labour = _tally(
        population["health"],
        population["isolating"],
        population["working"],
        people.age,
        people.essential,
        people.worker,
        people.seeker,
        np.array(GROUP_STARTS),
    )
    for name, count in zip(("susceptible", "exposed", "infectious", "recovered", "dead"), states.tolist(), strict=True):
        env[f"n_{name}"] = count
    for name, (adults, isolating) in zip((*GROUPS, ESSENTIAL), groups.tolist(), strict=True):
        env[f"adults {name}"], env[f"isolating {name}"] = adults, isolating
    env["labour_force"], env["without_work"] = labour.tolist()


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

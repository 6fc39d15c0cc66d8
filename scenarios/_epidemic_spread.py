"""How the infection of the city passes over ties, runs its course, and how many a first case infects.

A tie of a layer transmits with a probability per day; an infectious period is geometric with a mean of at least one
day. All draws are keyed by days since infection, not by step: those of a tie by layer, source and target, those of a
person by the person. So under two policies the same people recover as fast and infect the same contacts, as far as the
policies let them.
"""

import numpy as np
from numba import njit
from scipy.optimize import brentq

from engine import MicrocosmError, keyed_uniform

SUSCEPTIBLE, EXPOSED, INFECTIOUS, RECOVERED, DEAD = range(5)
REDUCED, IDLE, VACCINATED = 1, 2, 4  # flags of a person: isolating or in quarantine; not at work; vaccinated
CLOSED = np.int8(-1)  # in place of the flags of someone who cannot be infected

# Infection fatality in percent = 10 ** (LEVIN_CONSTANT + LEVIN_SLOPE * age), at most 100.
LEVIN_CONSTANT = -3.27  # Levin et al. (2020), European Journal of Epidemiology 35, 1123
LEVIN_SLOPE = 0.0524  # the same, per year of age


def infection_fatality(age):
    """Return the probability that an infection kills, float64, by age in years.

    Source: Levin et al. (2020), European Journal of Epidemiology 35, p. 1123: log10(IFR in %) = -3.27 + .0524 age.
    """
    return np.minimum(10.0 ** (LEVIN_CONSTANT + LEVIN_SLOPE * np.asarray(age, np.float64)), 100.0) / 100.0


def passing_chance(p, leaving):
    """Return the probability that a tie transmits before its infectious end recovers.

    Args:
        p: Chance per day, in [0, 1].
        leaving: Chance per day of the end of the infectious period, in (0, 1]; it lasts at least a day.

    With D days infectious, P(D = k) = leaving (1 - leaving)^(k-1), this is 1 - E[(1-p)^D] = p / (p + leaving -
    p leaving).
    """
    return p / (p + leaving - p * leaving)


def count_secondary(factor, layers, leaving):
    """Return how many people a first case, drawn at random, infects on average while everyone else is susceptible.

    Args:
        factor: Multiplies each layer's chance; a chance of more than 1 counts as 1.
        layers: (mean number of ties, chance per day) of each layer.
        leaving: Chance per day of the end of the infectious period.

    Source: sum over ties of the chance that a tie transmits, Newman (2002), Physical Review E 66, 016128, eq. 2; ours
    in that the mean is over people, not over ends of ties. A pair with ties in two layers counts twice.
    """
    return sum(degree * passing_chance(min(1.0, factor * p), leaving) for degree, p in layers if p > 0)


def fit_factor(target, layers, leaving):
    """Return the factor at which a first case infects `target` people on average.

    Raises:
        MicrocosmError: even certain transmission over every tie stays below the target.
    """
    most = sum(degree for degree, p in layers if p > 0)
    if target <= 0:
        return 0.0
    if most <= target:
        raise MicrocosmError(
            f"r0 = {target:g} needs more ties: those with a chance of transmission number {most:.3g} a person; "
            "lower params.r0, add ties, or set params.transmission = 'as_given'"
        )
    highest = 1.0
    while count_secondary(highest, layers, leaving) < target:
        highest *= 2
    return float(brentq(lambda f: count_secondary(f, layers, leaving) - target, 0.0, highest, xtol=1e-12))


@njit(cache=True, nogil=True)
def date_cases(health, infected_on, step):
    """Let cases that the start or an intervention made count as infected at `step`, in place."""
    for i in range(health.size):
        if infected_on[i] < 0 and (health[i] == EXPOSED or health[i] == INFECTIOUS):
            infected_on[i] = step


@njit(cache=True, nogil=True)
def pass_on(
    sources, infected_on, flags, own_flags, indptr, indices, p, residual, shield, outside, work, step, key, infected
):
    """Mark in `infected` whom the infectious infect over one layer, and return how many new ones there are.

    Args:
        sources: Ids of the infectious, int64.
        infected_on: Step of infection (n,).
        flags: int8 (n,): the flags of the susceptible, CLOSED for all others.
        own_flags: int8 (n,): the flags of everyone.
        indptr: Rows of the layer's ties.
        indices: Neighbours.
        p: Chance per tie and day.
        residual: Share of contacts that isolation leaves, for each of the two ends.
        shield: Share of infections that the vaccine lets through.
        outside: Whether isolation reduces the layer, that is, whether it is not the household.
        work: Whether those who do not work have no contacts in the layer.
        step: Step of the run.
        key: Key of the layer's stream.
        infected: Boolean (n,).
    """
    found = 0
    for i in sources:
        mine = own_flags[i]
        if work and mine & IDLE:
            continue
        base = p * residual if outside and mine & REDUCED else p
        days = step - infected_on[i]
        for e in range(indptr[i], indptr[i + 1]):
            j = indices[e]
            theirs = flags[j]
            if theirs < 0 or infected[j] or (work and theirs & IDLE):
                continue
            chance = base
            if outside and theirs & REDUCED:
                chance *= residual
            if theirs & VACCINATED:
                chance *= shield
            if keyed_uniform(key, days, i, j, 0) < chance:
                infected[j] = True
                found += 1
    return found


@njit(cache=True, nogil=True)
def pass_to_all(flags, n_free, n_reduced, p, residual, shield, step, key, infected):
    """Mark in `infected` whom the infectious infect in a layer in which everyone is tied to everyone.

    Args:
        flags: int8 (n,): the flags of the susceptible, CLOSED for all others.
        n_free: Infectious people without reduced contacts.
        n_reduced: Infectious people with reduced contacts.
        p: Chance per tie and day.
        residual: Share of contacts that isolation leaves.
        shield: Share of infections that the vaccine lets through.
        step: Step of the run.
        key: Key of the stream.
        infected: Boolean (n,).
    """
    chances = np.empty(8)
    for code in range(8):
        one = p * (residual if code & REDUCED else 1.0) * (shield if code & VACCINATED else 1.0)
        if one >= 1.0:
            chances[code] = 1.0 if n_free + n_reduced > 0 else 0.0
        else:
            chances[code] = -np.expm1(n_free * np.log1p(-one) + n_reduced * np.log1p(-one * residual))
    for j in range(flags.size):
        if flags[j] >= 0 and chances[flags[j]] > 0 and keyed_uniform(key, step, 0, j, 0) < chances[flags[j]]:
            infected[j] = True


@njit(cache=True, nogil=True)
def run_course(
    health, infected, infected_on, age, vaccinated, fatality, protection, onset, leaving, entry, step, keys, out
):
    """Write the health at t + 1 into `out` from that at t.

    Args:
        health: int8 (n,).
        infected: Boolean (n,), infected in this step.
        infected_on: Step of infection (n,), -1 for none; set for those infected in this step.
        age: Years, integers (n,).
        vaccinated: Boolean (n,).
        fatality: Probability of death by year of age, float64.
        protection: Share of deaths that the vaccine prevents.
        onset: Chance that an exposed person becomes infectious.
        leaving: Chance that an infectious period ends.
        entry: State of a new case.
        step: Step of the run.
        keys: Keys of the streams onset, recovery, death, uint64 (3,).
        out: int8 (n,).
    """
    for i in range(health.size):
        state = health[i]
        after = state
        if infected[i]:
            after = entry
            infected_on[i] = step
        elif state == EXPOSED:
            if keyed_uniform(keys[0], step - infected_on[i], 0, i, 0) < onset:
                after = INFECTIOUS
        elif state == INFECTIOUS and keyed_uniform(keys[1], step - infected_on[i], 0, i, 0) < leaving:
            risk = fatality[min(age[i], fatality.size - 1)]
            if vaccinated[i]:
                risk *= 1.0 - protection
            after = DEAD if risk > 0 and keyed_uniform(keys[2], 0, 0, i, 0) < risk else RECOVERED
        out[i] = after


@njit(cache=True, nogil=True)
def follow_adult(isolating, adult, indptr, indices):
    """Let each minor do as the first adult of the household does; without one, go out as usual."""
    for i in range(isolating.size):
        if not adult[i]:
            isolating[i] = False
            for e in range(indptr[i], indptr[i + 1]):
                if adult[indices[e]]:
                    isolating[i] = isolating[indices[e]]
                    break

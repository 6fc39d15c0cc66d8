"""What the classic scenarios share: ties summed, counted and drawn from, words for shares, states brought along.

All layers act together: a neighbour in two layers counts twice, and who has no tie in any layer is an isolate. A
complete layer stores no ties and is dealt with by counts.
"""

import numpy as np
from numba import njit

from engine import MicrocosmError, Words, keyed_uniform, read_ahead

ELEVEN_SHARES = Words(
    tuple((2 * k + 1) / 20 for k in range(10)),
    (
        "none, or hardly any",
        "about a tenth",
        "about a fifth",
        "about three tenths",
        "about two fifths",
        "about half",
        "about three fifths",
        "about seven tenths",
        "about four fifths",
        "about nine tenths",
        "all, or nearly all",
    ),
)


def given_codes(persona, name, labels):
    """Return the values that a population brings in a column of labels, as codes into `labels`, int8 (n,).

    Raises:
        MicrocosmError: a value that is not one of the labels.
    """
    held = persona.columns[name].labels
    unknown = [label for label in held if label not in labels]
    if unknown or not held:
        raise MicrocosmError(
            f"the population's {name} column holds {', '.join(map(repr, unknown)) or 'no labels'}; "
            f"give {', '.join(map(repr, labels))} @ population.columns.{name}"
        )
    return np.array([labels.index(label) for label in held], np.int8)[persona.values[name]]


def draw_seeds(world):
    """Return n_seeds agents drawn at random.

    Raises:
        MicrocosmError: there are fewer agents.
    """
    n_seeds, n = world.params.n_seeds, world.n_agents
    if n_seeds > n:
        raise MicrocosmError(
            f"n_seeds = {n_seeds} is more than the {n} people; lower params.n_seeds or raise population.size"
        )
    return world.rng("seeds").choice(n, n_seeds, replace=False)


@njit(cache=True, nogil=True)
def _add_neighbours(begin, end, indptr, indices, weights, mirrored, x, total, strength):
    """Add each agent's sum of |w| x over its neighbours to `total` and of |w| to `strength`; no weights mean 1.

    Where `mirrored`, 1 - x stands for the x of a neighbour with w < 0.
    """
    for i in range(begin, end):
        s = total[i]
        if weights.size:
            w_all = strength[i]
            for e in range(indptr[i], indptr[i + 1]):
                read_ahead(x, indices, e)
                w = np.float64(weights[e])
                if w < 0:
                    w = -w
                    s += w * (1 - x[indices[e]] if mirrored else x[indices[e]])
                else:
                    s += w * x[indices[e]]
                w_all += w
            strength[i] = w_all
        else:
            for e in range(indptr[i], indptr[i + 1]):
                read_ahead(x, indices, e)
                s += x[indices[e]]
            strength[i] += indptr[i + 1] - indptr[i]
        total[i] = s


@njit(cache=True, nogil=True)
def _finish_average(begin, end, x, total, strength, mean, tied):
    """Write total / strength into `mean` where there is any weight, else x; and whether there is into `tied`."""
    for i in range(begin, end):
        tied[i] = strength[i] > 0
        mean[i] = total[i] / strength[i] if tied[i] else x[i]


def average_neighbours(network, x, mirrored=True):
    """Return (mean, tied): D^-1 A x with A the sum of all layers' weighted ties, and who has any weight in its row.

    D holds the row sums of |A|. Over a tie of negative weight, an agent sees 1 - x in place of x: on the scale
    y = 2 x - 1, around the middle, that is D^-1 A y with signs and all.

    Args:
        network: The world's network.
        x: float64 (n,).
        mirrored: False to take x itself over negative ties too.

    Source: Altafini (2013), IEEE Transactions on Automatic Control 58, 935-946, in steps of discrete time.

    Returns:
        mean, float64 (n,), equal to x where an agent has no ties; tied, boolean (n,).
    """
    total, strength = np.zeros(x.size), np.zeros(x.size)
    none = np.empty(0, np.float32)
    for graph in network.layers.values():
        if graph.complete:
            total += x.sum() - x
            strength += x.size - 1
        else:
            weights = none if graph.weights is None else graph.weights
            graph.pull(_add_neighbours, weights, mirrored, x, total, strength)
    tied = np.empty(x.size, np.bool_)
    run_over(network, _finish_average, x, total, strength, total, tied)
    return total, tied


def opinion_range(network, *opinions):
    """Return (low, high) that averages of opinions on [0, 1] cannot leave; with negative ties it has 1/2 as its middle.

    Args:
        network: The world's network.
        *opinions: float64 (n,) each.
    """
    low, high = min(x.min() for x in opinions), max(x.max() for x in opinions)
    if any(graph.is_signed for graph in network.layers.values()):
        low = min(low, 1 - high)
        high = 1 - low
    return low, high


def run_over(network, kernel, *arguments):
    """Call `kernel(begin, end, *arguments)` on ranges that cover all agents of a network, on several threads."""
    return next(iter(network.layers.values())).run_ranges(kernel, *arguments)


@njit(cache=True, nogil=True)
def _count_marked(begin, end, indptr, indices, mark, counts):
    for i in range(begin, end):
        k = 0
        for e in range(indptr[i], indptr[i + 1]):
            read_ahead(mark, indices, e)
            k += mark[indices[e]]
        counts[i] += k


def count_neighbours(network, mark):
    """Return (marked, all): each agent's marked neighbours and all its neighbours, int64 (n,) each.

    Args:
        network: The world's network.
        mark: Boolean (n,).
    """
    marked, degree = np.zeros(mark.size, np.int64), np.zeros(mark.size, np.int64)
    for graph in network.layers.values():
        degree += graph.degree()
        if graph.complete:
            marked += int(np.count_nonzero(mark)) - mark
        else:
            graph.pull(_count_marked, mark, marked)
    return marked, degree


@njit(cache=True, nogil=True)
def _append_rows(place, indptr, indices, out):
    for i in range(place.size):
        for e in range(indptr[i], indptr[i + 1]):
            out[place[i]] = indices[e]
            place[i] += 1


def join_layers(network):
    """Return (indptr, indices, n_complete): the stored ties of all layers as one, and how many layers are complete."""
    graphs = list(network.layers.values())
    stored = [graph for graph in graphs if not graph.complete]
    n_complete = len(graphs) - len(stored)
    if len(stored) == 1:
        return stored[0].indptr, stored[0].indices, n_complete
    indptr = np.zeros(graphs[0].n + 1, np.int64)
    for graph in stored:
        indptr += graph.indptr
    indices, place = np.empty(int(indptr[-1]), np.uint32), indptr[:-1].copy()
    for graph in stored:
        _append_rows(place, graph.indptr, graph.indices, indices)
    return indptr, indices, n_complete


@njit(cache=True, nogil=True)
def draw_agents(n, number, step, key):
    """Return the agent of each of `number` updates, any of n alike, drawn with the update's number as turn; int64."""
    agents = np.empty(number, np.int64)
    for k in range(number):
        agents[k] = int(keyed_uniform(key, step, k, 0, 0) * n)
    return agents


@njit(cache=True, nogil=True)
def draw_neighbours(indptr, indices, n_complete, agents, step, key):
    """Return one neighbour of the agent of each update, every tie alike; int64, -1 for an isolate.

    Args:
        indptr: Rows of the stored ties, as `join_layers` gives them.
        indices: Neighbours of the stored ties.
        n_complete: Number of complete layers.
        agents: int64 (k,); the place in it is the turn of the draw.
        step: Step of the run.
        key: Key of the stream.
    """
    u = np.empty(agents.size)
    for k in range(agents.size):
        u[k] = keyed_uniform(key, step, k, agents[k], 0)
    others = indptr.size - 2
    found = np.empty(agents.size, np.int64)
    for k in range(agents.size):  # apart from the draws, so that the memory is read far ahead
        i = agents[k]
        stored = indptr[i + 1] - indptr[i]
        degree = stored + n_complete * others
        place = int(u[k] * degree)
        if degree == 0:
            found[k] = -1
        elif place < stored:
            found[k] = indices[indptr[i] + place]
        else:
            j = (place - stored) % others
            found[k] = j + (j >= i)
    return found


def join_signs(network):
    """Return which of the ties that `join_layers` gives are negative, boolean; empty where none is."""
    graphs = [graph for graph in network.layers.values() if not graph.complete]
    if not any(graph.is_signed for graph in graphs):
        return np.empty(0, np.bool_)
    place = np.zeros(graphs[0].n, np.int64)
    place[1:] = np.cumsum(sum(np.diff(graph.indptr) for graph in graphs))[:-1]
    foe = np.zeros(sum(graph.indices.size for graph in graphs), np.bool_)
    for graph in graphs:
        negative = np.zeros(graph.indices.size, np.bool_) if graph.weights is None else graph.weights < 0
        _append_rows(place, graph.indptr, negative, foe)
    return foe


@njit(cache=True, nogil=True)
def are_foes(indptr, foe, n_complete, agents, step, key):
    """Return whether the tie that `draw_neighbours` draws with the same key is negative, boolean (k,)."""
    others = indptr.size - 2
    found = np.zeros(agents.size, np.bool_)
    for k in range(agents.size):
        i = agents[k]
        stored = indptr[i + 1] - indptr[i]
        place = int(keyed_uniform(key, step, k, i, 0) * (stored + n_complete * others))
        found[k] = place < stored and foe[indptr[i] + place]
    return found


@njit(cache=True, nogil=True)
def _any_difference(x, free, indptr, indices, weights):
    for i in range(x.size):
        if free[i]:
            for e in range(indptr[i], indptr[i + 1]):
                if (x[indices[e]] != x[i]) != (weights.size > 0 and weights[e] < 0):
                    return True
    return False


def any_difference(network, x, free):
    """Tell whether any free agent differs in x from one of its neighbours, or is like one over a negative tie.

    Args:
        network: The world's network.
        x: Integers (n,).
        free: Boolean (n,).
    """
    for graph in network.layers.values():
        if graph.complete and free.any() and x.min() != x.max():
            return True
        weights = graph.weights if graph.is_signed else np.empty(0, np.float32)
        if not graph.complete and _any_difference(x, free, graph.indptr, graph.indices, weights):
            return True
    return False

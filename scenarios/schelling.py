"""Segregation: do neighbourhoods split although hardly anybody wants it?

Question: how far apart do two groups end when people only avoid being a small minority next door?

Mechanism: people live on a grid of cells whose opposite edges touch, one to a cell; the share `density` of the cells is
taken (the grid is the nearest to a square that leaves at least as much room). A person looks at the eight cells around:
the share of people of the same group among those who live there; without anybody next door a person is content. From
the state at t everyone who has neighbours decides whether to move (decision `move`): by rule if that share is below
tolerance, compared with a tolerance of 1e-9. Then, in random order, each of those goes to a uniformly random empty
cell, which may be one that was left just before. Groups are drawn with the share first_share (rounded), cells at
random; a population may bring `group`, or both `x` and `y`. By rule the run stops when all are content, or no cell is
empty. Who lives next door follows from x and y; the network plays no part and has no ties by default.

Source: Schelling (1971), Journal of Mathematical Sociology 1, 143-186; moves to random cells as in Wilensky (1997),
NetLogo Segregation.
Expect: at first the mean share of like neighbours is what chance gives, one half with equal groups. A tolerance of .3
to .5 ends far above, at .73 to .88, where nobody would have minded much less.
Units: one step is one round in which everyone may move once; x and y count cells from 0.
"""

import math

import numpy as np
from numba import njit

from engine import (
    Choice,
    Decision,
    Measure,
    MicrocosmError,
    ScenarioParams,
    column,
    keyed_uniform,
    knob,
    scenario,
)
from scenarios._classics import ELEVEN_SHARES, given_codes

# Constants of the rule: value, source.
TOLERANCE = 0.375  # ours; three of eight, between the 1/3 and 1/2 of Schelling (1971)
DENSITY = 0.9  # ours
ROUNDING = 1e-9  # of a share; ours
SMALLEST = 3  # rows and columns, so that eight different cells lie around each

STAY, MOVE = 0, 1
LABELS = ("circles", "squares")


class Params(ScenarioParams):
    """Knobs of segregation."""

    tolerance: float = knob(TOLERANCE, help="Share of like neighbours below which a person moves.", ge=0, le=1)
    density: float = knob(DENSITY, help="Share of the cells that are taken.", at_setup=True, ge=0.01, le=1)
    first_share: float = knob(0.5, help="Share of people in the first group.", at_setup=True, ge=0, le=1)


def too_few_alike(seen):
    """Move where the share of like neighbours is below tolerance; Schelling (1971)."""
    return np.where(seen["share"] < seen.params.tolerance - ROUNDING, MOVE, STAY)


move = Decision(
    "move",
    Choice("stay", "move"),
    rule=too_few_alike,
    preamble="A town is home to two groups of people. Now and then everyone considers whether to stay in their home or "
    "to move to an empty one somewhere else in town.",
    question="Do you stay where you live, or move?",
    shows={"share": ELEVEN_SHARES},
    labels={"share": "Of your neighbours, this many belong to your own group"},
    persona_fields=("age", "marital", "big5_o"),
)


@njit(cache=True, nogil=True)
def _look_around(x, y, group, board):
    """Return (like, all): neighbours of the same group and all neighbours on the torus, int8 (n,) each.

    Args:
        x: Column of each agent, int32 (n,).
        y: Row of each agent, int32 (n,).
        group: int8 (n,).
        board: int8 (rows, columns), 0 for empty, else group + 1.
    """
    rows, columns = board.shape
    like, present = np.zeros(x.size, np.int8), np.zeros(x.size, np.int8)
    for i in range(x.size):
        own, same, others = group[i] + 1, 0, 0
        here, row = np.int64(x[i]), np.int64(y[i])
        left, right = here - 1 if here > 0 else columns - 1, here + 1 if here < columns - 1 else 0
        above, below = row - 1 if row > 0 else rows - 1, row + 1 if row < rows - 1 else 0
        for r in (above, row, below):
            for c in (left, here, right):
                found = board[r, c]
                same += found == own
                others += found > 0
        like[i], present[i] = same - 1, others - 1
    return like, present


@njit(cache=True, nogil=True)
def _relocate(movers, x, y, empty, columns, step, key):
    """Let the movers go, in order, each to a random one of the empty cells, leaving its own to the next."""
    for i in movers:
        k = int(keyed_uniform(key, step, 0, i, 0) * empty.size)
        left = y[i] * columns + x[i]
        y[i], x[i] = empty[k] // columns, empty[k] % columns
        empty[k] = left


def choose_grid(n, density):
    """Return (rows, columns) of the grid nearest to a square on which n people take at most the share `density`."""
    cells = math.ceil(n / density - ROUNDING)
    columns = max(SMALLEST, round(math.sqrt(cells)))
    return max(SMALLEST, -(-cells // columns)), columns


def fill_board(world):
    """Return the board of groups, int8 (rows, columns), 0 for empty.

    Raises:
        MicrocosmError: somebody lives outside the grid, or two in one cell.
    """
    rows, columns = world.env["rows"], world.env["columns"]
    x, y = world.population["x"], world.population["y"]
    outside = np.flatnonzero((x < 0) | (x >= columns) | (y < 0) | (y >= rows))
    if outside.size:
        i = outside[0]
        raise MicrocosmError(
            f"{outside.size} people live outside the grid, the first is agent {i} at x = {x[i]}, y = {y[i]}; "
            f"x must lie in 0 to {columns - 1} and y in 0 to {rows - 1}"
        )
    taken = np.bincount(y.astype(np.int64) * columns + x, minlength=rows * columns)
    if taken.max() > 1:
        cell = int(np.argmax(taken > 1))
        raise MicrocosmError(
            f"{taken[cell]} people live in the cell x = {cell % columns}, y = {cell // columns}; "
            "give each a cell of its own"
        )
    board = np.zeros((rows, columns), np.int8)
    board[y, x] = world.population["group"] + 1
    return board


def look_around(world, board):
    """Return (like_share, neighbours): float64 (n,), 1 where there are no neighbours, and int8 (n,)."""
    population = world.population
    like, present = _look_around(population["x"], population["y"], population["group"], board)
    return np.where(present > 0, like / np.maximum(present, 1), 1.0), present


def choose_movers(world, board):
    """Return the agents who decide to move, ascending, from what everyone sees at t."""
    share, present = look_around(world, board)
    asked = np.flatnonzero(present > 0)
    if world.decided_by_rule(move):
        return asked[share[asked] < world.params.tolerance - ROUNDING]
    return asked[world.decide(move, asked, share=share[asked]) == MOVE]


def keep_view(world):
    """Store what everyone sees in the columns that show it."""
    share, present = look_around(world, fill_board(world))
    world.population["like_share"] = share.astype(world.population["like_share"].dtype)
    world.population["neighbours"] = present


def segregation(world):
    """Return the mean share of like neighbours over all who have neighbours; 0 where nobody has."""
    share = world.population["like_share"][world.population["neighbours"] > 0]
    return share.mean(dtype=float) if share.size else 0.0


def unhappy_share(world):
    """Return the share of people whose like neighbours are fewer than tolerance asks for."""
    return np.count_nonzero(world.population["like_share"] < world.params.tolerance - ROUNDING) / world.n_agents


@scenario(
    "schelling",
    title="Segregation",
    family="neighbourhoods",
    promise="Nobody asks for more than a few neighbours of their own kind, and yet the town falls apart into blocks.",
    params=Params,
    source="Schelling 1971",
    steps=60,
    defaults={
        "population": {"size": 1440, "recipe": "adults_generic"},
        "network": {"kind": "erdos_renyi", "mean_degree": 0.0},
    },
)
class Schelling:
    """Two groups on a torus who move away from too few of their own."""

    display = "group"
    columns = {
        "like_share": column(
            "float64", help="Share of neighbours of the same group; 1 without any.", low=0, high=1, initial=1.0
        ),
        "group": column("int8", labels=LABELS, help="Group that the person belongs to."),
        "x": column("int32", unit="cells", help="Column of the person's cell, from 0."),
        "y": column("int32", unit="cells", help="Row of the person's cell, from 0."),
        "neighbours": column("int8", help="People in the eight cells around.", low=0, high=8),
    }
    decisions = (move,)
    measures = (
        Measure(
            "segregation",
            segregation,
            "Mean share of like neighbours, over those who have any.",
            "Schelling (1971)",
            "",
            0,
            1,
        ),
        Measure(
            "unhappy_share",
            unhappy_share,
            "Share of people with fewer like neighbours than tolerance asks.",
            "ours",
            "",
            0,
            1,
        ),
    )

    def setup(self, world):
        """Draw groups and cells, unless the population brought them."""
        params, n, population = world.params, world.n_agents, world.population
        rows, columns = choose_grid(n, params.density)
        world.env["rows"], world.env["columns"] = rows, columns
        if "group" in world.given:
            population["group"] = given_codes(world.persona, "group", LABELS)
        else:
            group = np.ones(n, np.int8)
            group[world.rng("group").permutation(n)[: round(params.first_share * n)]] = 0
            population["group"] = group
        placed = {"x", "y"} & world.given
        if len(placed) == 1:
            raise MicrocosmError(f"the population brings {placed.pop()} alone; give both x and y, or neither")
        if not placed:
            cells = world.rng("cell").permutation(rows * columns)[:n].astype(np.int32)
            population["y"], population["x"] = np.divmod(cells, np.int32(columns))
        keep_view(world)

    def step(self, world):
        """Let everyone decide, then move those who want to."""
        population, board = world.population, fill_board(world)
        movers, empty = choose_movers(world, board), np.flatnonzero(board.ravel() == 0)
        if movers.size and empty.size:
            order = world.rng("order").permutation(movers)
            x, y = population["x"].copy(), population["y"].copy()
            _relocate(order, x, y, empty, world.env["columns"], world.step, world.key("cell"))
            population["x"], population["y"] = x, y
        keep_view(world)
        if not empty.size:
            world.settle("no cell is empty")
        elif world.decided_by_rule(move) and not movers.size:
            world.settle("everyone is content")

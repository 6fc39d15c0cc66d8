"""`schelling` against counts by hand and chance; statistical tolerances are four standard errors."""

import numpy as np
import pytest
from scipy.stats import chi2

from engine import MicrocosmError, load_study, simulate
from engine.simulation import build_world
from engine.world import World
from scenarios import schelling


def started(*overrides, replicate=0, people=None):
    """Return (scenario, world) after set-up without personas; `people` may give x, y and group."""
    if people is None:
        study = load_study("schelling", ["population={size=400}", *overrides])
    else:
        population = {"size": len(people["x"]), "columns": people}
        study = load_study({"scenario": "schelling", "population": population}, overrides)
    world = build_world(study, replicate=replicate)
    instance = world.info.build()
    instance.setup(world)
    return instance, world


def look_by_rolling(world):
    """Return (like, all) neighbours of each agent from eight shifted copies of the board."""
    rows, columns = world.env["rows"], world.env["columns"]
    x, y, group = (world.population[name] for name in ("x", "y", "group"))
    board = np.zeros((rows, columns), int)
    board[y, x] = group + 1
    like, present = np.zeros(x.size, int), np.zeros(x.size, int)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            if dx or dy:
                beside = np.roll(board, (-dy, -dx), axis=(0, 1))[y, x]
                present += beside > 0
                like += beside == group + 1
    return like, present


@pytest.mark.parametrize(("density", "first_share"), [(0.9, 0.5), (0.3, 0.2), (1.0, 0.7), (0.02, 0.5)])
def test_views_are_counts_over_the_eight_cells_of_the_torus(density, first_share):
    instance, world = started(f"params.density={density}", f"params.first_share={first_share}", "params.tolerance=0.6")
    for _ in range(3):
        like, present = look_by_rolling(world)
        share = np.where(present > 0, like / np.maximum(present, 1), 1.0)
        np.testing.assert_array_equal(world.population["like_share"], share)
        np.testing.assert_array_equal(world.population["neighbours"], present)
        measures = {name: value for (name, _), value in world.measure().items()}
        assert measures["segregation"] == pytest.approx(share[present > 0].mean() if present.any() else 0.0)
        assert measures["unhappy_share"] == pytest.approx(((present > 0) & (like < 0.6 * present - 1e-9)).mean())
        world.begin_step()
        instance.step(world)


@pytest.mark.parametrize(("first_share", "density"), [(0.5, 0.9), (0.2, 0.8), (0.35, 0.5), (1.0, 0.5)])
def test_at_the_start_chance_gives_the_mean_like_share(first_share, density):
    runs, n = 60, 400
    sizes = np.array([round(first_share * n), n - round(first_share * n)])
    expected = (sizes / n * (sizes - 1) / (n - 1)).sum()  # each of the others is as likely to be next door
    overrides = [f"params.first_share={first_share}", f"params.density={density}"]
    found = [schelling.segregation(started(*overrides, replicate=r)[1]) for r in range(runs)]
    assert abs(np.mean(found) - expected) <= 4 * np.std(found, ddof=1) / np.sqrt(runs) + 1e-12


def test_with_tolerance_0_nobody_moves():
    instance, world = started("params.tolerance=0.0")
    before = {name: world.population[name].copy() for name in ("x", "y", "group")}
    world.begin_step()
    instance.step(world)
    assert world.settled == "everyone is content"
    assert all(np.array_equal(world.population[name], values) for name, values in before.items())
    assert schelling.unhappy_share(world) == 0


@pytest.mark.parametrize("tolerance", [0.3, 0.375, 0.4, 0.5])
def test_a_mild_tolerance_ends_in_segregation(tolerance):
    runs, rise = 6, []
    study = load_study(
        "schelling", ["population={size=900}", f"params.tolerance={tolerance}", "params.density=0.85", "steps=300"]
    )
    for replicate in range(runs):
        records = [r.measures["segregation", ""] for r in simulate(study, replicate=replicate)]
        rise.append(records[-1] - records[0])
    assert np.mean(rise) - 4 * np.std(rise, ddof=1) / np.sqrt(runs) > 0.15


@pytest.mark.parametrize("tolerance", [0.3, 0.5])
def test_a_run_ends_when_all_are_content(tolerance):
    last = list(
        simulate(load_study("schelling", ["population={size=500}", f"params.tolerance={tolerance}", "steps=500"]))
    )[-1]
    assert last.stopped == "everyone is content"
    like, present = look_by_rolling(last.world)
    assert (like >= tolerance * present - 1e-9).all()
    assert last.measures["unhappy_share", ""] == 0


@pytest.mark.parametrize(("tolerance", "like", "alike", "content"), [
    (1 / 3, 1, 3, True), (0.375, 3, 8, True), (0.376, 3, 8, False), (0.6, 3, 5, True), (1.0, 5, 6, False),
    (1.0, 6, 6, True),
])  # fmt: skip
def test_tolerance_compares_counts(tolerance, like, alike, content):
    around = [(0, 0), (1, 0), (2, 0), (0, 1), (2, 1), (0, 2), (1, 2), (2, 2)][:alike]
    x, y = [1, *(place[0] for place in around)], [1, *(place[1] for place in around)]
    group = [0, *(0 if k < like else 1 for k in range(alike))]
    people = {"x": x, "y": y, "group": [schelling.LABELS[g] for g in group]}
    _, world = started(f"params.tolerance={tolerance}", f"params.density={len(x) / 40}", people=people)
    movers = schelling.choose_movers(world, schelling.fill_board(world))
    assert (0 not in movers) == content


def test_only_the_discontent_move_and_each_to_a_cell_of_its_own():
    instance, world = started("params.tolerance=0.55", "params.density=0.8")
    for _ in range(5):
        like, present = look_by_rolling(world)
        discontent = like < 0.55 * present - 1e-9
        places = world.population["y"].astype(int) * world.env["columns"] + world.population["x"]
        world.begin_step()
        instance.step(world)
        after = world.population["y"].astype(int) * world.env["columns"] + world.population["x"]
        assert np.array_equal(after != places, discontent)  # its own cell is empty only after it left
        assert np.unique(after).size == after.size
        cells = world.env["rows"] * world.env["columns"]
        open_ = np.setdiff1d(np.arange(cells), places[~discontent])
        assert np.isin(after[discontent], open_).all()


def test_the_new_cell_is_uniform_over_the_empty_ones():
    people = {"x": [0, 1, 0], "y": [0, 0, 1], "group": ["circles", "squares", "squares"]}
    instance, world = started("params.tolerance=0.4", "params.density=0.08334", people=people)  # 6 x 6 cells
    assert world.env == {"rows": 6, "columns": 6}
    found = np.zeros(36, int)
    for _ in range(6600):
        world.population["x"], world.population["y"] = np.array([[0, 1, 0], [0, 0, 1]], np.int32)
        world.begin_step()
        instance.step(world)
        found[world.population["y"][0] * 6 + world.population["x"][0]] += 1
    assert not found[[0, 1, 6]].any()
    counts = np.delete(found, [0, 1, 6])
    assert ((counts - 200) ** 2 / 200).sum() < chi2.ppf(0.9999, 32)


def test_the_order_of_moves_is_random():
    """With one empty cell whoever moves first takes it: two discontent people are as likely to be first."""
    cells = [(x, y) for y in range(3) for x in range(3)][:8]
    people = {"x": [c[0] for c in cells], "y": [c[1] for c in cells], "group": ["circles"] * 2 + ["squares"] * 6}
    instance, world = started("params.tolerance=0.2", "params.density=0.9", people=people)
    runs, first = 3000, 0
    for _ in range(runs):
        world.population["x"], world.population["y"] = np.array(
            [[c[0] for c in cells], [c[1] for c in cells]], np.int32
        )
        world.begin_step()
        movers = schelling.choose_movers(world, schelling.fill_board(world))
        assert movers.tolist() == [0, 1]
        instance.step(world)
        first += world.population["x"][0] == 2 and world.population["y"][0] == 2
    assert abs(first / runs - 0.5) <= 4 * 0.5 / np.sqrt(runs)


def test_kernel_equals_the_rule_through_decide(monkeypatch):
    study = load_study(
        "schelling", ["population={size=1000}", "params.tolerance=0.6", "params.density=0.7", "steps=12"]
    )
    fused = [{n: r.world.population[n].copy() for n in ("x", "y", "like_share")} for r in simulate(study)]
    monkeypatch.setattr(World, "decided_by_rule", lambda self, decision: False)
    asked = 0
    for step, record in enumerate(simulate(study)):
        for name, values in fused[step].items():
            np.testing.assert_array_equal(record.world.population[name], values)
        asked += sum(batch.agents.size for batch in record.decisions)
    assert asked > 11_000


@pytest.mark.parametrize(("n", "density"), [(1, 1.0), (5, 0.9), (100, 1.0), (1440, 0.9), (777, 0.33), (10_007, 0.95)])
def test_the_grid_has_room_and_is_nearly_square(n, density):
    rows, columns = schelling.choose_grid(n, density)
    assert rows >= 3 and columns >= 3
    assert rows * columns * density >= n - 1e-6
    assert abs(rows - columns) <= 2
    if n > 100:
        assert n / (rows * columns) > 0.93 * density


def test_a_full_grid_stands_still():
    last = list(simulate(load_study("schelling", ["population={size=400}", "params.density=1.0", "steps=9"])))[-1]
    assert last.step == 1 and last.stopped == "no cell is empty"


def test_refusals():
    people = {"x": [0, 0], "y": [1, 1], "group": ["circles", "squares"]}
    with pytest.raises(MicrocosmError, match="2 people live in the cell x = 0, y = 1"):
        started(people=people)
    with pytest.raises(MicrocosmError, match=r"agent 1 at x = 9, y = 1; x must lie in 0 to 2"):
        started(people=people | {"x": [0, 9]})
    with pytest.raises(MicrocosmError, match="brings x alone"):
        started(people={"x": [0, 1]})
    with pytest.raises(MicrocosmError, match="'triangles'"):
        started(people=people | {"group": ["circles", "triangles"], "x": [0, 1]})

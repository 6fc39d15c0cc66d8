"""The mechanism that `fishery`, `pasture`, `pollution` and `trash` share: a stock, requests, shares, talk, collapse.

A month: everyone privately asks for 0 to 100 units of the stock h (decision `harvest`); if that is more than there is,
it is shared out; S = h - what was received; the run ends when S is too low, tested after the harvest and before growth;
otherwise the stock grows. Then, with talk, a moderator reports every request and catch and opens one conversation of at
most ten turns, after which those who are not played by the rule write down what they want to remember.

Source: Piatti et al. (2024), Cooperate or Collapse, 2404.16698; Curvo et al. (2025), its reproducibility study,
2505.09289, for the inverse.
"""

from typing import Literal

import numpy as np

from engine import Measure, MicrocosmError, ScenarioParams, column, gain_equality, knob
from scenarios._commons_words import LARGEST_REQUEST

# Constants of the mechanism and its rules: value, source.
CAP = 100  # stock at the start and at most; Piatti et al. (2024), setting
GROWTH = 2.0  # factor from month to month; Piatti et al. (2024), setting
THRESHOLD = 5.0  # the run ends below; Piatti et al. (2024), setting
PEOPLE = 5  # Piatti et al. (2024), setting
MONTHS = 12  # Piatti et al. (2024), setting
TALK_TURNS = 10  # utterances in one conversation at most; Piatti et al. (2024), setting
JOIN_AFTER = 3  # months that the newcomer misses; Piatti et al. (2024), newcomer experiment
FIXED_REQUEST = 12  # ours; five people who ask for 12 end the fishery in month 3
SLACK = 1e-9  # against rounding where a share is a whole number; ours


class CommonsParams(ScenarioParams):
    """Knobs of a shared stock."""

    rule: Literal["sustainable", "fixed", "greedy"] = knob(
        "sustainable",
        help="What people do by rule: an equal share of what regrows, a fixed request, or all they can get.",
    )
    fixed_request: int = knob(
        FIXED_REQUEST, unit="units", help="Request of each person under rule = fixed.", ge=0, le=LARGEST_REQUEST
    )
    cap: float = knob(CAP, unit="units", help="Largest stock, and the stock at the start.", ge=1, le=10_000)
    growth: float = knob(GROWTH, unit="x per month", help="Factor by which what is left grows.", gt=1, le=10)
    threshold: float = knob(THRESHOLD, unit="units", help="Everything is over when less than this is left.", ge=0)
    allocation: Literal["stochastic", "proportional"] = knob(
        "stochastic", help="How too little is shared out: unit by unit at random, or in proportion to the requests."
    )
    talk: bool = knob(False, help="Whether people learn every request and talk after each month.")
    hint: bool = knob(False, help="Whether people are told what would happen if everyone took more than a fair share.")
    newcomer: bool = knob(
        False,
        help="Whether the last person joins only after month 3, told to make as much money as possible.",
        at_setup=True,
    )


def share_out(wanted, stock, allocation, rng):
    """Return what each receives, int64 (n,): the requests, or the whole units of a stock that is too small for them.

    Args:
        wanted: Requests in whole units, int64 (n,).
        stock: Units there are, not negative.
        allocation: "stochastic": one unit at a time to a uniformly random person who still wants more; "proportional":
            the floor of the proportional share, the remainder to random persons, one unit each.
        rng: Generator of this step.

    Source: Piatti et al. (2024), setting; the order of units is that of their code.
    """
    total = int(wanted.sum())
    if total <= stock:
        return wanted.copy()
    units = int(np.floor(stock + SLACK))
    if allocation == "proportional":
        received = np.floor(wanted * stock / total + SLACK).astype(np.int64)
        more = np.flatnonzero(received < wanted)
        received[rng.permutation(more)[: units - int(received.sum())]] += 1
        return received
    received = np.zeros_like(wanted)
    hungry = np.flatnonzero(wanted > 0)
    for _ in range(units):
        person = hungry[rng.integers(hungry.size)]
        received[person] += 1
        if received[person] == wanted[person]:
            hungry = hungry[hungry != person]
    return received


def commons_columns(unit, total="gain", total_help="What the person has received in all months."):
    """Return the state columns of a commons scenario."""
    return {
        total: column("float64", unit=unit, help=total_help, low=0),
        "wanted": column("int64", unit=unit, help="What the person asked for this month.", low=0, high=LARGEST_REQUEST),
        "received": column(
            "int64", unit=unit, help="What the person received this month.", low=0, high=LARGEST_REQUEST
        ),
        "present": column("bool", help="Whether the person takes part yet.", initial=1),
        "transcript": column("int64", help="Text id of the last conversation heard; -1 for none.", initial=-1),
        "reflection": column("int64", help="Text id of the last reflection; -1 for none.", initial=-1),
    }


def totals(world, name="gain"):
    """Return the totals of those who take part."""
    return world.population[name][world.population["present"]]


def commons_measures(efficiency, unit, total="gain", overuse_help=""):
    """Return the measures that all four scenarios have.

    Args:
        efficiency: Formula of the efficiency.
        unit: Unit of what is received.
        total: Column of each person's total.
        overuse_help: Sentence of `overuse_share`.
    """
    piatti = "Piatti et al. (2024), metrics"
    return (
        Measure("stock", lambda w: w.env["stock"], "Stock at the start of the next month.", piatti, low=0),
        Measure(
            "survival_months",
            lambda w: w.env["months"],
            "Months until the end; the month of a collapse counts.",
            piatti,
            "months",
            0,
        ),
        Measure("collapsed", lambda w: float(w.env["collapsed"]), "1 if it ended in a collapse.", piatti, "", 0, 1),
        Measure(
            f"{total}_mean", lambda w: totals(w, total).mean(), f"Mean {total} per person so far.", piatti, unit, low=0
        ),
        Measure(
            "efficiency",
            efficiency,
            "1 - shortfall from the largest sustainable total of the whole game.",
            piatti,
            "",
            0,
            1,
        ),
        Measure(
            "gain_equality",
            lambda w: gain_equality(totals(w, total)),
            f"1 - Gini coefficient of {total}; 1 if nobody has anything.",
            piatti,
            "",
            0,
            1,
        ),
        Measure(
            "overuse_share",
            lambda w: w.env["overuse"] / max(w.env["agent_months"], 1),
            overuse_help,
            piatti,
            "",
            0,
            1,
        ),
    )


def months_efficiency(received, per_month, months):
    """Return 1 - max(0, T x per_month - received) / (T x per_month), in [0, 1].

    Args:
        received: Total of all people and months so far.
        per_month: Largest total that can be sustained each month.
        months: T, the months of the whole game.

    Source: Piatti et al. (2024), metrics, with T the months of the game.
    """
    best = months * per_month
    return float(1.0 - max(0.0, best - received) / best) if best > 0 else 1.0


class Commons:
    """Steps of a commons scenario; subclasses give the words and the growth of the stock.

    Class attributes: `wording`, `harvest`, `utterance`, `reflection`, and `total`, the column of each person's total.
    """

    total = "gain"

    def fair_share(self, params, stock, n_people):
        """Return the largest request that keeps the stock if everyone makes it, a real number.

        Source: Piatti et al. (2024), metrics: h / (2N) at growth 2, here h (1 - 1 / growth) / N.
        """
        return stock * (1 - 1 / params.growth) / n_people

    def overuses(self, received, share):
        """Tell for each person whether this was more than the fair share."""
        return received > share + SLACK

    def is_over(self, params, left):
        """Tell whether what is left after the harvest is too little."""
        return left < params.threshold

    def grow(self, params, left):
        """Return the stock of the next month."""
        return min(params.cap, params.growth * left)

    def setup(self, world):
        """Fill the stock and, with a newcomer, let the last person wait."""
        world.env.update(
            stock=float(world.params.cap), months=0, collapsed=False, overuse=0, agent_months=0, received=0.0
        )
        if world.params.newcomer:
            if world.n_agents < 2:
                raise MicrocosmError("a newcomer needs somebody to join; give population.size = 2 or more")
            world.population["present"] = np.arange(world.n_agents) < world.n_agents - 1

    def step(self, world):
        """Run one month: request, share out, test, grow, talk."""
        params, env, population = world.params, world.env, world.population
        if params.newcomer and world.step == JOIN_AFTER + 1:
            population["present"] = np.ones(world.n_agents, bool)
            world.emit("joined", world.n_agents - 1)
        people, stock = np.flatnonzero(population["present"]), env["stock"]
        share = self.fair_share(params, stock, people.size)
        wanted = self.ask(world, people, stock, share)
        received = share_out(wanted, stock, params.allocation, world.rng("allocation"))
        for name, values in (("wanted", wanted), ("received", received)):
            population[name] = _placed(population[name], people, values)
        population[self.total] = _placed(population[self.total], people, population[self.total][people] + received)
        env["months"] += 1
        env["received"] += float(received.sum())
        env["agent_months"] += int(people.size)
        env["overuse"] += int(self.overuses(received, share).sum())
        left = stock - float(received.sum())
        if self.is_over(params, left):
            env.update(stock=left, collapsed=True)
            world.emit("collapse", month=env["months"], left=left)
            world.stop("the stock collapsed")
            return
        env["stock"] = self.grow(params, left)
        if params.talk:
            self.talk(world, people, wanted, received)

    def ask(self, world, people, stock, share):
        """Return everyone's request, int64."""
        population = world.population
        hint = -1
        if world.params.hint:
            hint = world.add_text(self.wording.hint.format(share=int(share + SLACK)))
        aim = self.aims(world, people)
        first_month = np.where(aim == 1, JOIN_AFTER + 1, 1)
        heard = {name: population[name][people] for name in ("transcript", "reflection")}
        return world.decide(
            self.harvest,
            people,
            texts={"hint": hint, **heard},
            stock=stock,
            n_people=people.size,
            last=np.where(world.step == first_month, -1, population["received"][people]),
            aim=aim,
        )

    def aims(self, world, people):
        """Return 1 for the newcomer and 0 for the others."""
        return (world.params.newcomer & (people == world.n_agents - 1)).astype(np.int64)

    def talk(self, world, people, wanted, received):
        """Hold the conversation that a moderator opens with every request and catch; then let people reflect."""
        words, population = self.wording, world.population
        reports = [
            f"{world.name(int(person))} asked for {w} and {words.took} {r}"
            for person, w, r in zip(people, wanted, received, strict=True)
        ]
        now = words.now.format(stock=f"{world.env['stock']:.10g}")
        share = int(self.fair_share(world.params, world.env["stock"], people.size) + SLACK)
        columns = {"aim": self.aims(world, people), "wanted": wanted, "received": received}
        heard = world.converse(
            self.utterance,
            people,
            groups=np.zeros(people.size, np.int64),
            turns=TALK_TURNS,
            opening=[f"{now} In {words.unit}: {'; '.join(reports)}."],
            n_people=people.size,
            share=share,
            **columns,
        )
        population["transcript"] = _placed(population["transcript"], people, heard)
        if not world.decided_by_rule(self.harvest):
            kept = world.write(self.reflection, people, texts={"transcript": heard}, turn=TALK_TURNS, **columns)
            population["reflection"] = _placed(population["reflection"], people, kept)


def _placed(values, people, new):
    """Return a copy of a column with new values for some people."""
    changed = values.copy()
    changed[people] = new
    return changed

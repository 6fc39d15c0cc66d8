"""Parameters of each kind of network: defaults, bounds, units and words, from which forms are drawn."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field


class NetworkParams(BaseModel):
    """Base of all generators' parameters: frozen, no unknown names, no infinities."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _knob(default: Any, help: str, unit: str = "", **bounds: Any) -> Any:
    return Field(default, description=help, json_schema_extra={"unit": unit}, **bounds)


class ErdosRenyi(NetworkParams):
    """Parameters of `erdos_renyi`."""

    mean_degree: float = _knob(10.0, "Expected number of ties of an agent.", "ties", ge=0)


class WattsStrogatz(NetworkParams):
    """Parameters of `watts_strogatz`."""

    k: int = _knob(10, "Nearest agents on the ring that each one is tied to; even.", "ties", ge=2, multiple_of=2)
    p_rewire: float = _knob(0.05, "Probability that a tie is led to a random agent instead.", ge=0, le=1)


class BarabasiAlbert(NetworkParams):
    """Parameters of `barabasi_albert`."""

    m: int = _knob(3, "Ties that each newcomer makes, to agents drawn by their number of ties.", "ties", ge=1)


class StochasticBlock(NetworkParams):
    """Parameters of `stochastic_block`."""

    sizes: tuple[Annotated[int, Field(ge=1)], ...] = _knob(
        (), "Agents in each group, in order of agent id; none given means two equal halves.", "agents"
    )
    p_within: float = _knob(0.02, "Probability of a tie between two agents of one group.", ge=0, le=1)
    p_between: float = _knob(0.001, "Probability of a tie between agents of different groups.", ge=0, le=1)


class Configuration(NetworkParams):
    """Parameters of `configuration`."""

    degrees: tuple[Annotated[int, Field(ge=0)], ...] = _knob(
        (4,), "Ties of each agent, in order of agent id; a shorter list is repeated.", "ties", min_length=1
    )


class Ring(NetworkParams):
    """Parameters of `ring`."""

    k: int = _knob(2, "Nearest agents on the ring that each one is tied to; even.", "ties", ge=2, multiple_of=2)


class Grid(NetworkParams):
    """Parameters of `grid`."""

    rows: int | None = _knob(None, "Rows; left out, as square as the number of agents allows.", "agents", ge=1)
    columns: int | None = _knob(None, "Columns; left out, as square as the number of agents allows.", "agents", ge=1)
    periodic: bool = _knob(False, "Whether opposite edges of the grid touch, so that all have four neighbours.")


class Caveman(NetworkParams):
    """Parameters of `caveman`."""

    cliques: int | None = _knob(None, "Number of cliques; left out, as many as fill the population.", "cliques", ge=1)
    size: int = _knob(5, "Agents in a clique.", "agents", ge=2)


class Homophily(NetworkParams):
    """Parameters of `homophily`."""

    mean_degree: float = _knob(10.0, "Number of ties of an agent, on average.", "ties", ge=0)
    column: str = _knob("", "Column of the population in which tied agents are alike: categories or numbers.")
    target: float = _knob(
        0.0,
        "With categories the E-I index, from -1 (all ties inside a group) to 1 (all across); with numbers their "
        "correlation between tied agents, from 0 to below 1.",
        ge=-1,
        le=1,
    )
    columns: tuple[str, ...] = _knob((), "Several columns at once, in place of the one; each has its own target.")
    targets: tuple[Annotated[float, Field(ge=-1, le=1)], ...] = _knob(
        (), "Target of each of these columns, in the same order."
    )


class Households(NetworkParams):
    """Parameters of `households`."""

    size: str = _knob("hh_size", "Column of the population with the number of people in the household.")
    age: str = _knob("age", "Column of the population with the age.")
    area: str = _knob("", "Column of the population; those who live together share its value. Empty for none.")
    adult: int = _knob(18, "Age from which a person may lead a household.", "years", ge=0, le=120)


class Groups(NetworkParams):
    """Parameters of `groups`."""

    where: str = _knob("", "Condition on columns of the population: who takes part. Empty for everyone.")
    by: tuple[str, ...] = _knob((), "Columns of the population in which all at one place are alike.")
    sizes: tuple[Annotated[int, Field(ge=1)], ...] = _knob(
        (10,), "Sizes that a place may have; none given means one place for all who are alike.", "agents"
    )
    weights: tuple[Annotated[float, Field(ge=0)], ...] = _knob(
        (), "Share of places of each size, in the same order; none given means equal shares."
    )


class Relations(NetworkParams):
    """Parameters of `relations`."""

    kinds: tuple[str, ...] = _knob((), "Kinds of relations to take, for example family or friend; none means all.")
    weighted: bool = _knob(False, "Whether the strength of a relation becomes the weight of the tie.")


class Spatial(NetworkParams):
    """Parameters of `spatial`."""

    mean_degree: float = _knob(10.0, "Expected number of ties of an agent.", "ties", ge=0)
    periodic: bool = _knob(True, "Whether opposite edges of the square touch, so that nobody lives at a border.")


class Complete(NetworkParams):
    """Parameters of `complete`: none."""


class FromFile(NetworkParams):
    """Parameters of `file`."""

    path: str = _knob(
        "karate_club.graphml",
        "CSV list or matrix, GraphML, GEXF or Pajek; a path from the study's folder, or a shipped file.",
    )
    source: str = _knob("source", "CSV column with the first agent of a tie; ids from 0, or numbered in order.")
    target: str = _knob("target", "CSV column with the second agent of a tie.")
    weight: str | None = _knob(None, "CSV column with the tie's weight; left out, every tie counts the same.")
    match: str | None = _knob(
        None, "Column of the population that names the ends of ties; left out, they are agents' numbers."
    )
    _signed: bool = False  # set by the layer, whose key `signed` allows negative weights
    directed: bool = _knob(False, "CSV only: whether the first agent observes the second, but not the reverse.")

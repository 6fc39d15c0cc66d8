"""The extension contract: everything a scenario file needs, in one place.

A scenario is one file in `scenarios/`: a frozen `ScenarioParams` subclass whose fields are `knob`s, its decisions,
and one class under `@scenario` with `columns`, `decisions`, `measures`, `setup` and `step`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from engine import registry
from engine.decision import Decision, IntArray, Offered, Presentation, Writing
from engine.measures.balance import ties_frustrated, triads_balanced
from engine.population.columns import Column


class ScenarioParams(BaseModel):
    """Base of a scenario's knobs: frozen, no unknown names, no infinities."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def knob(default: Any, *, unit: str = "", help: str, at_setup: bool = False, **bounds: Any) -> Any:
    """Declare one knob of a scenario.

    Args:
        default: Value when the study names none.
        unit: Unit shown beside the knob.
        help: One sentence for forms and documentation.
        at_setup: Whether a change takes effect only when the world is set up again.
        **bounds: ge, gt, le, lt as in pydantic.
    """
    return Field(default, description=help, json_schema_extra={"unit": unit, "at_setup": at_setup}, **bounds)


def column(
    dtype: str,
    *,
    unit: str = "",
    help: str,
    low: float | None = None,
    high: float | None = None,
    labels: Sequence[str] = (),
    presentation: Presentation | None = None,
    initial: float = 0.0,
) -> Column:
    """Declare one state column; with `labels` it holds category codes."""
    kind = (
        "category" if labels else {"f": "float", "i": "integer", "u": "integer", "b": "boolean"}[np.dtype(dtype).kind]
    )
    return Column(kind, dtype, unit, low, high, tuple(labels), help, presentation, initial)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Measure:
    """A named number per step.

    Attributes:
        name: Name in tables, charts and `when`.
        formula: World -> number, or segment -> number.
        unit: Unit, or an empty string.
        low, high: Range, both included; None where open.
        help: One sentence.
        source: Paper and equation, or "ours".
    """

    name: str
    formula: Callable[[Any], float | Mapping[str, float]]
    help: str
    source: str
    unit: str = ""
    low: float | None = None
    high: float | None = None


SIGNED_MEASURES = (
    Measure(
        "balanced_triads",
        lambda world: triads_balanced(world.network),
        "Share of triads whose signs multiply to plus; recorded where a tie is negative.",
        "Cartwright and Harary 1956",
        low=0,
        high=1,
    ),
    Measure(
        "frustration",
        lambda world: ties_frustrated(world.network),
        "Share of ties that the best division into two camps found offends; recorded where a tie is negative.",
        "Harary 1959; Facchetti, Iacono and Altafini 2011",
        low=0,
        high=0.5,
    ),
)
"""Measures of structural balance, which every scenario with `signed_ties` has beside its own."""


class World(Protocol):
    """What a scenario may use of the world.

    `population` holds one writable array per state and persona column; `given` names the state columns that the
    population brought, which `setup` must respect; `env` holds numbers, texts and booleans.
    """

    study: Any
    params: Any
    step: int
    population: dict[str, NDArray[Any]]
    persona: Any
    given: frozenset[str]
    network: Any
    env: dict[str, Any]

    @property
    def n_agents(self) -> int:
        """Number of agents that ever entered; arrays have this length."""

    @property
    def agents(self) -> IntArray:
        """Ids of the agents present, ascending."""

    def rng(self, name: str) -> np.random.Generator:
        """Return a generator that starts afresh in each step."""

    def uniform(
        self, stream: str, agents: IntArray | None = None, turn: int | IntArray = 0, lane: int = 0
    ) -> NDArray[np.float64]:
        """Return one keyed uniform per agent."""

    def key(self, stream: str) -> np.uint64:
        """Return the stream's key, for kernels that call `keyed_uniform`."""

    def decide(
        self,
        decision: Decision,
        agents: IntArray | None = None,
        *,
        turn: int | IntArray = 0,
        texts: Mapping[str, IntArray] | None = None,
        mask: NDArray[np.bool_] | None = None,
        options: Offered | None = None,
        **columns: Any,
    ) -> NDArray[Any]:
        """Return one action per agent."""

    def decided_by_rule(self, decision: Decision) -> bool:
        """Tell whether the scenario's own rule decides for everyone, so that a fused kernel may be used."""

    def write(
        self,
        writing: Writing,
        agents: IntArray,
        *,
        turn: int = 0,
        texts: Mapping[str, IntArray] | None = None,
        channel: str | None = None,
        **columns: Any,
    ) -> IntArray:
        """Let agents write; returns text ids, -1 where a text was unusable."""

    def converse(
        self,
        writing: Writing,
        agents: IntArray,
        *,
        groups: IntArray,
        turns: int,
        opening: Sequence[str],
        **columns: Any,
    ) -> IntArray:
        """Hold one conversation per group; returns the transcript's text id for each agent."""

    def name(self, agent: int) -> str:
        """Return how others call an agent."""

    def text(self, text_id: int) -> str:
        """Return a text by id; an empty string for -1."""

    def add_text(self, text: str) -> int:
        """Store a text and return its id."""

    def enter(self, n: int, **values: Any) -> IntArray:
        """Let n agents enter; returns their new ids."""

    def emit(self, kind: str, agent: int | None = None, **detail: Any) -> None:
        """Record an event."""

    def spec_of(self, ask: Decision | Writing) -> Any:
        """Return who decides: the study's `DecisionSpec`."""

    def stop(self, reason: str) -> None:
        """End the run after this step."""

    def settle(self, reason: str) -> None:
        """Say that nothing changes by itself any more: the run ends unless an intervention may still act."""


@dataclass(frozen=True)
class ScenarioInfo:
    """A registered scenario: its words, knobs, parts and the study it starts from."""

    name: str
    title: str
    family: str
    promise: str
    source: str
    params: type[ScenarioParams]
    build: type[Any]
    columns: Mapping[str, Column]
    decisions: tuple[Decision, ...]
    writings: tuple[Writing, ...]
    measures: tuple[Measure, ...]
    display: str
    steps: int
    unit: str
    defaults: Mapping[str, Any] = field(default_factory=dict)
    document: str = ""
    signed_ties: bool = False

    @property
    def mechanism_only(self) -> bool:
        """Whether nothing in the scenario is a person's decision."""
        return not self.decisions

    def decision(self, name: str) -> Decision:
        """Return a decision by name.

        Raises:
            RegistryError: the scenario has none of that name.
        """
        found: registry.Registry[Decision] = registry.Registry(f"decision of {self.name}")
        for decision in self.decisions:
            found.register(decision.name, decision)
        return found.get(name)


ClassT = TypeVar("ClassT", bound=type[Any])


def scenario(
    name: str,
    *,
    title: str,
    family: str,
    promise: str,
    params: type[ScenarioParams],
    source: str,
    steps: int = 100,
    unit: str = "step",
    defaults: Mapping[str, Any] | None = None,
    signed_ties: bool = False,
) -> Callable[[ClassT], ClassT]:
    """Register a scenario class.

    Args:
        name: Name in studies and on the command line.
        title: Title shown to people.
        family: Shelf on the home page, for example "epidemics".
        promise: One sentence: what a reader will see.
        params: The knobs.
        source: Author and year.
        steps: Default number of steps.
        unit: What one step stands for, for example "month".
        defaults: `population` and `network` tables of the study it starts from.
        signed_ties: Whether it has a use for ties of negative weight; adds `SIGNED_MEASURES`.
    """

    def register(cls: ClassT) -> ClassT:
        import sys

        columns: Mapping[str, Column] = getattr(cls, "columns", {})
        info = ScenarioInfo(
            name=name,
            title=title,
            family=family,
            promise=promise,
            source=source,
            params=params,
            build=cls,
            columns=columns,
            decisions=tuple(getattr(cls, "decisions", ())),
            writings=tuple(getattr(cls, "writings", ())),
            measures=tuple(registry.measures.get(m) if isinstance(m, str) else m for m in cls.measures)
            + (SIGNED_MEASURES if signed_ties else ()),
            display=getattr(cls, "display", next(iter(columns), "")),
            steps=steps,
            unit=unit,
            defaults=dict(defaults or {}),
            signed_ties=signed_ties,
            document=(sys.modules[cls.__module__].__doc__ or ""),
        )
        registry.scenarios.register(name, info)
        return cls

    return register

"""The world: all mutable state of a run, in tables that it owns.

Agent columns, network layers, environment scalars, current parameters, texts, broadcasts, counters and trigger
states live here; a scenario instance holds nothing. `get_state` and `set_state` carry everything over a checkpoint.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.contract import ScenarioInfo
from engine.decision import Decision, IntArray, Offered, Writing
from engine.draws import draw_uniform, stream_key, stream_rng
from engine.errors import PopulationError, RunError
from engine.network import Network
from engine.policy import deciding
from engine.policy.asking import Asker
from engine.policy.calls import Call
from engine.policy.records import DecisionBatch, Message, Situation, content_id, content_key
from engine.policy.regression import Regression
from engine.policy.turns import TurnsTaken
from engine.population import Population
from engine.population.columns import Column
from engine.registry import nearest
from engine.spec import DecisionSpec, Study
from engine.threads import run_ranges
from engine.world_state import canonical_bytes, initial_values, pack_world, unpack_world

FLOAT64_LIMIT = 1_000_000


@dataclass(frozen=True)
class Event:
    """Something that happened once: an intervention, an entry, a collapse."""

    kind: str
    agent_id: int
    detail: dict[str, Any]


@dataclass(frozen=True)
class TieChange:
    """A tie that was added or cut in a step."""

    layer: str
    source: int
    target: int
    weight: float
    added: bool


@dataclass
class Traces:
    """What one step left behind, until it is recorded."""

    decisions: list[DecisionBatch] = field(default_factory=list)
    situations: list[Situation] = field(default_factory=list)
    texts: list[tuple[int, str]] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    ties: list[TieChange] = field(default_factory=list)
    entered: list[IntArray] = field(default_factory=list)


class World:
    """All state of one run; scenarios see it through `engine.contract.World`."""

    def __init__(
        self,
        study: Study,
        info: ScenarioInfo,
        persona: Population,
        network: Network,
        asker: Asker,
        replicate: int = 0,
    ) -> None:
        self.study, self.info, self.persona, self.network, self.asker = study, info, persona, network, asker
        self.population_seed = study.seed_of("population", replicate)
        self.dynamics_seed = study.seed_of("dynamics", replicate)
        self.params: Any = info.params(**study.params)
        self.step = 0
        self.env: dict[str, Any] = {}
        self.entered = np.zeros(persona.n, np.int64)
        self.left = np.full(persona.n, -1, np.int64)
        self.given = frozenset(info.columns) & frozenset(persona.columns)
        self.state_columns: dict[str, Column] = dict(info.columns)
        self.population: dict[str, NDArray[Any]] = dict(persona.values)
        for name, column in info.columns.items():
            start = initial_values(name, column, persona)
            self.population[name] = np.full(persona.n, start, self._dtype(column))
        self.traces = Traces()
        self.stopped: str | None = None
        self.settled: str | None = None
        self.measured: dict[tuple[str, str], float] = {}
        self.triggers: dict[str, bool] = {}
        self.regressions: dict[str, Regression] = {}  # follows from study and seeds, so no checkpoint holds it
        self.injected: list[dict[str, Any]] = []
        self.changed_personas: set[str] = set()
        self.changed_layers: set[str] = set()
        self._texts: dict[int, str] = {}
        self._heard: IntArray | None = None
        self._n_messages = 0
        self._calls = 0
        self._asked_now: dict[str, TurnsTaken] = {}

    def _dtype(self, column: Column) -> np.dtype[Any]:
        large = self.persona.n > FLOAT64_LIMIT and column.dtype == "float64"
        return np.dtype("float32" if large else column.dtype)

    # -- what scenarios use ----------------------------------------------------------------------------------------

    @property
    def n_agents(self) -> int:
        """Number of agents that ever entered; every column has this length."""
        return int(self.entered.size)

    @property
    def agents(self) -> IntArray:
        """Ids of the agents present, ascending."""
        return np.flatnonzero(self.left < 0)

    @property
    def counts(self) -> dict[str, int]:
        """Model calls, situations and cache hits so far."""
        return self.asker.counts

    def rng(self, name: str) -> np.random.Generator:
        """Return a generator that starts afresh for this name and step."""
        return stream_rng(self.dynamics_seed, name, self.step)

    def uniform(
        self, stream: str, agents: IntArray | None = None, turn: int | IntArray = 0, lane: int = 0
    ) -> NDArray[np.float64]:
        """Return one keyed uniform per agent (all present ones by default)."""
        ids = self.agents if agents is None else agents
        return draw_uniform(self.dynamics_seed, stream, self.step, turn, ids, lane)

    def key(self, stream: str) -> np.uint64:
        """Return the stream's key for kernels that call `keyed_uniform`."""
        return stream_key(self.dynamics_seed, stream)

    def run_ranges(self, kernel: Callable[..., Any], *arguments: Any) -> list[Any]:
        """Call `kernel(begin, end, *arguments)` on ranges that cover all agents, on several threads.

        The kernel is compiled with `nogil` and changes only the entries of agents begin to end - 1. Returned is what
        each call returned, in the order of the ranges.
        """
        return run_ranges(kernel, self.n_agents, *arguments)

    def name(self, agent: int) -> str:
        """Return how others call an agent: its display name, or a neutral code."""
        names = self.population.get("display_name")
        column = self.persona.columns.get("display_name")
        if names is None or column is None:
            return f"Person {agent + 1}"
        return str(names[agent]) if column.kind == "text" else column.labels[int(names[agent])]

    def spec_of(self, ask: Decision | Writing) -> DecisionSpec:
        """Return who decides; a writing that the study does not name follows the scenario's first decision."""
        spec = self.study.decisions.get(ask.name)
        if spec is None and isinstance(ask, Writing) and self.info.decisions:
            first = self.study.decisions.get(self.info.decisions[0].name)
            return DecisionSpec() if first is None else first.model_copy(update={"persona_fields": None})
        return spec or DecisionSpec()

    def decided_by_rule(self, decision: Decision) -> bool:
        """Tell whether the scenario's own rule decides for everyone."""
        spec = self.spec_of(decision)
        return spec.regression is None and (spec.policy == "rule" or (spec.policy == "mixture" and spec.share == 0))

    def _call(
        self,
        ask: Decision | Writing,
        agents: IntArray | None,
        turn: int | IntArray,
        texts: Mapping[str, IntArray] | None,
        columns: Mapping[str, Any],
        mask: NDArray[np.bool_] | None = None,
        options: Offered | None = None,
    ) -> Call:
        who = self.agents if agents is None else np.asarray(agents, np.int64)
        turns = np.broadcast_to(np.asarray(turn, np.int64), who.shape)
        values = {name: np.broadcast_to(np.asarray(value), who.shape) for name, value in columns.items()}
        ids = {name: np.broadcast_to(np.asarray(value, np.int64), who.shape) for name, value in (texts or {}).items()}
        return Call(ask, who, turns, values, ids, None if mask is None else np.asarray(mask, bool), options)

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
        """Return one action per agent: an option index, a number, a bit mask, a ranking's code, or an item's id.

        Args:
            decision: What is decided.
            agents: Agent ids; all present ones by default.
            turn: One number, or one per agent; an agent decides the same thing once per turn.
            texts: Text ids by name, one or one per agent.
            mask: Options that each agent may choose, shape (n, n_options).
            options: Items that each agent may choose from, for `Items`.
            **columns: Observation columns, one value or one per agent.

        Raises:
            DecisionError: decided twice, or the rule or policy broke its contract.
        """
        call = self._call(decision, agents, turn, texts, columns, mask, options)
        taken = self._asked_now.setdefault(decision.name, TurnsTaken())
        taken.take(decision.name, self.step, call.agents, call.turn, self.n_agents)
        batch, new = deciding.decide(self, call)
        self.traces.decisions.append(batch)
        self.traces.situations += new
        return decision.answer.values(batch.actions)

    def write(
        self,
        writing: Writing,
        agents: IntArray,
        *,
        turn: int = 0,
        texts: Mapping[str, IntArray] | None = None,
        channel: str | None = None,
        variants: int | None = None,
        **columns: Any,
    ) -> IntArray:
        """Let agents write; return text ids, -1 where a text was unusable (an event counts them).

        Args:
            writing: What is written.
            agents: Agent ids.
            turn: Turn within the step.
            texts: Text ids by name that the writers read.
            channel: Channel of the messages; the writing's name by default.
            variants: k texts per situation given out by keyed draws; None for one text per agent.
            **columns: Observation columns.
        """
        call = self._call(writing, agents, turn, texts, columns)
        self._calls += 1
        pairs = deciding.write_texts(self, call, self._calls, variants)
        ids = np.full(call.agents.size, -1, np.int64)
        for row, (text, situation_id) in enumerate(pairs):
            if text is not None:
                ids[row] = self.add_text(text)
                self.say(int(call.agents[row]), text, channel or writing.name, turn, situation_id)
        if unusable := int((ids < 0).sum()):
            self.emit("unusable_text", writing=writing.name, n=unusable)
        return ids

    def say(self, agent: int, text: str, channel: str, turn: int = 0, situation_id: int = -1) -> None:
        """Record a message; agent -1 is a moderator."""
        self.traces.messages.append(Message(self._n_messages, turn, agent, -1, channel, text, situation_id))
        self._n_messages += 1

    def converse(
        self,
        writing: Writing,
        agents: IntArray,
        *,
        groups: IntArray,
        turns: int,
        opening: Sequence[str],
        variants: int | None = None,
        **columns: Any,
    ) -> IntArray:
        """Hold one conversation per group and return the transcript's text id for each agent.

        A moderator opens with `opening[g]`; then members speak in a keyed random order, at most `turns` texts per
        group. A member who says "pass" ends its group's talk once everyone has had a turn. All groups talk at once,
        so each turn is one batch for the model.
        """
        agents, groups = np.asarray(agents, np.int64), np.asarray(groups, np.int64)
        lines = [[f"Moderator: {text}"] for text in opening]
        for text in opening:
            self.say(-1, text, writing.name)
        u = self.uniform(f"converse:{writing.name}", agents)
        order = [rows[np.argsort(u[rows])] for rows in (np.flatnonzero(groups == g) for g in range(len(opening)))]
        talking = [bool(rows.size) for rows in order]
        for turn in range(turns):
            speaking = [g for g in range(len(opening)) if talking[g]]
            if not speaking:
                break
            rows = np.array([order[g][turn % order[g].size] for g in speaking], np.int64)
            ids = np.array([self.add_text("\n".join(lines[g])) for g in speaking], np.int64)
            said = self.write(
                writing,
                agents[rows],
                turn=turn,
                texts={"transcript": ids},
                variants=variants,
                **_rows_of(columns, agents.size, rows),
            )
            for g, row, text_id in zip(speaking, rows.tolist(), said.tolist(), strict=True):
                text = self.text(text_id).strip()
                passed = text.lower().startswith("pass")
                if text and not passed:
                    lines[g].append(f"{self.name(int(agents[row]))}: {text}")
                talking[g] = not (passed and turn + 1 >= order[g].size)
        transcripts = np.array([self.add_text("\n".join(part)) for part in lines], np.int64)
        return transcripts[groups]

    def text(self, text_id: int) -> str:
        """Return a text by id; an empty string for -1."""
        return "" if text_id < 0 else self._texts[int(text_id)]

    def add_text(self, text: str) -> int:
        """Store a text once and return its id, a hash of its content."""
        text_id = content_id(content_key([text]))
        if text_id not in self._texts:
            self._texts[text_id] = text
            self.traces.texts.append((text_id, text))
        return text_id

    def enter(self, n: int, **values: Any) -> IntArray:
        """Let n agents enter as isolates and return their new ids; columns not given take their initial value."""
        ids = np.arange(self.n_agents, self.n_agents + n)
        for name, array in self.population.items():
            column = self.state_columns.get(name) or self.persona.columns[name]
            fill = values.get(name, "" if column.kind == "text" else column.initial)
            self.population[name] = np.concatenate([array, np.full(n, fill, array.dtype)])
        self.changed_personas |= set(self.persona.columns)
        self.entered = np.concatenate([self.entered, np.full(n, self.step, np.int64)])
        self.left = np.concatenate([self.left, np.full(n, -1, np.int64)])
        if self._heard is not None:
            self._heard = np.concatenate([self._heard, np.full(n, -1, np.int64)])
        self.match_persona()
        for name, graph in self.network.layers.items():
            self.network.layers[name] = graph.grown(n)
            self.changed_layers.add(name)
        self.traces.entered.append(ids)
        for agent in ids.tolist():
            self.emit("entered", agent)
        return ids

    def match_persona(self) -> None:
        """Let the population's own columns agree with the world's after agents entered or columns changed."""
        self.persona.n = self.n_agents
        for name in self.persona.columns:
            self.persona.values[name] = self.population[name]

    def leave(self, agents: IntArray, *, cut: bool = True) -> None:
        """Let agents leave: their ties end, and their ids are never used again.

        Args:
            agents: Agent ids.
            cut: Whether their ties are taken out of the network; a scenario that lets nothing pass over the ties of
                those who left saves the copy of a large network.
        """
        self.left[agents] = self.step
        for name, graph in self.network.layers.items() if cut else ():
            ties = graph.ties_of(np.asarray(agents, np.int64))
            if ties.size:
                self.change_ties(name, None, ties)
        for agent in np.asarray(agents).tolist():
            self.emit("left", agent)

    def emit(self, kind: str, agent: int | None = None, **detail: Any) -> None:
        """Record an event."""
        self.traces.events.append(Event(kind, -1 if agent is None else int(agent), detail))

    def stop(self, reason: str) -> None:
        """End the run after this step."""
        self.stopped = reason

    def settle(self, reason: str) -> None:
        """Say that nothing changes by itself any more: the run ends unless an intervention may still act."""
        self.settled = reason

    def column_of(self, name: str) -> Column:
        """Return the meaning of a state or persona column.

        Raises:
            PopulationError: there is none of that name.
        """
        column = self.state_columns.get(name) or self.persona.columns.get(name)
        if column is None:
            known = nearest(name, [*self.state_columns, *self.persona.columns])
            raise PopulationError(f"'{name}' is not a column of this population{known}")
        return column

    # -- what interventions use ------------------------------------------------------------------------------------

    def announce(self, agents: IntArray, text: str) -> None:
        """Show a text to agents in every prompt from now on, until the next one."""
        if self._heard is None:
            self._heard = np.full(self.n_agents, -1, np.int64)
        self._heard[agents] = self.add_text(text)
        self.say(-1, text, "broadcast")

    def announcements(self, agents: IntArray) -> IntArray:
        """Return the text id of the last broadcast that reached each agent, -1 for none."""
        return np.full(agents.size, -1, np.int64) if self._heard is None else self._heard[agents]

    def set_column(self, name: str, agents: IntArray, values: Any) -> None:
        """Change a state or persona column for some agents."""
        changed = self.population[name].copy()
        changed[agents] = values
        self.population[name] = changed
        if name in self.persona.columns and name not in self.state_columns:
            self.changed_personas.add(name)
            self.match_persona()

    def change_ties(self, layer: str, add: IntArray | None, cut: IntArray | None) -> None:
        """Add and cut ties of one layer; each change is recorded.

        Args:
            layer: Name of the layer.
            add: Pairs, shape (k, 2), or None.
            cut: Pairs, shape (k, 2), or None.
        """
        self.network.change_ties(layer, add, cut)
        self.changed_layers.add(layer)
        for pairs, added in ((cut, False), (add, True)):
            if pairs is not None:
                self.traces.ties += [TieChange(layer, int(s), int(t), 1.0, added) for s, t in pairs]

    # -- what the simulation uses ----------------------------------------------------------------------------------

    def begin_step(self) -> None:
        """Open the next step with empty traces."""
        self.step += 1
        self.traces = Traces()
        self.settled = None
        self._asked_now = {}
        self._calls = 0

    def measure(self) -> dict[tuple[str, str], float]:
        """Compute every measure of the scenario on the current state.

        Raises:
            RunError: a measure is not a number where numbers exist.
        """
        values: dict[tuple[str, str], float] = {}
        for measure in self.info.measures:
            value = measure.formula(self)
            segments = value if isinstance(value, Mapping) else {"": value}
            for segment, number in segments.items():
                values[measure.name, segment] = float(number)
        self.measured = values
        return values

    def check_states(self) -> None:
        """Refuse NaN in a state column.

        Raises:
            RunError: names the column, step and first agent.
        """
        for name in self.state_columns:
            array = self.population[name]
            if array.dtype.kind == "f" and np.isnan(array.sum()):
                wrong = np.flatnonzero(np.isnan(array))
                if wrong.size:
                    raise RunError(
                        f"column '{name}' became NaN for agent {int(wrong[0])} at step {self.step} "
                        f"({wrong.size} agents in all); check the rule and its parameters"
                    )

    def digest(self, before: str) -> str:
        """Return the next link of the digest chain, hexadecimal BLAKE2b-128.

        It covers step, state columns, environment, actions, messages and measures; no ids, times, recording choices.
        """
        chain = hashlib.blake2b(bytes.fromhex(before), digest_size=16)
        chain.update(int(self.step).to_bytes(8, "little"))
        for name in sorted(self.state_columns):
            chain.update(name.encode() + b"\0")
            chain.update(canonical_bytes(self.population[name]))
        chain.update(json.dumps(self.env, sort_keys=True, default=float).encode())
        for batch in self.traces.decisions:
            chain.update(batch.decision.encode() + b"\0")
            for array in (batch.turn, batch.agents, batch.actions):
                chain.update(canonical_bytes(array))
        for message in self.traces.messages:
            chain.update(f"{message.turn} {message.agent_id} {message.channel}\0{message.text}\0".encode())
        for (name, segment), value in sorted(self.measured.items()):
            chain.update(f"{name}\0{segment}\0".encode() + canonical_bytes(np.array([value])))
        return chain.hexdigest()

    def get_state(self) -> dict[str, NDArray[Any]]:
        """Return everything that a continuation needs, as arrays without objects."""
        return pack_world(self)

    def set_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take over a state that `get_state` of the same study returned."""
        unpack_world(self, state)


def _rows_of(columns: Mapping[str, Any], n: int, rows: IntArray) -> dict[str, Any]:
    return {name: np.broadcast_to(np.asarray(value), (n,))[rows] for name, value in columns.items()}

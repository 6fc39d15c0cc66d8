"""The study file as frozen models: a scenario with everything chosen.

`engine.loading` turns TOML into these and reports every problem at once; nothing here reads files.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

PolicyName = Literal["rule", "language", "scripted", "mixture"]


class Part(BaseModel):
    """Base of all parts of a study: frozen, no unknown keys, no infinities."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Seeds(Part):
    """The three seeds when they are given apart; None falls back to the study's seed."""

    population: int | None = Field(None, ge=0)
    network: int | None = Field(None, ge=0)
    dynamics: int | None = Field(None, ge=0)


class PopulationSpec(Part):
    """Who the agents are: a recipe, a persona pack, or columns written in the study."""

    size: int | None = Field(None, ge=1, le=100_000_000)
    recipe: str | None = None
    personas: str | None = None
    columns: dict[str, Any] = Field(default_factory=dict)


class LayerSpec(Part):
    """One layer of ties: the kind of network and its generator's parameters.

    With `shuffle`, the ties are shuffled once they are built: everyone keeps the number of ties, and nothing else of
    the network is kept (a null control).
    """

    name: str = "ties"
    kind: str = "complete"
    shuffle: bool = False
    params: dict[str, Any] = Field(default_factory=dict)


class DecisionSpec(Part):
    """Who decides one decision.

    Attributes:
        policy: rule, language, scripted (seeded random answers), mixture (a share by language, the rest by rule).
        share: With mixture, the share of agents whose answers come from the language model.
        persona_fields: Persona columns shown; None means the decision's own.
        temperature: Divides the log weights of a model before the draw.
        option_order: forward, or both (forward and reverse averaged in log space).
    """

    policy: PolicyName = "rule"
    share: float = Field(0.5, ge=0, le=1)
    persona_fields: tuple[str, ...] | None = None
    temperature: float = Field(1.0, gt=0, le=10)
    option_order: Literal["forward", "both"] = "both"


class ModelSpec(Part):
    """The language model: the embedded one (`pocket`), a GGUF file by path or name, or `scripted`."""

    file: str = "pocket"
    n_ctx: int | None = Field(None, ge=256, le=1_048_576)
    gpu_layers: int = Field(-1, ge=-1)
    temperature: float = Field(0.8, ge=0, le=5)
    top_p: float = Field(0.95, gt=0, le=1)


class Top(Part):
    """The agents with the largest values of a column or of `degree`."""

    by: str
    share: float | None = Field(None, gt=0, le=1)
    n: int | None = Field(None, ge=1)


class Sample(Part):
    """A random part of the agents, drawn afresh each time the intervention acts."""

    share: float | None = Field(None, gt=0, le=1)
    n: int | None = Field(None, ge=1)


class Whom(Part):
    """Whom an intervention reaches; the conditions are applied in this order: ids, where, top, sample."""

    ids: tuple[int, ...] | None = None
    where: str | None = None
    top: Top | None = None
    sample: Sample | None = None


class Do(Part):
    """What an intervention does: the effect's name and its arguments."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)
    effect: str


class InterventionSpec(Part):
    """One outside change: when (`at`, `every` or `when`, each up to `until`), whom and what."""

    name: str
    at: int | None = Field(None, ge=0)
    every: int | None = Field(None, ge=1)
    when: str | None = None
    until: int | None = Field(None, ge=0)
    whom: Whom = Whom()
    do: Do


class ArmSpec(Part):
    """One arm of an experiment: what differs from the study.

    Attributes:
        name: Name in tables and figures.
        set: New values by dotted key of the study file, as with `--set`, for example {"params.epsilon": 0.1}.
        interventions: Added to the study's own.
    """

    name: str = Field(min_length=1, max_length=60)
    set: dict[str, Any] = Field(default_factory=dict)
    interventions: tuple[InterventionSpec, ...] = ()


class RecordSpec(Part):
    """What a run keeps.

    Attributes:
        every: Record states and measures each so many steps (the initial and the last state always).
        states: changes (rows that changed, with key frames), dense, or none.
        decisions: auto (full up to 5 million expected rows), full, counts or none.
        checkpoint_every: Steps between checkpoints; None chooses by size.
    """

    every: int = Field(1, ge=1)
    states: Literal["changes", "dense", "none"] = "changes"
    decisions: Literal["auto", "full", "counts", "none"] = "auto"
    checkpoint_every: int | None = Field(None, ge=1)


class Study(Part):
    """A scenario with everything chosen.

    `params` holds plain values; `engine.loading` has checked them against the scenario's knobs.

    Attributes:
        stop_when: Condition on measures and `step`; a run ends after the first step at which it holds. Empty for none.
        arms: Variants of the study that an experiment compares; none, or two and more.
    """

    format: Literal[1] = 1
    title: str = Field("", max_length=300)
    question: str = Field("", max_length=2000)
    scenario: str
    seed: int = Field(0, ge=0, lt=2**63)
    seeds: Seeds = Seeds()
    redraw: tuple[Literal["population", "network"], ...] = ()
    steps: int = Field(100, ge=1, le=10_000_000)
    replicates: int = Field(1, ge=1, le=100_000)
    stop_when: str = ""
    params: dict[str, Any] = Field(default_factory=dict)
    population: PopulationSpec = PopulationSpec()
    layers: tuple[LayerSpec, ...] = (LayerSpec(),)
    decisions: dict[str, DecisionSpec] = Field(default_factory=dict)
    model: ModelSpec = ModelSpec()
    interventions: tuple[InterventionSpec, ...] = ()
    arms: tuple[ArmSpec, ...] = ()
    record: RecordSpec = RecordSpec()

    def seed_of(self, part: Literal["population", "network", "dynamics"], replicate: int = 0) -> int:
        """Return the seed of one part for replicate r: dynamics move with r, the others only where `redraw` says so."""
        base = getattr(self.seeds, part)
        moves = part == "dynamics" or part in self.redraw
        return int(self.seed if base is None else base) + (replicate if moves else 0)

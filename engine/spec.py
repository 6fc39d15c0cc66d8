"""The study file as frozen models: a scenario with everything chosen.

`engine.loading` turns TOML into these and reports every problem at once; nothing here reads files.
"""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

PolicyName = str
"""Name of a registered policy; `engine.validation` checks it against `registry.policies`."""


class Part(BaseModel):
    """Base of all parts of a study: frozen, no unknown keys, no infinities."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Seeds(Part):
    """The three seeds when they are given apart; None falls back to the study's seed."""

    population: int | None = Field(None, ge=0)
    network: int | None = Field(None, ge=0)
    dynamics: int | None = Field(None, ge=0)


class MapSpec(Part):
    """How a variable of a survey file becomes a column of the population.

    Attributes:
        variable: Name of the variable in the file.
        range: The smallest and the largest answer; others are refused. Given alone, the variable stays as it is.
        to: What the two ends of `range` become; values between them move in proportion, so that x turns into
            to[0] + (x - range[0]) / (range[1] - range[0]) * (to[1] - to[0]). Ends in reverse turn the scale round.
        labels: New value by code or value label of the variable: all texts (a category), all numbers, or all true and
            false. An answer that is not named keeps its value label.
        missing: What becomes of a respondent without an answer: drop the row; draw an answer from those who gave
            one, by weight; or keep the codes of missing answers as categories of their own.
        missing_codes: Answers that count as missing, on top of those that the file declares.
    """

    variable: str
    range: tuple[float, float] | None = None
    to: tuple[float, float] | None = None
    labels: dict[str, str | bool | float] = Field(default_factory=dict)
    missing: Literal["drop", "draw", "keep"] = "drop"
    missing_codes: tuple[float | str, ...] = ()


class RakeSpec(Part):
    """Shares that the people shall have, one column at a time (raking).

    Attributes:
        targets: For each column, the share of each category or interval (`<30`, `30..60`, `>=60`); shares of a column
            sum to 1 or to 100, or all columns hold counts of one total.
        tolerance: Largest difference between a target and the share that is reached.
        rounds: Most rounds over all columns.
    """

    targets: dict[str, dict[str, float]] = Field(default_factory=dict)
    tolerance: float = Field(1e-6, gt=0, lt=0.5)
    rounds: int = Field(500, ge=1, le=100_000)


class HouseholdSpec(Part):
    """Households: agents next to each other live together, with ages that fit.

    Attributes:
        sizes: Share of households by number of people, for example {"1" = 0.4, "2" = 0.35, "3" = 0.25}.
        couples: Of the households of two or more, the share led by two partners.
        single_parents: The share led by one adult with children; in the others all are adults.
    """

    sizes: dict[str, float]
    couples: float = Field(0.75, ge=0, le=1)
    single_parents: float = Field(0.12, ge=0, le=1)


class SpreadSpec(Part):
    """Traits spread evenly over their ranges (quasi-Monte-Carlo): coverage instead of a resemblance to anyone.

    Attributes:
        columns: Columns to spread: those of the recipe through its distributions, others evenly over their range.
        method: sobol or halton.
    """

    columns: tuple[str, ...] = Field(min_length=1, max_length=50)
    method: Literal["sobol", "halton"] = "sobol"


class ScoreSpec(Part):
    """Answers to an instrument's items, scored into columns.

    Attributes:
        instrument: Name of the instrument, for example mini_ipip.
        prefix: Beginning of the variables' names, before the number of the item.
        items: Variable of an item by the item's number, where the names follow no rule.
        missing: drop respondents without a score, or draw one from those who have it.
    """

    instrument: str
    prefix: str = ""
    items: dict[str, str] = Field(default_factory=dict)
    missing: Literal["drop", "draw"] = "drop"


class PopulationSpec(Part):
    """Who the agents are: a recipe, a persona pack, respondents of a survey, or columns written in the study.

    Attributes:
        size: Number of agents.
        recipe: Name of a recipe.
        personas: Name of a persona pack.
        file: Survey file (.sav, .zsav, .dta, .sas7bdat, .csv, .tsv, .parquet, .xlsx), from the study's folder; each
            agent is a respondent.
        draw: weight (with replacement, with a probability proportional to the weight) or rows (every usable
            respondent once, in the order of the file, with the weight as a column).
        weight: Variable of the file with the weights; None for equal ones.
        id: Variable of the file that tells respondents apart; kept as the column `source_ref`.
        encoding: Encoding of the file's texts, where the file declares none or a wrong one.
        map: How variables become columns, by column name.
        keep: Further variables that are kept under their own names.
        score: Answers that are scored into columns, by a name of your choice.
        redistribute: Whether the survey's licence lets a run keep a copy of the whole file; otherwise it keeps only
            the columns of the respondents that were drawn.
        columns: Columns written in the study: lists of values, or distributions.
        rake: Shares that the people shall have.
        households: Households of people who live together.
        spread: Traits that are spread evenly instead of drawn.
        lang: Language of the sentences that describe a person, for example en or de.
        groups: Name -> agent ids: groups picked by hand, each a yes/no column.
    """

    size: int | None = Field(None, ge=1, le=100_000_000)
    recipe: str | None = None
    personas: str | None = None
    file: str | None = None
    draw: Literal["weight", "rows"] = "weight"
    weight: str | None = None
    id: str | None = None
    encoding: str | None = None
    map: dict[str, MapSpec] = Field(default_factory=dict)
    keep: tuple[str, ...] = ()
    score: dict[str, ScoreSpec] = Field(default_factory=dict)
    redistribute: bool = False
    columns: dict[str, Any] = Field(default_factory=dict)
    rake: RakeSpec | None = None
    households: HouseholdSpec | None = None
    spread: SpreadSpec | None = None
    lang: str = "en"
    groups: dict[str, tuple[int, ...]] = Field(default_factory=dict)


class WeighSpec(Part):
    """Weights of a layer's ties.

    Attributes:
        distribution: uniform (low to high), normal (mean, sd; cut off at 0 unless signed), lognormal (mean and sd of
            the logarithm), exponential (mean), or column (the mean of both ends' values).
        column: With column, a numeric column of the population.
        negative_across: A column of the population: weights of ties between agents who differ in it turn negative, so
            that there are friends inside and foes across; needs `signed`.
        negative: Share of the ties whose sign is turned, drawn tie by tie; needs `signed`.
    """

    distribution: Literal["uniform", "normal", "lognormal", "exponential", "column"] = "uniform"
    low: float = 0.0
    high: float = 1.0
    mean: float = 1.0
    sd: float = Field(1.0, ge=0)
    column: str | None = None
    negative_across: str | None = None
    negative: float = Field(0.0, ge=0, le=1)


class LayerSpec(Part):
    """One layer of ties: the kind of network and its generator's parameters.

    Attributes:
        shuffle: The ties are shuffled once they are built: everyone keeps the number of ties, and nothing else of the
            network is kept (a null control).
        weigh: Weights that the ties are given; they replace those of a file.
        signed: Whether weights (drawn, by hand, or of a CSV list) may be negative, for scenarios with a use for it.
        add, cut: Ties by hand, after all else: [agent, agent] each, and with `add` perhaps a weight. A tie that is
            there already is not added twice, and cutting one that is not there changes nothing, so that a network
            drawn anew for each replicate keeps its edits.
        agent_columns: Name -> measure (degree, betweenness, community, ...): columns that the finished layer gives the
            agents, for conditions, `top` and prompts.
    """

    name: str = "ties"
    kind: str = "complete"
    shuffle: bool = False
    params: dict[str, Any] = Field(default_factory=dict)
    weigh: WeighSpec | None = None
    signed: bool = False
    add: tuple[tuple[float, ...], ...] = ()
    cut: tuple[tuple[float, ...], ...] = ()
    agent_columns: dict[str, str] = Field(default_factory=dict)


class RegressionSpec(Part):
    """A regression that decides instead of the scenario's rule; the study is written out with canonical names.

    Attributes:
        kind: logit (two options), multinomial (one table per option but the reference), or ordinal (proportional odds).
        option: With logit, the option whose log odds the coefficients give; the second one by default.
        coefficients: Term -> coefficient; with multinomial option -> such a table. Terms are `intercept`, a column,
            `column[label]`, products `a:b` and powers `a^2`.
        thresholds: With ordinal, the cut points between neighbouring options, ascending.
        pasted: Printed output of R, Stata or SPSS, or lines "name value", instead of coefficients.
        covariance: Covariance matrix of all coefficients, in the order of `covariance_order`.
        covariance_order: Names of its rows; by default the coefficients as written, thresholds (/cut1, ...) last.
        pasted_covariance: Printed matrix with names, for example R's `vcov(fit)`, instead of covariance.
        draw_coefficients: Draw the coefficients once per replicate from their normal distribution.
        person_sd: Standard deviation of a normal random intercept per person, in log odds.
        shock_sd: Standard deviation of a normal shock that all share in a step, in log odds.
    """

    kind: Literal["logit", "multinomial", "ordinal"] | None = None
    option: str | None = None
    coefficients: dict[str, float | dict[str, float]] = Field(default_factory=dict)
    thresholds: tuple[float, ...] = ()
    pasted: str | None = Field(None, max_length=100_000)
    covariance: tuple[tuple[float, ...], ...] | None = None
    covariance_order: tuple[str, ...] = ()
    pasted_covariance: str | None = Field(None, max_length=100_000)
    draw_coefficients: bool = False
    person_sd: float = Field(0.0, ge=0)
    shock_sd: float = Field(0.0, ge=0)


class CalibrationSpec(Part):
    """How the answers of a language model are corrected before agents draw from them.

    Attributes:
        normalisation: none; pmi: log P of each option minus its log P under a neutral premise, the same prompt with
            `neutral` in place of persona and situation; bytes: log P of each option per byte of its text.
        neutral: The neutral premise.
        shares: Option -> share that is to choose it, over all agents; with `by` label -> such a table. One intercept
            per option is fitted to them, and with two labels or more also one temperature in place of `temperature`:
            shares of everyone together do not say how sharp a single answer is. The fit has the least
            Kullback-Leibler divergence from the shares, over the agents who decide when it is first asked.
        by: Persona column whose labels the shares are given for.
        least_mass: An answer is unusable where the model puts less probability than this on all options together.
        unusable: What follows: count (drawn from as read, and counted), rule (the rule decides, and it is counted), or
            stop. An answer that is not a number always stops the run, unless the rule takes over.
    """

    normalisation: Literal["none", "pmi", "bytes"] = "none"
    neutral: str = Field("Nothing is known about you or your situation.", min_length=1, max_length=2000)
    shares: dict[str, float | dict[str, float]] = Field(default_factory=dict)
    by: str | None = None
    least_mass: float = Field(0.0, ge=0, le=1)
    unusable: Literal["count", "rule", "stop"] = "count"


class BudgetSpec(Part):
    """How much of the context each part of a prompt may take, as shares of `n_ctx`; what is longer is shortened.

    Whole sentences are left out until the part fits: of texts (transcripts, memories) the oldest, of the persona and of
    what is observed the last. Each time is counted by an event. A part without a share is never shortened.

    Attributes:
        persona: Share of the persona's sentences.
        texts: Share of free texts, all together.
        observation: Share of the observed columns.
    """

    persona: float | None = Field(None, gt=0, le=1)
    texts: float | None = Field(None, gt=0, le=1)
    observation: float | None = Field(None, gt=0, le=1)


class SurrogateSpec(Part):
    """How a regression is fitted to a language model's distributions, and when the model is asked instead of it.

    Attributes:
        situations: Situations that the model answers for the fit.
        held_out: Share of them on which the fit is judged.
        largest_distance: Mean total variation distance on those held out above which the model decides everything.
        unsure: Standard error of a predicted probability above which the model is asked.
    """

    situations: int = Field(400, ge=20, le=100_000)
    held_out: float = Field(0.25, gt=0, lt=1)
    largest_distance: float = Field(0.05, ge=0, le=1)
    unsure: float = Field(0.05, ge=0, le=1)


class DecisionSpec(Part):
    """Who decides one decision.

    Attributes:
        policy: rule, language, scripted (seeded random answers), mixture (a share by language, the rest by rule).
        share: With mixture, the share of agents whose answers come from the language model.
        persona_fields: Persona columns shown; None means the decision's own.
        temperature: Divides the log weights of a model before the draw.
        option_order: forward, both (forward and reverse), or rotations (each option first once); log probabilities are
            averaged over the orders.
        reason: Whether a short reason is written for each situation before its options are scored.
        calibration: How the model's answers are corrected.
        regression: Takes the place of the scenario's rule.
        surrogate: With surrogate, how it is fitted and when it is unsure.
        seats: With human, the ids of the agents whom people play.
        others: With human, the policy of all other agents.
        timeout_s: With human, how long a question waits in seconds; None for no end.
        on_timeout: What happens then: the run pauses, or the rule decides (an event says so).
    """

    policy: PolicyName = "rule"
    share: float = Field(0.5, ge=0, le=1)
    persona_fields: tuple[str, ...] | None = None
    temperature: float = Field(1.0, gt=0, le=10)
    option_order: Literal["forward", "both", "rotations"] = "both"
    reason: bool = False
    calibration: CalibrationSpec | None = None
    regression: RegressionSpec | None = None
    surrogate: SurrogateSpec | None = None
    seats: tuple[int, ...] = ()
    others: PolicyName = "rule"
    timeout_s: float | None = Field(None, gt=0, le=604_800)
    on_timeout: Literal["pause", "rule"] = "pause"


SERVER_URL = re.compile(r"https?://[^\s/?#@]+(/[^\s?#@]*)?")
LONGEST_URL = 500


class ModelSpec(Part):
    """The language model: the embedded one (`pocket`), a GGUF file by path or name, `scripted`, or a server.

    Attributes:
        file: `pocket`, `scripted`, a path, or a name in the model folder; not read where `url` is given.
        url: A model server instead, for example "http://127.0.0.1:8080"; it speaks OpenAI's completions. Keys come from
            the environment (`MICROCOSM_API_KEY`), never from a study.
        name: Which of the server's models; None takes the first one that it lists.
        api: How option probabilities are read from the server: `echo` scores whole texts (vLLM, llama_cpp.server),
            `score` asks for the labels' probabilities (SGLang), `tokens` walks token by token through the most probable
            ones (llama-server); `auto` tries.
        timeout_s: Longest wait for one answer of the server, in seconds.
        max_concurrent: Questions that the server is asked at once.
        n_ctx: Largest context in tokens; None takes the model's own.
        gpu_layers: Layers on the graphics card, -1 for all.
        temperature, top_p: Sampler of written texts.
        budget: How much of `n_ctx` each part of a prompt may take; None refuses a prompt that is too long.
    """

    file: str = "pocket"
    url: str | None = None
    name: str | None = Field(None, min_length=1, max_length=200)
    api: Literal["auto", "echo", "score", "tokens"] = "auto"
    timeout_s: float = Field(120, gt=0, le=3600)
    max_concurrent: int = Field(4, ge=1, le=256)
    n_ctx: int | None = Field(None, ge=256, le=1_048_576)
    gpu_layers: int = Field(-1, ge=-1)
    temperature: float = Field(0.8, ge=0, le=5)
    top_p: float = Field(0.95, gt=0, le=1)
    budget: BudgetSpec | None = None

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str | None) -> str | None:
        if url is not None and (len(url) > LONGEST_URL or not SERVER_URL.fullmatch(url)):
            raise ValueError(
                f"url = '{url[:60]}' is not the address of a model server; allowed is http://HOST:PORT or "
                "https://HOST, with a path but without user, password, query or key (a key goes into MICROCOSM_API_KEY)"
            )
        return url

    @property
    def label(self) -> str:
        """Which model it is: the server's address, with the model's name if one is given, or the file."""
        return self.file if self.url is None else " ".join(filter(None, (self.url, self.name)))


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
        states: changes (rows that changed, with key frames), dense, panel (the changes of 200 agents), or none.
        decisions: auto (full up to 5 million expected rows), full, counts or none.
        checkpoint_every: Steps between checkpoints; None chooses by size.
    """

    every: int = Field(1, ge=1)
    states: Literal["changes", "dense", "panel", "none"] = "changes"
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

"""Whether a study fits into this computer's memory, said before anything is built."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from engine.contract import ScenarioInfo
from engine.errors import MicrocosmError, NetworkError, PopulationError
from engine.llm.models import available_memory
from engine.loading import scenario_info
from engine.network import expected_ties
from engine.network.build import depends_on_people
from engine.population import Population, build_population, persona_columns
from engine.population.columns import Column
from engine.spec import LayerSpec, Study

BASE_BYTES = 300_000_000
"""Interpreter, libraries and compiled kernels; measured."""
BYTES_PER_TIE = 20
"""Two entries of 4 bytes in the rows, and while they are built a list of ties and half of another copy; measured."""
STATE_COPIES = 8
"""Of each state column: at t and t + 1, as last recorded, waiting to be committed, in a checkpoint; measured."""
PERSONA_COPIES = 3
_TEXT_BYTES = 80
_OTHER_BYTES = 60
"""Of each agent: steps of entering and leaving, rows' starts, and what kernels and draws hold for a moment."""
_LARGE = 1_000_000
_KNOWN_SIZE = 100_000
_SAMPLE = 20_000
"""People among whom it is counted who takes part in a layer's places."""


def count_expected_ties(study: Study, n: int, base: Path | None = None, personas: Path | None = None) -> int:
    """Return how many ties of all layers n agents will store; complete layers store none.

    Raises:
        NetworkError: as `expected_ties`.
    """
    stored = [layer for layer in study.layers if layer.kind != "complete"]
    some = _sample(study, n, base, personas) if any(map(depends_on_people, stored)) else None
    return int(sum(expected_ties(layer, n, base, some) for layer in stored))


def _sample(study: Study, n: int, base: Path | None, personas: Path | None) -> Population | None:
    """Return the first of the people, or None where they cannot be built, which is said elsewhere."""
    size = {"size": min(n, _SAMPLE)} if study.population.size else {}
    try:
        return build_population(
            study.population.model_copy(update={**size, "groups": {}}),
            study.seed_of("population", 0), folder=personas, base=base,
        )  # fmt: skip
    except MicrocosmError:
        return None


def expected_memory(study: Study, n: int, n_ties: int, base: Path | None = None, personas: Path | None = None) -> int:
    """Return the largest memory of a worker in bytes, without the model file.

    Args:
        study: A checked study.
        n: Number of agents.
        n_ties: Ties of all layers.
        base: Folder that relative paths of the study start from.
        personas: The user's own personas folder.
    """
    info: ScenarioInfo = scenario_info(study.scenario)
    state = sum(_width(column, n) for column in info.columns.values())
    traits = sum(_width(column, 0) for column in persona_columns(study.population, personas, base).values())
    return int(
        BASE_BYTES + n * (state * STATE_COPIES + traits * PERSONA_COPIES + _OTHER_BYTES) + n_ties * BYTES_PER_TIE
    )


def _width(column: Column, n: int) -> int:
    """Return bytes per agent; floating point numbers are single beyond a million agents."""
    if column.kind == "text":
        return _TEXT_BYTES
    if column.dtype == "float64" and n > _LARGE:
        return 4
    return np.dtype(column.dtype).itemsize


def check_memory(study: Study, base: Path | None = None, personas: Path | None = None) -> None:
    """Refuse a population that does not fit into the memory that is free now.

    A study of fewer than 100,000 agents, or one that cannot be judged before it is built, passes: what is wrong with
    it is said where it is found.

    Raises:
        PopulationError: says what is needed, what is free, and how many agents would fit.
    """
    n = study.population.size or 0
    if n < _KNOWN_SIZE:
        return
    try:
        n_ties = _extrapolated_ties(study, n, base, personas)
        needed = expected_memory(study, n, n_ties, base, personas)
    except MicrocosmError:
        return
    free = available_memory()
    if needed > free:
        fitting = int(max(free - BASE_BYTES, 0) / (needed - BASE_BYTES) * n)
        raise PopulationError(
            f"{n:,} agents with {n_ties:,} ties need about {needed / 1e9:.1f} GB of memory and {free / 1e9:.1f} GB is "
            f"free; about {_rounded(fitting):,} agents would fit: lower population.size or the number of ties "
            "@ population.size"
        )


def _extrapolated_ties(study: Study, n: int, base: Path | None, personas: Path | None) -> int:
    """Return the expected ties, from fewer agents where a layer is too large to be built at all."""
    try:
        return count_expected_ties(study, n, base, personas)
    except NetworkError:
        fewer = min(n, _LARGE)
        kept = [layer for layer in study.layers if _fits(layer, fewer, base)]
        smaller = study.model_copy(update={"layers": tuple(kept)})
        return int(count_expected_ties(smaller, fewer, base, personas) * n / fewer)


def _fits(layer: LayerSpec, n: int, base: Path | None) -> bool:
    try:
        expected_ties(layer, n, base)
    except NetworkError:
        return False
    return True


def _rounded(number: int) -> int:
    """Return a number cut to two digits."""
    step = int(10 ** max(len(str(number)) - 2, 0))
    return number // step * step

"""Log weights of a regression, for many agents at once.

A logit puts the linear predictor on its option and 0 on the other; a multinomial puts one predictor on each option but
the reference; an ordinal regression has proportional odds.

Source: McCullagh (1980), Regression models for ordinal data, JRSS B 42, eq. 1.2: logit P(Y <= j) = threshold_j - x'b.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from engine.decision import Decision, FloatArray, IntArray
from engine.draws import draw_uniform, stream_rng
from engine.errors import DecisionError
from engine.policy.calls import Call, Room
from engine.population.columns import Column
from engine.regressions import Factor, Term, TermReader, coefficient_values, draw_values, visible_columns
from engine.spec import RegressionSpec

CHUNK = 1 << 15
SMALLEST = 2.0**-54  # stands for a uniform draw of 0, whose normal quantile does not exist

Read = Callable[[str], NDArray[Any]]


@dataclass(frozen=True)
class Regression:
    """A regression bound to the columns of a world, its coefficients drawn where the study says so.

    Attributes:
        name: Name of the decision.
        options: Option index of each linear predictor; with ordinal one predictor and no option.
        n_options: Number of options.
        constants: Intercept of each predictor, shape (n_predictors,).
        tables: Column -> value of each code in each predictor, shape (n_labels, n_predictors); single indicators.
        products: (factors, coefficients of shape (n_predictors,)) of the other terms.
        thresholds: Cut points, shape (n_options - 1,); empty unless ordinal.
        person_sd: Standard deviation of the random intercept.
        shock_sd: Standard deviation of the common shock.
    """

    name: str
    options: tuple[int, ...]
    n_options: int
    constants: FloatArray
    tables: Mapping[str, FloatArray]
    products: tuple[tuple[tuple[Factor, ...], FloatArray], ...]
    thresholds: FloatArray
    person_sd: float = 0.0
    shock_sd: float = 0.0

    def predictors(self, read: Read, n: int) -> FloatArray:
        """Return the linear predictors without random parts, float64, shape (n_predictors, n).

        Args:
            read: Column name -> values of these agents, shape (n,); categories are codes.
            n: Number of agents.
        """
        eta = np.repeat(self.constants[:, None], n, axis=1)
        for column, table in self.tables.items():
            codes = read(column).astype(np.int64)
            if codes.size and not 0 <= codes.min() <= codes.max() < len(table):
                wrong = codes[(codes < 0) | (codes >= len(table))][0]
                raise DecisionError(
                    f"'{column}' has the code {wrong} for an agent who decides '{self.name}'; its {len(table)} labels "
                    f"have the codes 0 to {len(table) - 1}"
                )
            for row, by_code in zip(eta, table.T, strict=True):
                row += by_code[codes]
        values: dict[str, FloatArray] = {}
        part = np.empty(n)
        for factors, coefficients in self.products:
            x = _product(factors, read, values)
            for row, coefficient in zip(eta, coefficients.tolist(), strict=True):
                if coefficient:
                    np.multiply(x, coefficient, out=part)
                    row += part
        return eta

    def weigh(self, eta: FloatArray, out: FloatArray) -> None:
        """Fill `out`, shape (n, n_options), with the log weights of predictors of shape (n_predictors, n)."""
        if not self.thresholds.size:
            out[:] = 0.0
            for option, row in zip(self.options, eta, strict=True):
                out[:, option] = row
            return
        # P(Y = j) = S(a) - S(b) = S(a) S(-b) (1 - exp(b - a)) with a, b the neighbouring thresholds minus eta and
        # S the logistic function; in this form no digits are lost in the tails.
        gaps = np.log(-np.expm1(-np.diff(self.thresholds)))
        for place, threshold in enumerate(self.thresholds.tolist()):
            a = threshold - eta[0]
            above = np.log1p(np.exp(-np.abs(a)))  # -log S(|a|)
            log_below = np.minimum(a, 0.0) - above  # log S(a)
            log_above = log_below - a  # log S(-a)
            if place == 0:
                out[:, 0] = log_below
            else:
                out[:, place] += log_below + gaps[place - 1]
            out[:, place + 1] = log_above


def _product(factors: tuple[Factor, ...], read: Read, values: dict[str, FloatArray]) -> FloatArray:
    """Return a product of factors; columns that were read once are kept in `values`."""
    x: FloatArray | None = None
    for factor in factors:
        if factor.column not in values:
            values[factor.column] = read(factor.column).astype(np.float64)
        held = values[factor.column]
        one = held if factor.level is None else (held == factor.level).astype(np.float64)
        for _ in range(factor.power - 1):
            one = one * held
        x = one if x is None else x * one
    assert x is not None
    return x


def build_regression(
    spec: RegressionSpec, ask: Decision, columns: Mapping[str, Column], dynamics_seed: int
) -> Regression:
    """Return a regression ready for evaluation.

    Args:
        spec: Regression of a checked study.
        ask: The decision that it decides.
        columns: Persona and state columns by name.
        dynamics_seed: Seed of the coefficients' draw, stream "regression:NAME", step 0.

    Raises:
        DecisionError: a term that the world cannot offer, or drawn thresholds that do not ascend.
    """
    values = coefficient_values(spec)
    if spec.draw_coefficients:
        values = draw_values(spec, stream_rng(dynamics_seed, f"regression:{ask.name}", 0))
    texts = ask.answer.texts
    outcomes = [option for option in texts if isinstance(spec.coefficients.get(option), dict)]
    prefixes = [f"{option}:" for option in outcomes] if spec.kind == "multinomial" else [""]
    options = [texts.index(option) for option in outcomes] if spec.kind == "multinomial" else []
    if spec.kind == "logit":
        options = [texts.index(spec.option) if spec.option is not None else 1]
    terms = _read_terms(spec, ask, columns)
    constants = np.zeros(len(prefixes))
    tables: dict[str, FloatArray] = {}
    products: list[tuple[tuple[Factor, ...], FloatArray]] = []
    labels = {name: column.labels for name, column in visible_columns(ask, columns).items()}
    for text in sorted(terms):
        term = terms[text]
        coefficients = np.array([values.get(prefix + text, 0.0) for prefix in prefixes])
        if not term.factors:
            constants += coefficients
        elif len(term.factors) == 1 and (code := term.factors[0].level) is not None and labels[term.factors[0].column]:
            name = term.factors[0].column
            table = tables.setdefault(name, np.zeros((len(labels[name]), len(prefixes))))
            table[code] += coefficients
        else:
            products.append((term.factors, coefficients))
    thresholds = np.array([values[f"/cut{place + 1}"] for place in range(len(spec.thresholds))])
    if np.any(np.diff(thresholds) <= 0):
        listed = ", ".join(f"{cut:g}" for cut in thresholds)
        raise DecisionError(
            f"the thresholds drawn for '{ask.name}' do not ascend ({listed}); the covariance of the thresholds is too "
            f"wide for draws @ decisions.{ask.name}.regression.covariance"
        )
    random = {"person_sd": spec.person_sd, "shock_sd": spec.shock_sd}
    return Regression(ask.name, tuple(options), len(texts), constants, tables, tuple(products), thresholds, **random)


def _read_terms(spec: RegressionSpec, ask: Decision, columns: Mapping[str, Column]) -> dict[str, Term]:
    reader = TermReader(visible_columns(ask, columns))
    given = spec.coefficients.values()
    names = {name for table in given if isinstance(table, dict) for name in table}
    names |= {name for name, value in spec.coefficients.items() if not isinstance(value, dict)}
    terms = {}
    for name in names:
        term = reader.read(name)
        if isinstance(term, str):
            raise DecisionError(f"{term} @ decisions.{ask.name}.regression.coefficients")
        terms[name] = term
    return terms


def regression_weights(room: Room, call: Call, regression: Regression) -> FloatArray:
    """Return one log weight per agent and option, float64, shape (n, n_options).

    Args:
        room: The world.
        call: Whose decision it is and what they see.
        regression: The decision's regression.

    Raises:
        DecisionError: a column is missing that the decision is said to show.
    """
    weights = np.empty((call.agents.size, regression.n_options))
    shocks = _shocks(room, regression)
    for start in range(0, call.agents.size, CHUNK):
        part = slice(start, start + CHUNK)
        agents = call.agents[part]

        def read(name: str, part: slice = part, agents: IntArray = agents) -> NDArray[Any]:
            if name in call.columns:
                return call.columns[name][part]
            if name not in room.population:
                raise DecisionError(f"'{call.ask.name}' shows the column '{name}', which its caller did not give")
            return room.population[name][agents]

        eta = regression.predictors(read, agents.size)
        for lane, row in enumerate(eta):
            if regression.person_sd:
                stream = f"regression:{regression.name}:person"
                u = draw_uniform(room.population_seed, stream, 0, 0, agents, lane)
                row += regression.person_sd * ndtri(np.maximum(u, SMALLEST))
            if regression.shock_sd:
                row += shocks[lane]
        regression.weigh(eta, weights[part])
    return weights


def _shocks(room: Room, regression: Regression) -> FloatArray:
    """Return this step's common shock of each predictor."""
    lanes = regression.constants.size
    stream, everyone = f"regression:{regression.name}:shock", np.zeros(1, np.int64)
    u = [draw_uniform(room.dynamics_seed, stream, room.step, 0, everyone, lane)[0] for lane in range(lanes)]
    shocks: FloatArray = regression.shock_sd * ndtri(np.maximum(u, SMALLEST))
    return shocks

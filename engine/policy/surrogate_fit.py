"""A small regression that stands in for a language model: fitted to the model's own answer probabilities.

Each shown column enters by its presentation's codes: one indicator per code seen, or, for rounded numbers of many
codes, the code and its square; products of the ordered columns' codes let them act together. Each option but the first
has a logit against the first, fitted by weighted binomial likelihood to the two probabilities.

Source: fractional logit, Papke and Wooldridge (1996), Journal of Applied Econometrics 11, 619; separate logits for a
multinomial response, Begg and Gray (1984), Biometrika 71, 11.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.decision import FloatArray, IntArray

MOST_INDICATORS = 20
_SMALLEST = 1e-12


@dataclass(frozen=True)
class Feature:
    """How one shown column enters the regression.

    Attributes:
        name: Column name.
        n_codes: Number of codes of its presentation.
        ordered: Whether a larger code means more of something.
        seen: Codes that the fit has seen, ascending.
    """

    name: str
    n_codes: int
    ordered: bool
    seen: tuple[int, ...]

    @property
    def is_numeric(self) -> bool:
        """Whether the code itself and its square enter, not an indicator per code."""
        return self.ordered and self.n_codes > MOST_INDICATORS

    def columns(self, codes: IntArray) -> list[FloatArray]:
        """Return the regression's columns for some codes."""
        if self.is_numeric:
            score = self.score(codes)
            return [score, score**2]
        return [(codes == code).astype(np.float64) for code in self.seen[1:]]

    def score(self, codes: IntArray) -> FloatArray:
        """Return the codes scaled to -1..1."""
        score: FloatArray = 2.0 * codes / max(self.n_codes - 1, 1) - 1.0
        return score

    def is_new(self, codes: IntArray) -> NDArray[np.bool_]:
        """Return where the fit has seen nothing like a code: not the code itself, or none so small or so large."""
        if self.is_numeric:
            return (codes < self.seen[0]) | (codes > self.seen[-1])
        return ~np.isin(codes, self.seen)


@dataclass(frozen=True)
class FitError:
    """How far predictions lay from the model's distributions where the fit had not seen them.

    Attributes:
        n_fitted: Situations that the judged fit had seen.
        n_held_out: Situations that it had not.
        mean, largest: Total variation distance, in [0, 1].
        baseline: Mean distance where every situation is given the mean distribution.
    """

    n_fitted: int
    n_held_out: int
    mean: float
    largest: float
    baseline: float


@dataclass(frozen=True)
class Fit:
    """A fitted surrogate; predictions follow from it alone.

    Attributes:
        features: How each shown column enters, in order.
        coefficients: Shape (n_options - 1, n_columns).
        covariances: Of each logit's coefficients, with the dispersion estimated, shape (n_options - 1, n_columns,
            n_columns).
        error: Held-out error of a fit to part of the situations.
    """

    features: tuple[Feature, ...]
    coefficients: FloatArray
    covariances: FloatArray
    error: FitError

    def predict(self, codes: IntArray) -> tuple[FloatArray, FloatArray]:
        """Return (log probabilities (n, n_options), largest standard error of a probability (n,)).

        Args:
            codes: Code of each shown column, shape (n, n_features).
        """
        x = build_columns(self.features, codes)
        eta = np.concatenate([np.zeros((len(x), 1)), x @ self.coefficients.T], axis=1)
        logp = eta - np.logaddexp.reduce(eta, axis=1, keepdims=True)
        variance = np.stack([np.einsum("ij,jk,ik->i", x, cov, x) for cov in self.covariances], axis=1)
        p = np.exp(logp[:, 1:])
        error = p * (1 - p) * np.sqrt(np.maximum(variance, 0.0))
        if p.shape[1] == 0:
            return logp, np.zeros(len(x))
        return logp, error.max(axis=1)

    def is_new(self, codes: IntArray) -> NDArray[np.bool_]:
        """Return which rows hold a code that the fit has not seen."""
        new = np.zeros(len(codes), bool)
        for place, feature in enumerate(self.features):
            new |= feature.is_new(codes[:, place])
        return new

    def dump(self) -> dict[str, Any]:
        """Return the fit as plain numbers, exact to the last bit."""
        return {
            "features": [[f.name, f.n_codes, f.ordered, list(f.seen)] for f in self.features],
            "coefficients": self.coefficients.tolist(),
            "covariances": self.covariances.tolist(),
            "error": vars(self.error),
        }

    @classmethod
    def parse(cls, held: dict[str, Any]) -> Fit:
        """Return the fit that `dump` wrote."""
        features = tuple(Feature(name, n, ordered, tuple(seen)) for name, n, ordered, seen in held["features"])
        coefficients = np.array(held["coefficients"], np.float64)
        return cls(features, coefficients, np.array(held["covariances"], np.float64), FitError(**held["error"]))


def build_columns(features: Sequence[Feature], codes: IntArray) -> FloatArray:
    """Return the regression's columns, shape (n, n_columns): constant, each feature's own, products of ordered ones."""
    columns = [np.ones(len(codes))]
    for place, feature in enumerate(features):
        columns += feature.columns(codes[:, place])
    ordered = [place for place, feature in enumerate(features) if feature.ordered and len(feature.seen) > 1]
    for number, a in enumerate(ordered):
        for b in ordered[number + 1 :]:
            columns.append(features[a].score(codes[:, a]) * features[b].score(codes[:, b]))
    return np.stack(columns, axis=1)


def fit_surrogate(
    names: Sequence[str],
    n_codes: Sequence[int],
    ordered: Sequence[bool],
    codes: IntArray,
    logp: FloatArray,
    held_out: IntArray,
) -> Fit:
    """Return a surrogate fitted to all situations; its error is that of a fit without those held out.

    Args:
        names: Name of each shown column.
        n_codes: Number of codes of each.
        ordered: Whether a larger code means more.
        codes: Codes of the situations that the model has answered, shape (n, n_features).
        logp: The model's log probabilities, shape (n, n_options).
        held_out: Rows for the error, at least one.
    """
    kept = np.setdiff1d(np.arange(len(codes)), held_out)
    features, coefficients, covariances = _fit(names, n_codes, ordered, codes[kept], logp[kept])
    trial = Fit(features, coefficients, covariances, FitError(0, 0, 0.0, 0.0, 0.0))
    known = held_out[~trial.is_new(codes[held_out])]
    truth, mean = np.exp(logp[known]), np.exp(logp[kept]).mean(axis=0)
    distance = 0.5 * np.abs(np.exp(trial.predict(codes[known])[0]) - truth).sum(axis=1)
    baseline = 0.5 * np.abs(mean - truth).sum(axis=1)
    error = FitError(len(kept), len(known), *(_of(distance)), float(baseline.mean()) if known.size else 1.0)
    return Fit(*_fit(names, n_codes, ordered, codes, logp), error)


def _of(distance: FloatArray) -> tuple[float, float]:
    return (float(distance.mean()), float(distance.max())) if distance.size else (1.0, 1.0)


def _fit(
    names: Sequence[str], n_codes: Sequence[int], ordered: Sequence[bool], codes: IntArray, logp: FloatArray
) -> tuple[tuple[Feature, ...], FloatArray, FloatArray]:
    features = tuple(
        Feature(name, n_codes[place], ordered[place], tuple(np.unique(codes[:, place]).tolist()))
        for place, name in enumerate(names)
    )
    x, p = build_columns(features, codes), np.exp(logp)
    fitted = [_fit_logit(x, p[:, 0], p[:, option]) for option in range(1, p.shape[1])]
    return features, np.array([held[0] for held in fitted]), np.array([held[1] for held in fitted])


def _fit_logit(x: FloatArray, first: FloatArray, other: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return (coefficients, covariance) of the logit of `other` against `first`, weighted by their sum."""
    from statsmodels.genmod.families import Binomial
    from statsmodels.genmod.generalized_linear_model import GLM

    weight = np.maximum(first + other, _SMALLEST)
    with warnings.catch_warnings():  # an exact fit is no reason for alarm here: the probabilities are known exactly
        warnings.simplefilter("ignore")
        model = GLM(np.clip(other / weight, 0.0, 1.0), x, family=Binomial(), var_weights=weight)
        result = model.fit()
    dispersion = float(result.pearson_chi2) / max(float(result.df_resid), 1.0)
    return np.asarray(result.params, np.float64), dispersion * np.asarray(result.normalized_cov_params, np.float64)

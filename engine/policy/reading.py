"""Read answer distributions from a language model: orders of listing, neutral premises, length, temperature.

Sources: order effects averaged in log space, ours; Holtzman, West, Shwartz, Choi, Zettlemoyer (2021), Surface form
competition, eq. 4 (mutual information against a premise without content) and section 3 (length normalisation).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.decision import FloatArray
from engine.llm import LanguageModel, Scores
from engine.policy.prompt import YES_NO, ask_option


@dataclass(frozen=True)
class Listing:
    """How options are asked; the same for all situations with the same options.

    Attributes:
        prefixes: Shared part of the prompt, one for each order in which the options are listed.
        tails: What ends each of them after the situation's own part; empty unless options are listed there.
        options: Option texts in declared order.
        separately: Whether each option is asked with yes or no.
    """

    prefixes: tuple[str, ...]
    tails: tuple[str, ...]
    options: tuple[str, ...]
    separately: bool = False


@dataclass(frozen=True)
class Prompt:
    """One situation before it is asked: how its options are listed, and its own part of the text."""

    listing: Listing
    body: str

    @property
    def suffix(self) -> str:
        """The particular part of the prompt under the first order of listing."""
        return self.body + self.listing.tails[0]


@dataclass(frozen=True)
class Answers:
    """What a model said in n situations with the same listing.

    Attributes:
        mean: Log P of each option, averaged over the orders, up to a constant per situation, shape (n, n_options); of
            a set the log odds of yes.
        raw: Log P of each option's text under the first order; of a set those of yes.
        mass: Probability of all options together, shape (n,); of a set the mean over its questions.
        cached: Whether each situation needed no new question to the model.
    """

    mean: FloatArray
    raw: FloatArray
    mass: FloatArray
    cached: tuple[bool, ...]


def read_answers(model: LanguageModel, listing: Listing, bodies: Sequence[str], *, exact: bool = False) -> Answers:
    """Ask a model about some situations that share a listing.

    Args:
        model: The language model.
        listing: How the options are asked.
        bodies: The situations' own parts.
        exact: Whether `mean` must hold log probabilities themselves, not up to a constant.
    """
    if listing.separately:
        return _read_separately(model, listing, bodies)
    if len(set(listing.tails)) == 1 and not exact:
        suffixes = [body + listing.tails[0] for body in bodies]
        scores = model.score(list(listing.prefixes), suffixes, list(listing.options))
        return Answers(
            _table(scores.logp), _table(scores.raw), np.asarray(scores.mass, np.float64), _known([scores], len(bodies))
        )
    found = [
        model.score(prefix, [body + tail for body in bodies], list(listing.options))
        for prefix, tail in zip(listing.prefixes, listing.tails, strict=True)
    ]
    mean = np.mean([_table(scores.raw) for scores in found], axis=0)
    return Answers(mean, _table(found[0].raw), np.asarray(found[0].mass, np.float64), _known(found, len(bodies)))


def _read_separately(model: LanguageModel, listing: Listing, bodies: Sequence[str]) -> Answers:
    n, k = len(bodies), len(listing.options)
    suffixes = [body + ask_option(option) for body in bodies for option in listing.options]
    scores = model.score(list(listing.prefixes), suffixes, list(YES_NO))
    both = _table(scores.logp).reshape(n, k, 2)
    raw = _table(scores.raw).reshape(n, k, 2)
    return Answers(
        both[:, :, 0] - both[:, :, 1],
        raw[:, :, 0],
        np.asarray(scores.mass, np.float64).reshape(n, k).mean(axis=1),
        _known([scores], n),
    )


def _known(found: Sequence[Scores], n: int) -> tuple[bool, ...]:
    """Tell for each of n situations whether all of its questions had been asked before."""
    parts = [np.array(scores.cached or (False,) * len(scores.logp), np.bool_).reshape(n, -1) for scores in found]
    return tuple(bool(row.all()) for row in np.concatenate(parts, axis=1))


def _table(rows: Sequence[NDArray[np.float64]]) -> FloatArray:
    return np.stack([np.asarray(row, np.float64) for row in rows])


def debias(answers: Answers, listing: Listing, normalisation: str, neutral: FloatArray | None = None) -> FloatArray:
    """Return scores on which temperature and intercepts act, shape (n, n_options): log weights, or log odds of a set.

    Args:
        answers: What the model said.
        listing: How it was asked.
        normalisation: none, pmi or bytes.
        neutral: `mean` under the neutral premise, shape (n_options,), with pmi.
    """
    if normalisation == "bytes":
        return answers.mean / np.array([len(option.encode()) for option in listing.options], np.float64)
    return answers.mean if neutral is None else answers.mean - neutral


def log_probabilities(
    scores: FloatArray, *, separately: bool, temperature: float = 1.0, intercepts: FloatArray | float = 0.0
) -> FloatArray:
    """Return log probabilities of (scores + intercepts) / temperature, same shape.

    Args:
        scores: Log weights or log odds, options along the last axis.
        separately: Whether each option is taken or not, apart from the others.
        temperature: Above 0; 1 leaves the scores as they are.
        intercepts: Added to the scores, one per option.
    """
    z: FloatArray = (scores + intercepts) / temperature
    with np.errstate(invalid="ignore"):  # NaN stays NaN and is counted as unusable where it is drawn from
        if separately:
            return -np.logaddexp(0.0, -z)
        return z - np.logaddexp.reduce(z, axis=-1, keepdims=True)


def scores_of(logp: FloatArray, *, separately: bool) -> FloatArray:
    """Return log weights, or the log odds of log probabilities; the inverse of `log_probabilities`."""
    if not separately:
        return logp
    with np.errstate(divide="ignore", invalid="ignore"):
        return logp - np.log(-np.expm1(np.minimum(logp, 0.0)))

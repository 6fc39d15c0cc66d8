"""The covariance matrix of a regression's coefficients: its order, its form, and draws from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from engine.decision import FloatArray
from engine.problems import Findings, Path, shown, unknown
from engine.regressions.tables import clean_lines, read_matrix
from engine.regressions.terms import TermReader, match
from engine.spec import RegressionSpec

# What printing with three digits explains: relative asymmetry, and a negative eigenvalue of the correlations.
ASYMMETRY, NEGATIVE = 1e-3, -1e-3
SINGULAR = 1e-8  # part of a variance below which what is left of it counts as rounding


def coefficient_values(spec: RegressionSpec) -> dict[str, float]:
    """Return name -> value of everything that was estimated: `term`, `option:term` (multinomial), `/cut1`, ..."""
    values: dict[str, float] = {}
    for name, value in spec.coefficients.items():
        if isinstance(value, dict):
            values |= {f"{name}:{term}": number for term, number in value.items()}
        else:
            values[name] = value
    return values | {f"/cut{place}": cut for place, cut in enumerate(spec.thresholds, start=1)}


def check_covariance(
    spec: RegressionSpec, reader: TermReader, options: Sequence[str], path: Path, findings: Findings
) -> RegressionSpec:
    """Return a regression whose covariance matrix, if any, has a checked order and form.

    Args:
        spec: Regression with canonical coefficients.
        reader: Reads the names of rows.
        options: Options of the decision.
        path: Key of the regression.
        findings: Where problems go.
    """
    names = list(coefficient_values(spec))
    matrix, order, key = spec.covariance, list(spec.covariance_order), "covariance"
    if spec.pasted_covariance is not None:
        key = "pasted_covariance"
        if matrix is not None:
            findings.add("covariance and pasted_covariance are both given; keep one of them", *path, key)
        found = read_matrix(clean_lines(spec.pasted_covariance))
        if isinstance(found, str):
            findings.add(found, *path, key)
            return spec
        order = list(dict.fromkeys(row for row, _ in found))
        columns = dict.fromkeys(column for _, column in found)
        if set(order) != set(columns) or len(found) != len(order) ** 2:
            findings.add("the pasted matrix has not the same names in its rows and columns", *path, key)
            return spec
        matrix = tuple(tuple(found[row, column] for column in order) for row in order)
    if matrix is None:
        if spec.draw_coefficients:
            findings.add("draw_coefficients = true needs a covariance matrix", *path, "draw_coefficients")
        if order:
            findings.add("covariance_order names the rows of a covariance that is not there", *path, "covariance_order")
        return spec
    order_key = key if spec.pasted_covariance is not None else "covariance_order"
    bound = _bind_order(order, names, reader, options, (*path, order_key), findings) if order else names
    problem = "" if bound is None else _matrix_problem(matrix, bound)
    if problem:
        findings.add(problem, *path, key)
    changes = {"pasted_covariance": None, "covariance": matrix, "covariance_order": tuple(bound or ())}
    return spec.model_copy(update=changes)


def _bind_order(
    order: Sequence[str],
    names: Sequence[str],
    reader: TermReader,
    options: Sequence[str],
    path: Path,
    findings: Findings,
) -> list[str] | None:
    """Return the coefficients that the rows of a matrix stand for; None where that is not one each."""
    cuts = [name for name in names if name.startswith("/cut")]
    printed = [name for name in order if "|" in name]
    bound = []
    for name in order:
        found = _canonical(name, reader, options, names)
        if name in printed and len(printed) == len(cuts):
            found = cuts[printed.index(name)]
        bound.append(found)
        if found not in names:
            findings.add(unknown(found, "a coefficient of this regression", names), *path)
    if not set(bound) <= set(names):
        return None
    if len(set(bound)) != len(names) or len(bound) != len(names):
        missing = [name for name in names if name not in bound]
        what = f"without a row: {', '.join(missing)}" if missing else "a row is given twice"
        findings.add(f"the covariance needs one row for each of the {len(names)} coefficients; {what}", *path)
        return None
    return bound


def _canonical(name: str, reader: TermReader, options: Sequence[str], names: Sequence[str]) -> str:
    if name in names:
        return name
    if f"/{name}" in names:
        return f"/{name}"
    for place, character in enumerate(name):
        if character == ":" and len(option := match(name[:place], options)) == 1:
            term = reader.read(name[place + 1 :])
            if not isinstance(term, str) and f"{option[0]}:{term.text}" in names:
                return f"{option[0]}:{term.text}"
    term = reader.read(name)
    return name if isinstance(term, str) else term.text


def _matrix_problem(matrix: Sequence[Sequence[float]], names: Sequence[str]) -> str:
    """Return why a matrix is no covariance of these coefficients, or an empty string."""
    n = len(names)
    widths = {len(row) for row in matrix}
    if len(matrix) != n or widths != {n}:
        width = min(widths, default=0)
        listed = ", ".join(names)
        return (
            f"the covariance has {len(matrix)} rows of {width}; {n} coefficients need {n} x {n}, in the order {listed}"
        )
    values = np.array(matrix, np.float64)
    scale = np.sqrt(np.abs(np.diag(values)))
    far = np.abs(values - values.T) > ASYMMETRY * np.maximum(np.outer(scale, scale), np.abs(values))
    if far.any():
        i, j = (int(k) for k in np.argwhere(far)[0])
        pair = f"{shown(matrix[i][j])} and {shown(matrix[j][i])}"
        return f"the covariance of {names[i]} and {names[j]} is given as {pair}; the matrix must be symmetric"
    if (np.diag(values) < 0).any():
        i = int(np.argmin(np.diag(values)))
        return f"the variance of {names[i]} is {shown(matrix[i][i])}; variances are at least 0"
    unit = np.where(scale > 0, scale, 1.0)
    lowest = float(np.linalg.eigvalsh(values / np.outer(unit, unit)).min())
    if lowest < NEGATIVE:
        return f"the matrix is no covariance: its correlations have the negative eigenvalue {lowest:.3g}"
    return ""


def draw_values(spec: RegressionSpec, rng: np.random.Generator) -> dict[str, float]:
    """Return the coefficients drawn from their multivariate normal distribution.

    The draw does not depend on the order in which a study lists its coefficients.

    Args:
        spec: Canonical regression with a covariance matrix.
        rng: Generator that starts afresh for this draw.
    """
    means = coefficient_values(spec)
    order = list(spec.covariance_order)
    names = sorted(order)
    rows = [order.index(name) for name in names]
    covariance = np.array(spec.covariance, np.float64)[np.ix_(rows, rows)]
    drawn = cholesky_root((covariance + covariance.T) / 2) @ rng.standard_normal(len(names))
    return _added(means, dict(zip(names, drawn.tolist(), strict=True)))


def _added(means: Mapping[str, float], deviations: Mapping[str, float]) -> dict[str, float]:
    return {name: mean + deviations[name] for name, mean in means.items()}


def cholesky_root(covariance: FloatArray) -> FloatArray:
    """Return the lower triangular L with L L' = covariance, shape (n, n); a singular matrix has zero columns.

    Unlike an eigenvector's sign, L is unique, so that a draw is the same with every linear algebra library.
    """
    n = len(covariance)
    root = np.zeros((n, n))
    for j in range(n):
        left = covariance[j, j] - root[j, :j] @ root[j, :j]
        if left > SINGULAR * covariance[j, j]:
            root[j, j] = np.sqrt(left)
            root[j + 1 :, j] = (covariance[j + 1 :, j] - root[j + 1 :, :j] @ root[j, :j]) / root[j, j]
    return root

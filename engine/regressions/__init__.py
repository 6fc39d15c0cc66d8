"""A regression as a rule: coefficients typed or pasted, checked against what a decision can see."""

from engine.regressions.checking import check_regressions
from engine.regressions.covariance import cholesky_root, coefficient_values, draw_values
from engine.regressions.describe import describe_regression
from engine.regressions.tables import Pasted, Row, read_matrix, read_pasted
from engine.regressions.terms import INTERCEPT, Factor, Term, TermColumn, TermReader, visible_columns

__all__ = [
    "INTERCEPT",
    "Factor",
    "Pasted",
    "Row",
    "Term",
    "TermColumn",
    "TermReader",
    "check_regressions",
    "cholesky_root",
    "coefficient_values",
    "describe_regression",
    "draw_values",
    "read_matrix",
    "read_pasted",
    "visible_columns",
]

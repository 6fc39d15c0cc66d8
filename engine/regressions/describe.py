"""One sentence about a regression, for reports and forms."""

from __future__ import annotations

from engine.regressions.covariance import coefficient_values
from engine.spec import RegressionSpec

_KINDS = {"logit": "a logit", "multinomial": "a multinomial logit", "ordinal": "a proportional odds logit"}


def describe_regression(spec: RegressionSpec) -> str:
    """Return what decides, in words: kind, every coefficient, and what is random in them.

    Args:
        spec: A regression of a checked study.
    """
    of = f" of '{spec.option}'" if spec.kind == "logit" else ""
    listed = ", ".join(f"{name} {value:g}" for name, value in coefficient_values(spec).items())
    parts = [f"{_KINDS[spec.kind or 'logit']}{of} ({listed})"]
    if spec.draw_coefficients:
        parts.append("coefficients drawn once per replicate from their covariance")
    if spec.person_sd:
        parts.append(f"random intercept per person (standard deviation {spec.person_sd:g})")
    if spec.shock_sd:
        parts.append(f"common shock per step (standard deviation {spec.shock_sd:g})")
    return "; ".join(parts)

"""What people in the city decide each week, and the logits by which they do so without a language model.

Both decisions see the weekly cases per 100,000 people, the weeks for which restrictions have been in force (0 for
none) and whether a payment is made. All numbers of the logit of isolating are ours, as are those of working; their
signs follow Chopra et al. (2024), 2409.10568, section 5.
"""

import numpy as np

from engine import Categories, Choice, Decision, Words

# Logit of isolating: constant and coefficients; ours.
ISOLATE = {
    "constant": -2.0,
    "cases": 0.8,  # per factor of ten in weekly cases per 100,000, counted from 10
    "age": 0.02,  # per year, counted from 45
    "restrictions": 0.6,
    "weeks": -0.02,  # per week of restrictions
    "payment": 0.4,
    "essential": -0.5,
    "at_home": 0.0,
}
# Logit of working; ours.
WORK = {
    "constant": 3.0,
    "cases": -0.4,
    "age": -0.01,
    "restrictions": -0.8,
    "weeks": 0.02,
    "payment": -0.5,
    "essential": 0.8,
    "at_home": -0.7,
}
MIDDLE_AGE = 45
REFERENCE_CASES = 10.0

CASES = Words(
    (1, 10, 50, 200, 500, 1000),
    (
        "none or almost none",
        "fewer than 10 per 100,000 people",
        "between 10 and 50 per 100,000 people",
        "between 50 and 200 per 100,000 people",
        "between 200 and 500 per 100,000 people",
        "between 500 and 1,000 per 100,000 people",
        "more than 1,000 per 100,000 people",
    ),
)
WEEKS = Words(
    (0.5, 1.5, 4.5, 8.5, 16.5),
    (
        "none",
        "everyone is asked to stay at home, since this week",
        "everyone is asked to stay at home, for 2 to 4 weeks now",
        "everyone is asked to stay at home, for 5 to 8 weeks now",
        "everyone is asked to stay at home, for 9 to 16 weeks now",
        "everyone is asked to stay at home, for more than 16 weeks now",
    ),
)
PAYMENT = Categories(("none", "everyone gets a week's rent and food from the government"))
AT_HOME = Categories(("you go out as usual", "you stay at home"))

SCENE = (
    "A new infectious disease is spreading through your city. Most people recover from it, but the older a person is, "
    "the more dangerous it is."
)


def logit(table, seen, at_home=0.0):
    """Return the sum of a table's terms, float64 (n,).

    Args:
        table: Constant and coefficients, `ISOLATE` or `WORK`.
        seen: What the agents see: `cases` per 100,000 in the last week, `weeks` of restrictions, `payment`, and their
            `age` in years; `essential` says who has a job that goes on.
        at_home: Whether each agent isolates.
    """
    cases = np.log10(np.maximum(seen["cases"], 1.0) / REFERENCE_CASES)
    weeks = np.asarray(seen["weeks"], np.float64)
    return (
        table["constant"]
        + table["cases"] * cases
        + table["age"] * (seen["age"] - MIDDLE_AGE)
        + table["restrictions"] * (weeks > 0)
        + table["weeks"] * weeks
        + table["payment"] * seen["payment"]
        + table["essential"] * seen["essential"]
        + table["at_home"] * at_home
    )


isolate = Decision(
    "isolate",
    Choice("stay at home", "go out as usual"),
    rule=lambda seen: seen.log_weights(logit(ISOLATE, seen), 0.0),
    preamble=SCENE,
    question="Do you stay at home this week, and meet nobody outside your household unless you must?",
    shows={"cases": CASES, "weeks": WEEKS, "payment": PAYMENT},
    labels={"cases": "New cases in the last week", "weeks": "Restrictions", "payment": "Payment"},
    persona_fields=("age", "occupation", "essential_worker"),
)

work = Decision(
    "work",
    Choice("work", "do not work"),
    rule=lambda seen: seen.log_weights(logit(WORK, seen, seen["at_home"]), 0.0),
    preamble=SCENE,
    question="Do you do your job this week, from home if you stay at home?",
    shows={"cases": CASES, "weeks": WEEKS, "payment": PAYMENT, "at_home": AT_HOME},
    labels={
        "cases": "New cases in the last week",
        "weeks": "Restrictions",
        "payment": "Payment",
        "at_home": "This week",
    },
    persona_fields=("age", "occupation", "essential_worker"),
)

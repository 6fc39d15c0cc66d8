"""Who decides: rule, language model, scripted answers, or a mixture."""

from __future__ import annotations

from engine import registry
from engine.policy.human import assign_human, decide_by_human, write_by_human
from engine.policy.language import decide_by_language, write_by_language
from engine.policy.mixture import assign_mixture
from engine.policy.policies import Decided, PolicyInfo
from engine.policy.records import DecisionBatch, Message, Situation
from engine.policy.rule import decide_by_chance, decide_by_rule
from engine.policy.surrogate import decide_by_surrogate

for _info in (
    PolicyInfo("rule", "The scenario's rule decides for everyone.", False, decide_by_rule),
    PolicyInfo(
        "language",
        "The language model's answer probabilities decide for everyone.",
        True,
        decide_by_language,
        write_by_language,
    ),
    PolicyInfo("scripted", "Seeded random answers, each option equally likely: a null model.", False, decide_by_chance),
    PolicyInfo(
        "mixture",
        "The language model decides for a share of the agents, the rule for the others.",
        True,
        assign=assign_mixture,
    ),
    PolicyInfo(
        "surrogate",
        "A regression fitted to the language model's own answers decides; the model where the regression is unsure.",
        True,
        decide_by_surrogate,
        write_by_language,
    ),
    PolicyInfo(
        "human",
        "People play the agents in `seats`; the others decide before them, by the policy in `others`.",
        False,
        decide_by_human,
        write_by_human,
        assign=assign_human,
    ),
):
    registry.policies.register(_info.name, _info)

__all__ = ["Decided", "DecisionBatch", "Message", "PolicyInfo", "Situation"]

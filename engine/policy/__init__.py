"""Who decides: rule, language model, scripted answers, or a mixture."""

from __future__ import annotations

from dataclasses import dataclass

from engine import registry
from engine.policy.records import DecisionBatch, Message, Situation


@dataclass(frozen=True)
class PolicyInfo:
    """A policy that a study can name."""

    name: str
    help: str
    needs_model: bool


for _info in (
    PolicyInfo("rule", "The scenario's rule decides for everyone.", False),
    PolicyInfo("language", "The language model's answer probabilities decide for everyone.", True),
    PolicyInfo("scripted", "Seeded random answers, each option equally likely: a null model.", False),
    PolicyInfo("mixture", "The language model decides for a share of the agents, the rule for the others.", True),
):
    registry.policies.register(_info.name, _info)

__all__ = ["DecisionBatch", "Message", "PolicyInfo", "Situation"]

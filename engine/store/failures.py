"""What went wrong with answers in a run and was counted instead of replaced, in sentences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

KINDS = ("unusable_answer", "unusable_text", "shortened")

FAILURES = f"""select kind, coalesce(detail ->> '$.decision', detail ->> '$.writing', '') as asked,
        coalesce(detail ->> '$.part', '') as part, coalesce(detail ->> '$.then', '') as response,
        sum(coalesce(detail ->> '$.agents', detail ->> '$.n', '0')::BIGINT)::BIGINT as agents,
        count(distinct step) as steps
    from events where kind in {KINDS} group by all order by kind, asked, part, response"""
"""Counts of failures by kind and decision, over the events of a run."""

_THEN = {"count": "used as read", "rule": "decided by the rule", "stop": "the run stopped"}


def describe_failures(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return one sentence per row of the query `FAILURES`."""
    told = []
    for row in rows:
        when = f"in {row['steps']:,} step{'' if row['steps'] == 1 else 's'}"
        if row["kind"] == "unusable_answer":
            then = _THEN.get(str(row["response"]), "counted")
            told.append(f"{row['agents']:,} answers to '{row['asked']}' were unusable {when}: {then}.")
        elif row["kind"] == "unusable_text":
            told.append(f"{row['agents']:,} texts of '{row['asked']}' were unusable {when}.")
        else:
            part = {"persona": "personas", "texts": "texts", "observation": "observations"}.get(
                row["part"], row["part"]
            )
            told.append(f"{row['agents']:,} prompts of '{row['asked']}' had their {part} shortened {when}.")
    return told

"""What a run leaves on disk: catalog, segments, `run.duckdb`, and readers that return polars frames."""

from engine.store.catalog import Catalog
from engine.store.consolidation import consolidate
from engine.store.failures import FAILURES, describe_failures
from engine.store.readers import (
    count_rows,
    folder_of,
    open_run,
    query,
    read_agents,
    read_columns,
    read_decision_counts,
    read_decisions,
    read_edges,
    read_events,
    read_measures,
    read_messages,
    read_situations,
    read_states,
    table_names,
)

__all__ = [
    "FAILURES",
    "Catalog",
    "consolidate",
    "count_rows",
    "describe_failures",
    "folder_of",
    "open_run",
    "query",
    "read_agents",
    "read_columns",
    "read_decision_counts",
    "read_decisions",
    "read_edges",
    "read_events",
    "read_measures",
    "read_messages",
    "read_situations",
    "read_states",
    "table_names",
]

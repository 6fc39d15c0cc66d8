"""Reports: what one or more runs were, what came out, and what they cannot show."""

from engine.reports.output import render_report, write_report

__all__ = ["render_report", "write_report"]

"""Every error that Microcosm raises on purpose.

::

    MicrocosmError
    ├── StudyError            a study cannot be used; carries every Problem at once
    ├── ExpressionError       a `where` or `when` that is not in the small language
    ├── RegistryError         a name that nothing is registered under
    ├── PopulationError       personas, recipes, columns
    ├── NetworkError          generators, edge lists, ties
    ├── ModelError            a language model file that cannot be loaded or asked
    │   ├── ContextOverflow   a prompt longer than the model's context
    │   ├── ModelStopped      asking was given up on request
    │   └── ServerError       a model server that does not answer, or not as it should
    ├── DecisionError         a rule, policy or answer that breaks the contract of a decision
    ├── RunError              a run that cannot be started, found, resumed or read
    │   ├── RunNotFound
    │   ├── RunLocked         another worker holds the run
    │   └── StorageFull       the disk refused a write; committed steps stay readable
    └── ReportError           a report or an export that cannot be written
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class MicrocosmError(Exception):
    """Base of all deliberate errors; its text is one sentence fit for the user."""


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a study: what, where, in which file.

    Attributes:
        message: What was given and what is allowed.
        key: Dotted key in the study, for example ``network.p_rewire``.
        file: Name of the file, or an empty string.
    """

    message: str
    key: str = ""
    file: str = ""

    def __str__(self) -> str:
        where = f" @ {self.key}" if self.key else ""
        return f"{self.message}{where}" + (f" ({self.file})" if self.file else "")


class StudyError(MicrocosmError):
    """A study with one or more problems, all of them in `problems`."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def __reduce__(self) -> tuple[type[StudyError], tuple[tuple[Problem, ...]]]:
        return (type(self), (self.problems,))


class ExpressionError(MicrocosmError):
    """An expression outside the small language of `where` and `when`."""


class RegistryError(MicrocosmError):
    """A name that is not registered; the text names the nearest valid one."""


class PopulationError(MicrocosmError):
    """A population that cannot be built."""


class NetworkError(MicrocosmError):
    """A network that cannot be built, read or changed."""


class ModelError(MicrocosmError):
    """A language model that cannot be loaded or asked."""


class ContextOverflow(ModelError):
    """A prompt that needs more tokens than the model's context holds."""


class ModelStopped(ModelError):
    """Asking the language model was given up because somebody asked for it: a pause, a cancel."""


class ServerError(ModelError):
    """A model server that cannot be reached, refuses, or answers what nobody can read."""


class DecisionError(MicrocosmError):
    """A decision, rule or policy that breaks its contract."""


class RunError(MicrocosmError):
    """A run that cannot be started, continued or read."""


class RunNotFound(RunError):
    """No run, or more than one, answers to the given name."""


class RunLocked(RunError):
    """Another worker holds this run."""


class StorageFull(RunError):
    """The disk refused a write; all committed steps stay readable."""


class ReportError(MicrocosmError):
    """A report or export that cannot be written."""

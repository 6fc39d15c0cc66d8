"""One registry type for every kind of thing a study can name.

Registration is idempotent: a module that is reloaded replaces its own entries, while two different
definitions under one name are refused. Nothing is registered at import of this module; `discover` imports the
modules that define entries.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.resources
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

from engine.errors import RegistryError

T = TypeVar("T")

DEFINING_MODULES = ("engine.network", "engine.policy", "engine.measures", "engine.interventions")


class Registry(Generic[T]):
    """Entries of one kind by name, in order of registration."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}

    def register(self, name: str, entry: T) -> T:
        """Add an entry and return it.

        Raises:
            RegistryError: another definition already holds the name.
        """
        held = self._entries.get(name)
        if held is not None and _origin(held) != _origin(entry):
            raise RegistryError(f"{self.kind} '{name}' is already defined by {_origin(held)}")
        self._entries[name] = entry
        return entry

    def get(self, name: str) -> T:
        """Return the entry of that name.

        Raises:
            RegistryError: no such entry; the text names the nearest one.
        """
        try:
            return self._entries[name]
        except KeyError:
            raise RegistryError(f"'{name}' is not a {self.kind}{nearest(name, self._entries)}") from None

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def items(self) -> list[tuple[str, T]]:
        """Return (name, entry) pairs in order of registration."""
        return list(self._entries.items())


def nearest(name: str, valid: object) -> str:
    """Return '; did you mean ...?' or the list of valid names, for the end of an error's sentence."""
    names = [str(item) for item in valid]  # type: ignore[attr-defined]
    close = difflib.get_close_matches(str(name), names, n=1, cutoff=0.6)
    if close:
        return f"; did you mean '{close[0]}'?"
    return f"; valid: {', '.join(names)}" if names else ""


def _origin(entry: object) -> str:
    module = getattr(entry, "__module__", type(entry).__module__)
    name = getattr(entry, "__qualname__", None) or getattr(entry, "name", type(entry).__qualname__)
    return f"{module}.{name}"


scenarios: Registry[Any] = Registry("scenario")
measures: Registry[Any] = Registry("measure")
networks: Registry[Any] = Registry("network kind")
policies: Registry[Any] = Registry("policy")
effects: Registry[Any] = Registry("effect")
backends: Registry[Any] = Registry("model backend")


def discover() -> None:
    """Import every module that defines entries: the engine's own and each file in `scenarios/`."""
    for module in DEFINING_MODULES:
        importlib.import_module(module)
    names = sorted(
        item.name[:-3]
        for item in importlib.resources.files("scenarios").iterdir()
        if item.name.endswith(".py") and not item.name.startswith("_")
    )
    for name in names:
        importlib.import_module(f"scenarios.{name}")

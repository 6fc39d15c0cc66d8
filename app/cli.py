"""The command line `microcosm`: one table of verbs, one way to fail.

Nothing heavy is imported before a verb is chosen, so that `microcosm --help` answers at once. Exit status: 0 done,
1 failed, 2 the command or the study cannot be understood, 130 interrupted.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn

FORMATS = ("duckdb", "parquet", "csv", "sav", "dta", "otree", "graphml", "gexf", "pajek", "matrix")
LISTED = ("scenarios", "presets", "measures", "networks", "personas", "models", "runs")
PLANNED = {
    "sweep": "run a study with --replicates, or several studies in turn",
    "interview": "read what agents wrote in the messages table or in a report",
    "survey": "read what agents decided in the decisions table",
    "validate": "run the analytic checks with pytest from a source checkout",
    "audit": "see a model's identity with 'microcosm models info'",
    "trust": "put a scenario file into the scenarios folder of a source checkout",
}


@dataclass(frozen=True)
class Verb:
    """One verb: what it says of itself, its arguments, and the function that carries it out.

    Attributes:
        name: The word on the command line.
        help: One sentence.
        carried_out_by: "module:function" below `app`; the function takes the parsed arguments and returns the status.
        arguments: Adds the verb's own arguments to its parser.
    """

    name: str
    help: str
    carried_out_by: str
    arguments: Callable[[argparse.ArgumentParser], None]


class OneSentenceParser(argparse.ArgumentParser):
    """A parser that fails with one sentence instead of a page of usage."""

    def error(self, message: str) -> NoReturn:
        """Write the sentence and leave with status 2."""
        self.exit(2, f"{self.prog}: {message} (see '{self.prog} --help')\n")


def _studio(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--port", type=int, metavar="N", help="port on 127.0.0.1 (default: the first free one from 8610 on)"
    )
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser; print the address")


def _list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", choices=LISTED, help="what to list")


def _new(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("scenario", metavar="SCENARIO", help="a scenario or preset to start from")
    parser.add_argument("-o", "--out", metavar="FILE", required=True, help="study file to write; never overwritten")


def _study_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("study", metavar="FILE", help="a study file, a scenario or a preset")
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="set any key of the study, for example params.epsilon=0.3; may be given more than once",
    )
    parser.add_argument("--seed", type=int, metavar="N", help="the study's seed")
    parser.add_argument("--steps", type=int, metavar="N", help="number of steps")
    parser.add_argument("--replicates", type=int, metavar="R", help="number of runs with different dynamics")
    parser.add_argument(
        "--model",
        metavar="M",
        help="pocket, scripted, a GGUF file or a name in the models folder; the language policy then decides "
        "wherever the study leaves a decision at its default",
    )


def _run(parser: argparse.ArgumentParser) -> None:
    _study_file(parser)
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes that share the runs")
    _consent(parser)


def _consent(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--allow-remote",
        action="store_true",
        help="let texts of personas and situations go to the study's model server on another computer; remembered",
    )


def _one_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run's id, a unique beginning of it, or its folder")


def _resume(parser: argparse.ArgumentParser) -> None:
    _one_run(parser)
    _consent(parser)


def _inject(parser: argparse.ArgumentParser) -> None:
    _one_run(parser)
    parser.add_argument("file", metavar="FILE", help="TOML file with [[interventions]]; they act at the next step")


def _answer(parser: argparse.ArgumentParser) -> None:
    _one_run(parser)
    parser.add_argument(
        "answer",
        nargs="?",
        metavar="ANSWER",
        help="an option or its number, a number, several options separated by semicolons, or a text; "
        "without it the question is shown",
    )


def _fork(parser: argparse.ArgumentParser) -> None:
    _one_run(parser)
    parser.add_argument("--at", type=int, required=True, metavar="STEP", help="last step that both runs share")
    parser.add_argument("--with", dest="file", metavar="FILE", help="TOML file with [[interventions]] for the fork")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE", help="set a key")
    _consent(parser)


def _export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="RUN",
        help="a run's id, a unique beginning of it, or its folder; for otree also several runs, or an experiment's id",
    )
    parser.add_argument("--to", choices=FORMATS, required=True, help="form of the export")
    parser.add_argument("-o", "--out", metavar="PATH", required=True, help="file to write, or folder (parquet, csv)")


def _report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", nargs="+", metavar="RUN", help="runs to report on together")
    parser.add_argument("-o", "--out", metavar="FILE", help="file to write, .html or .pdf (default: in exports)")
    parser.add_argument("--force", action="store_true", help="replace an existing file")


def _models(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("list", "info", "pull", "test"), help="list, read, fetch or try out models")
    parser.add_argument(
        "model",
        nargs="?",
        metavar="MODEL",
        help="pocket, a file or a name; with pull OWNER/REPOSITORY/FILE.gguf or a URL",
    )
    parser.add_argument("--sha256", metavar="HEX", help="with pull: the checksum that the file must have")
    parser.add_argument("--name", metavar="FILE", help="with pull: keep the file under this name")
    parser.add_argument("--ask", metavar="TEXT", help="with test: the question")
    parser.add_argument(
        "--option", dest="options", action="append", metavar="TEXT", help="with test: an answer; give it once for each"
    )
    parser.add_argument("--no-speed", action="store_true", help="with test: leave the speed test out")


def _bench(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("groups", nargs="*", metavar="GROUP", help="groups to run, for example step (default: all)")
    parser.add_argument("--agents", type=int, metavar="N", help="agents of the large workloads (default: a million)")
    parser.add_argument("--largest", type=int, metavar="N", help="follow the growth of cost up to so many agents")
    parser.add_argument("--peers", metavar="PYTHON", help="Python of an environment with other simulators, to compare")
    parser.add_argument(
        "--threads", type=int, metavar="N", help="threads of the language model (default: cores less 1)"
    )
    parser.add_argument("--quick", action="store_true", help="tiny workloads, to see that everything works")


def _fit(parser: argparse.ArgumentParser) -> None:
    _study_file(parser)
    parser.add_argument("series", metavar="CSV", help="observed series: a column of time and one of values")
    parser.add_argument(
        "--knob",
        dest="knobs",
        action="append",
        required=True,
        metavar="NAME=LOW:HIGH",
        help="a knob to fit and its range, for example r0=1.2:5; may be given more than once",
    )
    parser.add_argument("--measure", default="weekly_cases", metavar="NAME", help="measure that the series shows")
    parser.add_argument("--period", type=int, default=7, metavar="N", help="steps per unit of the series' time")
    parser.add_argument("--held-out", type=int, default=0, metavar="N", help="last values kept to judge the forecast")
    parser.add_argument("--runs", type=int, default=3, metavar="R", help="runs per point of the search")
    parser.add_argument("--trials", type=int, default=60, metavar="N", help="most points of the search")
    parser.add_argument("-o", "--out", metavar="FILE", help="study file to write with the fitted knobs")


def _nothing(parser: argparse.ArgumentParser) -> None:
    """Add no argument."""


VERBS = (
    Verb("studio", "Open the studio in the browser (the default).", "commands.studio:open_studio", _studio),
    Verb(
        "list",
        "List scenarios, presets, measures, networks, personas, models or runs.",
        "commands.listing:list_kind",
        _list,
    ),
    Verb("new", "Write a complete study file to start from.", "commands.studies:write_new", _new),
    Verb("check", "Check a study file; one problem a line.", "commands.studies:check", _study_file),
    Verb("estimate", "Say what a study will cost before it runs.", "commands.studies:estimate", _study_file),
    Verb("run", "Run a study and wait for it.", "commands.running:run", _run),
    Verb("resume", "Go on with a paused or interrupted run.", "commands.running:resume", _resume),
    Verb("pause", "Pause a run at its next step.", "commands.running:pause", _one_run),
    Verb("cancel", "End a run for good; what it recorded stays.", "commands.running:cancel", _one_run),
    Verb("replay", "Compute a run again and compare the digests.", "commands.running:replay", _one_run),
    Verb("inject", "Give a running run new interventions.", "commands.running:inject", _inject),
    Verb("answer", "Play an agent: answer what a waiting run asks.", "commands.seats:answer", _answer),
    Verb("fork", "Start a run that branches off another at a step.", "commands.running:fork", _fork),
    Verb("fit", "Fit knobs of a study to an observed series.", "commands.fitting:fit", _fit),
    Verb("export", "Write a run's tables, agents or ties for other programs.", "commands.results:export", _export),
    Verb("report", "Write a self-contained report of one or more runs.", "commands.results:report", _report),
    Verb("models", "List, read, fetch and try out model files.", "commands.models:models", _models),
    Verb(
        "bench",
        "Measure speed on this machine, beside other simulators where they are installed.",
        "commands.bench:bench",
        _bench,
    ),
    Verb("doctor", "Check this installation and say what to mend.", "doctor:doctor", _nothing),
)


def build_parser() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """Return the parser of the whole command line and the parser of each verb."""
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--workspace", metavar="PATH", help="workspace folder (default: $MICROCOSM_WORKSPACE, else ~/Microcosm)"
    )
    shared.add_argument("--json", action="store_true", help="write JSON, one object per line")
    parser = OneSentenceParser(
        prog="microcosm",
        description="A sandbox studio for synthetic societies. Without a verb the studio opens.",
        epilog="'microcosm VERB --help' tells the arguments of a verb.",
    )
    parser.add_argument("--version", action="store_true", help="print the version and leave")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", parser_class=OneSentenceParser)
    parsers = {}
    for verb in VERBS:
        own = verbs.add_parser(verb.name, help=verb.help, description=verb.help, parents=[shared])
        verb.arguments(own)
        own.set_defaults(carried_out_by=verb.carried_out_by)
        parsers[verb.name] = own
    return parser, parsers


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out one command line and return its exit status.

    Args:
        argv: Words after `microcosm`; None takes those of the process.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    unknown = find_unknown_verb(words)
    if unknown is not None:
        sys.stderr.write(unknown + "\n")
        return 2
    if not words or (words[0].startswith("-") and words[0] not in {"-h", "--help", "--version"}):
        words = ["studio", *words]
    arguments = build_parser()[0].parse_args(words)
    if arguments.version:
        from importlib.metadata import version

        sys.stdout.write(f"microcosm {version('microcosm-studio')}\n")
        return 0
    return carry_out(arguments)


def find_unknown_verb(words: Sequence[str]) -> str | None:
    """Return a sentence about a first word that is no verb, or None where it is one."""
    if not words or words[0].startswith("-"):
        return None
    word = words[0]
    names = [verb.name for verb in VERBS]
    if word in PLANNED:
        return f"microcosm: '{word}' is not there yet; meanwhile {PLANNED[word]}"
    if word in names:
        return None
    import difflib

    close = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    hint = f"did you mean '{close[0]}'?" if close else f"valid: {', '.join(names)}"
    return f"microcosm: '{word}' is not a verb; {hint}"


def carry_out(arguments: argparse.Namespace) -> int:
    """Call the verb's function; turn every deliberate failure into a sentence on standard error."""
    from app.terminal import complain
    from engine.errors import MicrocosmError, StudyError

    module, function = arguments.carried_out_by.split(":")
    try:
        return int(getattr(importlib.import_module(f"app.{module}"), function)(arguments))
    except StudyError as error:
        complain(str(error))
        return 2
    except MicrocosmError as error:
        complain(f"microcosm {arguments.verb}: {error}")
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        complain(
            f"microcosm {arguments.verb}: {error.strerror or error}{f': {error.filename}' if error.filename else ''}"
        )
        return 1
    except KeyboardInterrupt:
        complain(f"microcosm {arguments.verb}: interrupted")
        return 130


if __name__ == "__main__":
    sys.exit(main())

"""Decisions and texts per second of a local language model, against the way in which agent frameworks ask one.

The model has about 100 million random weights in Q8_0; speed does not depend on their values. Every prompt shares 300
tokens with all others and has about 40 of its own, the template's included; an answer is one of four options. Two kinds
of prompts are measured: texts that have nothing in common beyond the 300 tokens, and persons of six fields as they are
asked, whose sentences neighbours share. The peer is `create_completion` with a grammar, from an empty cache and with
the library's own match of prefixes, which gets the prompts in our order, in the same run and with as many threads.
"""

from __future__ import annotations

import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from app.bench.language_gpu import measure_gpu
from app.bench.language_peer import OPTIONS, Peer
from app.bench.rows import BenchOptions, Row
from engine.llm import load_model
from engine.llm.context import Context
from engine.llm.library import load_library
from engine.llm.llamacpp import LlamaCppModel, spare_threads
from engine.llm.random_model import build_random_model
from engine.llm.vocabulary import LoadedModel
from engine.policy.lifting import draw_options, group_codes
from engine.spec import ModelSpec

PREFIX_TOKENS, OWN_TOKENS = 300, 40
SENTENCE = "The town council has proposed a new tax on the use of water and people argue about it with each other. "
CLOSING = " trusts few of the neighbours, likes the town, and has to pay the rent of a house near the river and the"
FIELDS = {
    "You are {} years old.": ("20", "30", "40", "50", "60", "70", "80"),
    "You live {}.": ("here", "by the river", "far away", "in a city", "in a house", "at home"),
    "You work {}.": ("much", "little", "at night", "not now"),
    "You trust {}.": ("all", "some", "few", "none"),
    "You feel {}.": ("good", "bad", "fair"),
    "You {} it.": ("like", "doubt"),
}
FIELD_SIZES = tuple(len(values) for values in FIELDS.values())
MILLION = 1_000_000
WRITTEN_TOKENS, SLOTS = 32, 32
REPEATS = 5


@dataclass
class Ways:
    """Seconds that some ways of asking took, each measured once a round, so that a busy machine slows all alike."""

    seconds: dict[str, list[float]] = field(default_factory=dict)

    def take(self, way: str, work: Callable[[], object]) -> None:
        """Do the work once and note its time on the clock."""
        began = time.perf_counter()
        work()
        self.seconds.setdefault(way, []).append(time.perf_counter() - began)

    def rate(self, way: str, n: int) -> float:
        """Return how many of `n` pieces a second, the median over the rounds."""
        return statistics.median(n / taken for taken in self.seconds[way])


def measure(options: BenchOptions) -> Iterator[Row]:
    """Yield the group's figures; `quick` takes a tiny model and one round, to see that everything works."""
    quick = bool(options.quick)
    n_threads = options.threads or spare_threads()
    with tempfile.TemporaryDirectory() as folder:
        path = build_random_model(Path(folder) / "random.gguf", "tiny" if quick else "100m", ftype="q8_0")
        yield from measure_file(path, n_threads, 1 if quick else REPEATS, 8 if quick else 96)
        yield from measure_rounding(build_random_model(Path(folder) / "f32.gguf", "tiny"))
        yield from measure_million(build_random_model(Path(folder) / "tiny.gguf", "tiny"), 12 if quick else None)
        if not quick:
            yield from measure_gpu(Path(folder))


def measure_file(path: Path, n_threads: int, repeats: int, n: int, gpu_layers: int = 0) -> Iterator[Row]:
    """Yield decisions and texts per second of one model file, ours and the peer's.

    Args:
        path: The GGUF file.
        n_threads: Processor threads of both.
        repeats: Rounds.
        n: Decisions in one of our calls.
        gpu_layers: Layers on the GPU; -1 for all.
    """
    model = load_model(ModelSpec(file=str(path), gpu_layers=gpu_layers), n_threads=n_threads)
    assert isinstance(model, LlamaCppModel)
    peer = Peer(path, n_threads, gpu_layers)
    frame = len(peer.tokens("")) - 1
    prefix = text_of_length(model, SENTENCE, PREFIX_TOKENS - 3)
    apart = [text_of_length(model, f"{i} {i * 37 % 80 + 18}" + CLOSING, OWN_TOKENS - frame + 3) for i in range(n)]
    persons = describe_persons()[:: max(1, 4032 // n)][:n]
    near = describe_persons()[:n]
    ways, computed = Ways(), {}
    model.score(prefix, apart[:2], OPTIONS)
    for number in range(repeats):
        fresh = f"{number} {prefix}"  # so that nothing of an earlier round is kept
        ways.take("cold", lambda: [peer.decide(prefix + apart[i], cold=True) for i in range(3)])
        for way, suffixes in (("apart", apart), ("persons", persons), ("near", near)):
            before = model.n_tokens
            own = f"{way} {fresh}"
            ways.take(way, lambda: model.score(own, suffixes, OPTIONS))  # noqa: B023
            computed[way] = model.n_tokens - before
            peer.decide(own + suffixes[-1], cold=True)
            ways.take(f"{way}, matched", lambda: [peer.decide(own + suffixes[i], cold=False) for i in range(6)])  # noqa: B023
        ways.take("one text", lambda: [peer.write(prefix + apart[i], WRITTEN_TOKENS) for i in range(2)])
        ways.take("texts", lambda: write(model, prefix, (apart * SLOTS)[:SLOTS]))
    prefill = prefill_rate(model, path, repeats) if gpu_layers == 0 else 0.0
    tokens = [model.count_tokens(prefix), statistics.mean(model.count_tokens(text) for text in apart) + frame - 3]
    model.close()
    peer.close()
    cold = ways.rate("cold", 3)
    shape = f"{tokens[0] + 3} shared and {tokens[1]:.0f} own tokens, {n_threads} thread(s), median of {repeats}"
    yield Row("create_completion + grammar, cold", cold, "decisions/s", "", shape)
    for way, work, aim in (
        ("apart", "situations that share only the prefix", "10 and 2 times"),
        ("persons", f"{n} of 4,032 persons of six fields", "10 and 2 times"),
        ("near", f"{n} neighbours among them", ""),
    ):
        rate, matched = ways.rate(way, n), ways.rate(f"{way}, matched", 6)
        yield Row(f"its own prefix match, {work}", matched, "decisions/s", "", "in our order")
        note = f"{rate / cold:.1f} times cold, {rate / matched:.1f} times matched; "
        yield Row(f"ours, {work}", rate, "decisions/s", aim, note + f"{computed[way] / n:.1f} tokens each")
    if prefill:
        yield Row("ggml's own prefill", prefill, "tokens/s", "", "512 tokens at once, nothing held")
        share = ways.rate("apart", computed["apart"]) / prefill
        yield Row("share of it in scoring", share, "share", "0.85", "tokens that had to be computed, prefix included")
    one, many = ways.rate("one text", 2), ways.rate("texts", SLOTS)
    yield Row("create_completion, one text after another", one, "texts/s", "", f"{WRITTEN_TOKENS} tokens, cold")
    yield Row(f"ours, {SLOTS} at once", many, "texts/s", "4 times", f"{many / one:.1f} times")


def write(model: LlamaCppModel, prefix: str, suffixes: Sequence[str]) -> None:
    """Write a text for each suffix; random weights hardly ever end one before its full length."""
    settings = {"max_tokens": WRITTEN_TOKENS, "temperature": 0.8, "top_p": 0.95}
    model.write(prefix, suffixes, seeds=range(len(suffixes)), stop=(), **settings)


def describe_persons() -> list[str]:
    """Return the sentences about every combination of the six fields."""
    return [
        "".join(f" {frame.format(value)}" for frame, value in zip(FIELDS, values, strict=True))
        for values in itertools.product(*FIELDS.values())
    ]


def text_of_length(model: LlamaCppModel, text: str, n_tokens: int) -> str:
    """Repeat and cut a text at words so that it has at most `n_tokens` tokens."""
    words = (text * (1 + n_tokens // max(1, model.count_tokens(text)))).split(" ")
    while model.count_tokens(" ".join(words)) > n_tokens:
        words.pop()
    return " ".join(words)


def prefill_rate(model: LlamaCppModel, path: Path, repeats: int) -> float:
    """Return tokens per second of a plain pass over 512 tokens in an empty memory, as ggml's own benchmark takes it."""
    loaded = LoadedModel(load_library(), path, 0)
    context = Context(loaded, 512, model.n_threads)
    ways = Ways()
    for _ in range(1 + repeats):
        context.clear()
        context.batch.clear()
        context.batch.append(np.arange(512) % 500, 0, 0, 1, wanted=np.arange(512) == 511)
        ways.take("prefill", context.decode)
    context.close()
    loaded.close()
    ways.seconds["prefill"].pop(0)
    return ways.rate("prefill", 512)


def measure_rounding(path: Path) -> Iterator[Row]:
    """Yield how far a situation among others differs from the same one alone, with weights of 32 bits."""
    model = load_model(ModelSpec(file=str(path)), n_threads=1)
    persons = describe_persons()[::100]
    together = model.score(SENTENCE, persons, OPTIONS)
    again = model.score(SENTENCE, persons, OPTIONS)
    alone = [model.score(SENTENCE, [person], OPTIONS).logp[0] for person in persons]
    gap = max(float(np.abs(np.exp(a) - np.exp(b)).max()) for a, b in zip(together.logp, alone, strict=True))
    same = all(np.array_equal(a, b) for a, b in zip(together.raw, again.raw, strict=True))
    model.close()
    note = f"{len(persons)} situations; asked again bit-identical: {'yes' if same else 'NO'}"
    yield Row("F32, among others against alone", gap, "in probability", "1e-05", note)


def measure_million(path: Path, n_persons: int | None) -> Iterator[Row]:
    """Yield what a million agents cost beyond their distinct situations."""
    rng = np.random.default_rng(0)
    codes = [(rng.integers(0, size, MILLION), size) for size in FIELD_SIZES]
    u = rng.random(MILLION)
    logits = rng.standard_normal((int(np.prod(FIELD_SIZES)), len(OPTIONS)))
    ways = Ways()
    for _ in range(1 + REPEATS):
        ways.take("lift", lambda: draw_options(logits, group_codes(codes, MILLION)[1], u))
    ways.seconds["lift"].pop(0)
    first, group = group_codes(codes, MILLION)
    persons = describe_persons()
    numbers = np.ravel_multi_index([column[first] for column, _ in codes], FIELD_SIZES)
    asked = [persons[number] for number in numbers][:n_persons]
    work = []
    for suffixes in (asked, persons[:n_persons]):
        model = load_model(ModelSpec(file=str(path)), n_threads=spare_threads())
        assert isinstance(model, LlamaCppModel)
        model.score(SENTENCE, suffixes, OPTIONS)
        work.append(model.n_tokens)
        model.close()
    n_groups = int(group.max()) + 1
    note = f"{n_groups:,} situations for {MILLION:,} agents; {work[0]:,} tokens computed"
    yield Row("model work against that of the situations", work[0] / work[1], "ratio", "1.01", note)
    yield Row("grouping and drawing for a million agents", statistics.median(ways.seconds["lift"]), "s", "0.5")

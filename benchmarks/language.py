"""Decisions per second: batched scoring against `create_completion` with a grammar, on the same model in the same run.

Usage: python benchmarks/language.py [--repeats N] [--situations N] [--threads N]

A 100-million-weight random Q8_0 model is made in a temporary folder (speed does not depend on the weights' values).
Every decision sees a prefix of about 300 tokens that all share and about 40 tokens of its own, and chooses one of four
options. The peer is asked cold: its cache is reset before every decision. Prints one JSON object a line.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

from engine.llm import load_model
from engine.llm.random_model import build_random_model
from engine.spec import ModelSpec

OPTIONS = ("support", "oppose", "ignore", "ask")
GRAMMAR = "root ::= " + " | ".join(f'"{option}"' for option in OPTIONS)
SENTENCE = "The town council has proposed a new tax on the use of water and people argue about it with each other. "
CLOSING = " trusts few of the neighbours, likes the town, and has to pay the rent of a house near the river and the"
FRAME = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"


def main() -> None:
    arguments = read_arguments()
    with tempfile.TemporaryDirectory() as folder:
        path = build_random_model(Path(folder) / "random-100m.gguf", "100m", ftype="q8_0")
        measure(path, arguments.repeats, arguments.situations, arguments.threads)


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="measurements of each way, at least 5 for a median")
    parser.add_argument("--situations", type=int, default=64, help="decisions in one batched measurement")
    parser.add_argument("--threads", type=int, default=1, help="processor threads of both ways")
    return parser.parse_args()


def measure(path: Path, repeats: int, n_situations: int, n_threads: int) -> None:
    """Measure both ways in turn, so that a change in the machine's load meets both, and print medians and ratio."""
    model = load_model(ModelSpec(file=str(path)), n_threads=n_threads)
    prefix = text_of_length(model, SENTENCE, 300)
    suffixes = [
        text_of_length(model, f"{i} {i * 37 % 80 + 18} {i * 7 % 13}" + CLOSING, 40) for i in range(n_situations)
    ]
    ask_peer = build_peer(path, prefix, suffixes, n_threads)
    rates: dict[str, list[tuple[float, float]]] = {"peer": [], "batched": [], "batched, both orders": []}
    model.score(prefix, suffixes[:2], OPTIONS)
    ask_peer(0)
    for number in range(repeats):
        rates["peer"].append(rate(lambda: [ask_peer(place) for place in range(4)], 4))
        fresh = f"{number} " + prefix  # so that no earlier repeat's prefix is kept
        rates["batched"].append(rate(lambda: model.score(fresh, suffixes, OPTIONS), n_situations))  # noqa: B023
        both = [f"{number} forward " + prefix, f"{number} reverse " + prefix]
        rates["batched, both orders"].append(rate(lambda: model.score(both, suffixes, OPTIONS), n_situations))  # noqa: B023
    shape = {"prefix_tokens": model.count_tokens(prefix), "suffix_tokens": model.count_tokens(suffixes[0])}
    medians = {way: [statistics.median(values) for values in zip(*pairs, strict=True)] for way, pairs in rates.items()}
    for way, pairs in rates.items():
        report = {"way": way, "decisions_per_s": medians[way][0], "decisions_per_cpu_s": medians[way][1]}
        rounded = {name: round(value, 3) for name, value in report.items() if name != "way"}
        print(json.dumps(report | rounded | {"all": [round(pair[0], 3) for pair in pairs]} | shape))
    ratio, cpu_ratio = (batched / peer for batched, peer in zip(medians["batched"], medians["peer"], strict=True))
    print(json.dumps({"ratio": round(ratio, 2), "cpu_ratio": round(cpu_ratio, 2), "target": 5.0, "threads": n_threads}))
    model.close()


def rate(action, n_decisions: int) -> tuple[float, float]:
    """Return decisions per second of the clock and per second of processor time, which other programs disturb less."""
    clock, processor = time.perf_counter(), time.process_time()
    action()
    return n_decisions / (time.perf_counter() - clock), n_decisions / (time.process_time() - processor)


def text_of_length(model, text: str, n_tokens: int) -> str:
    """Repeat and cut a text at words so that it has at most `n_tokens` tokens."""
    words = (text * (1 + n_tokens // max(1, model.count_tokens(text)))).split(" ")
    while model.count_tokens(" ".join(words)) > n_tokens:
        words.pop()
    return " ".join(words)


def build_peer(path: Path, prefix: str, suffixes: list[str], n_threads: int):
    """Return a function that decides one situation as agent frameworks do: one completion under a grammar."""
    from llama_cpp import Llama, LlamaGrammar

    llama = Llama(str(path), n_ctx=1024, n_batch=512, n_threads=n_threads, n_threads_batch=n_threads, verbose=False)
    grammar = LlamaGrammar.from_string(GRAMMAR, verbose=False)

    def ask(place: int) -> str:
        llama.reset()
        prompt = FRAME.format(prefix + suffixes[place])
        answer = llama.create_completion(prompt, max_tokens=8, grammar=grammar, temperature=1.0)["choices"][0]["text"]
        if answer not in OPTIONS:
            raise SystemExit(f"the peer answered {answer!r}")
        return answer

    return ask


if __name__ == "__main__":
    main()

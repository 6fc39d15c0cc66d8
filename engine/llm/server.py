"""A language model on a server that speaks OpenAI's completions, behind the same protocol as one in this program.

Three ways to read option probabilities, by what the server can: `echo` scores each whole text (vLLM, SGLang,
llama_cpp.server); `score` asks for the probabilities of the options' first tokens (SGLang's /v1/score); `tokens` walks
along each option through the most probable next tokens (llama-server and most others). An option that begins another
one stands for every answer that begins so, less the longer options.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import ModelError, ServerError
from engine.llm.protocol import FloatArray, ModelIdentity, Scores, normalise_scores
from engine.llm.scripted import check_options, check_texts, check_writing
from engine.llm.server_http import ServerClient, check_consent
from engine.llm.template import PLAIN, SENTINEL, Frame
from engine.llm.writing import clean_text
from engine.spec import ModelSpec

LISTED = (1000, 100, 20, 5)
"""Most probable tokens asked for with `tokens`: the first of these numbers that the server accepts."""
SCORED_TOGETHER = 32
DRAWS = 6
PROBE = "The weather today is"
PROBE_TOLERANCE = 0.05  # in log probability: between a token as it was generated and as it is echoed
LEAST_SHARE = 1e-12
CONTROL = re.compile(r"<(?=\|)|(?<=\|)>|<(?=/?s>)|<(?=(?:start|end)_of_turn>)|\[(?=/?INST\])")
"""First or last sign of what servers may read as a control token; a space beside it makes it plain text."""
LARGEST_SEED = 2**31 - 1
SHOWN_NAME = 200


def open_server(
    spec: ModelSpec, *, workspace: Path | None = None, should_stop: Callable[[], bool] | None = None
) -> ServerModel:
    """Return the model of the server that a study names.

    Args:
        spec: `url` is the server; `name` one of its models, else the first that it lists.
        workspace: Folder that remembers which servers beyond this computer are allowed.
        should_stop: Asked while one waits; True ends the call with a ModelError.

    Raises:
        ModelError: the server is not on this computer and not allowed.
        ServerError: it does not answer, or not as such servers do.
    """
    assert spec.url is not None
    check_consent(spec.url, workspace)
    return ServerModel(spec, should_stop)


class ServerModel:
    """A language model on a server.

    Attributes:
        identity: Which model answers, as the server tells it; `sha256` is a digest of that, not of a file.
        n_calls: Calls of `score` and `write` so far.
        n_situations: Situations in those calls.
        n_requests: Questions that went to the server so far.
    """

    def __init__(self, spec: ModelSpec, should_stop: Callable[[], bool] | None = None) -> None:
        self.n_calls = 0
        self.n_situations = 0
        self.n_requests = 0
        self._client = ServerClient(spec, should_stop)
        try:
            self._entry = _choose_model(self._client, spec.name)
            self._frame = _read_frame(self._client)
        except BaseException:
            self._client.close()
            raise
        self.identity = _identify(self._client.url, self._entry, self._frame)
        self._api: str | None = None if spec.api == "auto" else spec.api
        self._listed = LISTED[0]

    def score(
        self, prefixes: str | Sequence[str], suffixes: Sequence[str], options: Sequence[str], *, lead: str = ""
    ) -> Scores:
        """Return the log probability of every option in every situation; see `LanguageModel.score`."""
        check_options(options)
        variants = [prefixes] if isinstance(prefixes, str) else list(prefixes)
        if not variants:
            raise ModelError("no prefix was given; give one, or two that list the options forward and in reverse")
        self._count(suffixes)
        if not suffixes:
            return Scores([], [], np.zeros(0))
        read = {"echo": self._by_echo, "score": self._by_labels, "tokens": self._by_tokens}[self.api]
        return normalise_scores(
            [read([self._prompt(prefix + suffix) + lead for suffix in suffixes], options) for prefix in variants]
        )

    def write(
        self,
        prefix: str,
        suffixes: Sequence[str],
        *,
        seeds: Sequence[int],
        max_tokens: int,
        temperature: float,
        top_p: float,
        stop: Sequence[str] = ("\n",),
        grammar: str | None = None,
    ) -> list[str | None]:
        """Return one written text per situation, None where it is unusable; see `LanguageModel.write`.

        Raises:
            ModelError: a grammar is given, which not every server follows.
        """
        if grammar is not None:
            raise ModelError("a model server may ignore a grammar; name a language model file, or ask without one")
        check_writing(suffixes, seeds, max_tokens)
        self._count(suffixes)
        settings = {"max_tokens": max_tokens, "temperature": temperature, "top_p": top_p, "stop": list(stop)[:4]}
        bodies = [
            {**settings, "prompt": self._prompt(prefix + suffix), "seed": seed & LARGEST_SEED}
            for suffix, seed in zip(suffixes, seeds, strict=True)
        ]
        choices = [_first_choice(answer, self._client.url) for answer in self._complete(bodies)]
        return [clean_text(str(choice.get("text", "")).encode("utf-8", "ignore"), stop) for choice in choices]

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one direction per text, float32 of shape (n_texts, width); see `LanguageModel.embed`."""
        check_texts(texts)
        self.n_calls += 1
        self.n_requests += 1
        found = self._client.ask("/v1/embeddings", {"model": self._entry["id"], "input": [defuse(t) for t in texts]})
        try:
            ordered = sorted(found["data"], key=lambda entry: int(entry["index"]))
            rows = np.array([entry["embedding"] for entry in ordered], np.float64).reshape(len(texts), -1)
            lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        except (TypeError, KeyError, ValueError) as error:
            raise self._unreadable("embeddings", "auto") from error
        if not np.all(np.isfinite(lengths) & (lengths > 0)):
            raise self._unreadable("embeddings", "auto")
        scaled: NDArray[np.float32] = (rows / lengths).astype(np.float32)
        return scaled

    def count_tokens(self, text: str) -> int:
        """Return the number of tokens of a text; a quarter of its characters where the server does not count."""
        for path, body in (
            ("/tokenize", {"content": text, "prompt": text}),
            ("/extras/tokenize/count", {"input": text}),
        ):
            try:
                found = self._client.ask(path, {**body, "model": self._entry["id"]}, tries=1)
            except ServerError:
                continue
            tokens = found.get("tokens")
            if isinstance(tokens, list):
                return len(tokens)
            if isinstance(found.get("count"), int):
                return int(found["count"])
        return math.ceil(len(text) / 4)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    @property
    def api(self) -> str:
        """How option probabilities are read: echo, score or tokens; tried out at first where the study leaves it open.

        Raises:
            ServerError: the server gives no log probabilities.
        """
        if self._api is None:
            if self._echo_is_sound():
                self._api = "echo"
            elif self._next_tokens([self._prompt(PROBE)])[0]:
                self._api = "tokens"
            else:
                raise self._unreadable("log probabilities of next tokens", "score")
        return self._api

    # -- echo ------------------------------------------------------------------------------------------------------

    def _by_echo(self, prompts: Sequence[str], options: Sequence[str]) -> FloatArray:
        """Return log P of the options, shape (n_prompts, n_options), from the echo of whole texts."""
        bodies = [
            {"prompt": prompt + option, "max_tokens": 1, "temperature": 0, "echo": True, "logprobs": 1}
            for prompt in prompts
            for option in options
        ]
        answers = self._complete(bodies)
        borders = [(len(prompt), len(prompt) + len(option)) for prompt in prompts for option in options]
        found = [self._echoed(answer, *border) for answer, border in zip(answers, borders, strict=True)]
        return without_longer(np.array(found).reshape(len(prompts), len(options)), options)

    def _echoed(self, answer: Mapping[str, Any], start: int, end: int) -> float:
        """Return the log probability of the characters from `start` to `end` of an echoed text."""
        held = _first_choice(answer, self._client.url).get("logprobs")
        try:
            numbers, offsets = held["token_logprobs"], held["text_offset"]  # type: ignore[index]
            first = int(offsets[0])
            places = [int(offset) - first for offset in offsets]
            edges = [*places[1:], max(end, places[-1]) + 1]
            inside = [i for i, place in enumerate(places) if place < end and edges[i] > start and edges[i] > place]
            total = sum(float(numbers[i]) for i in inside)
        except (TypeError, KeyError, ValueError, IndexError) as error:
            raise self._unreadable("echoed log probabilities", "tokens") from error
        if not inside or not math.isfinite(total):
            raise self._unreadable("echoed log probabilities", "tokens")
        return total

    def _echo_is_sound(self) -> bool:
        """Tell whether echoed log probabilities are there and agree with that of a token when it is generated."""
        prompt = self._prompt(PROBE)
        try:
            generated = self._next_tokens([prompt])[0]
            token = max((text for text in generated if text.strip().isalpha()), key=generated.__getitem__, default="")
            body = {"prompt": prompt + token, "max_tokens": 1, "temperature": 0, "echo": True, "logprobs": 1}
            (answer,) = self._complete([body])
            return abs(self._echoed(answer, len(prompt), len(prompt + token)) - generated[token]) < PROBE_TOLERANCE
        except (ServerError, KeyError):
            return False

    # -- token by token --------------------------------------------------------------------------------------------

    def _by_tokens(self, prompts: Sequence[str], options: Sequence[str]) -> FloatArray:
        """Return log P of the options, shape (n_prompts, n_options), one token after another for all prompts at once.

        A token that is not among the listed ones counts as probable as the least of them, and its option ends there.
        """
        total = np.zeros((len(prompts), len(options)))
        written = [["" for _ in options] for _ in prompts]
        while True:
            open_nodes = {
                (i, text): None
                for i, texts in enumerate(written)
                for text, option in zip(texts, options, strict=True)
                if len(text) < len(option)
            }
            if not open_nodes:
                return without_longer(total, options)
            found = self._next_tokens([prompts[i] + text for i, text in open_nodes])
            listed = dict(zip(open_nodes, found, strict=True))
            for i, texts in enumerate(written):
                for j, option in enumerate(options):
                    if len(texts[j]) < len(option):
                        gain, texts[j] = _follow(listed[i, texts[j]], texts[j], option)
                        total[i, j] += gain

    def _next_tokens(self, prompts: Sequence[str]) -> list[dict[str, float]]:
        """Return the most probable next tokens of each prompt, text -> log probability.

        Raises:
            ServerError: the server lists none.
        """
        found: list[dict[str, float]] = [{} for _ in prompts]
        remaining = list(range(len(prompts)))
        # A server that draws its end token first may list nothing; another draw does, the listed numbers are the same.
        for seed in range(DRAWS):
            answers = self._ask_next([prompts[i] for i in remaining], seed)
            for i, answer in zip(remaining, answers, strict=True):
                found[i] = self._listed_tokens(answer)
            remaining = [i for i in remaining if not found[i]]
            if not remaining:
                break
        return found

    def _ask_next(self, prompts: Sequence[str], seed: int) -> list[dict[str, Any]]:
        while True:
            settings = {"max_tokens": 1, "temperature": 1.0, "seed": seed + 1, "logprobs": self._listed}
            try:
                return self._complete([{"prompt": prompt, **settings} for prompt in prompts])
            except ServerError as error:
                smaller = [number for number in LISTED if number < self._listed]
                if "(status 4" not in str(error) or not smaller:
                    raise
                self._listed = smaller[0]

    def _listed_tokens(self, answer: Mapping[str, Any]) -> dict[str, float]:
        """Return text -> log probability of the first token's alternatives; nothing where no token was drawn."""
        held = _first_choice(answer, self._client.url).get("logprobs")
        try:
            if not held.get("content", held.get("top_logprobs")):  # type: ignore[union-attr]
                return {}
            if "content" in held:  # type: ignore[operator]
                entries = held["content"][0]["top_logprobs"]  # type: ignore[index]
                return {str(entry["token"]): float(entry["logprob"]) for entry in entries}
            return {str(text): float(number) for text, number in held["top_logprobs"][0].items()}  # type: ignore[index]
        except (TypeError, KeyError, ValueError, IndexError, AttributeError) as error:
            raise self._unreadable("log probabilities of next tokens", "echo or score") from error

    # -- labels ----------------------------------------------------------------------------------------------------

    def _by_labels(self, prompts: Sequence[str], options: Sequence[str]) -> FloatArray:
        """Return log P of the options' first tokens, shape (n_prompts, n_options), through SGLang's /v1/score."""
        labels = [self._first_token(option) for option in options]
        if len(set(labels)) < len(labels):
            raise ModelError(
                "two options begin with the same token, which model.api = 'score' cannot tell apart; set it to 'echo'"
            )
        parts = [prompts[at : at + SCORED_TOGETHER] for at in range(0, len(prompts), SCORED_TOGETHER)]
        shared = {"model": self._entry["id"], "query": "", "label_token_ids": labels, "apply_softmax": False}
        self.n_requests += len(parts)
        answers = self._client.ask_all("/v1/score", [{**shared, "items": list(part)} for part in parts])
        try:
            rows = [[float(p) for p in row] for answer in answers for row in answer["scores"]]
            found = np.array(rows).reshape(len(prompts), len(options))
        except (TypeError, KeyError, ValueError) as error:
            raise self._unreadable("scores", "echo") from error
        if not np.all((found >= 0) & (found <= 1 + 1e-6)):
            raise self._unreadable("scores", "echo")
        logp: FloatArray = np.log(np.maximum(found, LEAST_SHARE))
        return logp

    def _first_token(self, option: str) -> int:
        body = {"model": self._entry["id"], "prompt": option, "add_special_tokens": False}
        tokens = self._client.ask("/tokenize", body).get("tokens")
        if not isinstance(tokens, list) or not tokens or not isinstance(tokens[0], int):
            raise self._unreadable("tokens", "echo")
        return int(tokens[0])

    # -- requests --------------------------------------------------------------------------------------------------

    def _prompt(self, text: str) -> str:
        """Return the text as the server is given it: inside the model's template, its own control tokens defused."""
        return self._frame.head + defuse(text) + self._frame.tail

    def _complete(self, bodies: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        self.n_requests += len(bodies)
        return self._client.ask_all("/v1/completions", [{"model": self._entry["id"], **body} for body in bodies])

    def _count(self, suffixes: Sequence[str]) -> None:
        self.n_calls += 1
        self.n_situations += len(suffixes)

    def _unreadable(self, what: str, other: str) -> ServerError:
        return ServerError(
            f"the model server {self._client.url} gives no readable {what}; set model.api to {other}, or use a server "
            "that gives log probabilities"
        )


def defuse(text: str) -> str:
    """Return a text in which nothing can be read as a control token: `<|x|>` becomes `< |x| >`."""
    return CONTROL.sub(lambda found: f" {found[0]}" if found[0] == ">" else f"{found[0]} ", text)


def without_longer(logp: FloatArray, options: Sequence[str]) -> FloatArray:
    """Take from each option's probability that of the longer options that begin with it.

    Args:
        logp: Log probability that the answer begins with each option, shape (n, n_options).
        options: Their texts.
    """
    result = logp.copy()
    for j, option in sorted(enumerate(options), key=lambda pair: -len(pair[1])):
        longer = [k for k, other in enumerate(options) if k != j and other.startswith(option)]
        if longer:
            taken = np.exp(np.logaddexp.reduce(result[:, longer], axis=1) - logp[:, j])
            result[:, j] = logp[:, j] + np.log(np.maximum(1.0 - taken, LEAST_SHARE))
    return result


def _follow(listed: Mapping[str, float], text: str, option: str) -> tuple[float, str]:
    """Return the log probability of the next token of an option, and the text with it."""
    rest = option[len(text) :]
    fitting = [token for token in listed if token and rest.startswith(token)]
    if fitting:
        token = max(fitting, key=len)
        return listed[token], text + token
    return min(listed.values(), default=math.log(LEAST_SHARE)), option


def _first_choice(answer: Mapping[str, Any], url: str) -> Mapping[str, Any]:
    choices = answer.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        return choices[0]
    raise ServerError(f"the model server {url} answered without a choice; see whether model.url is its address")


def _choose_model(client: ServerClient, name: str | None) -> dict[str, Any]:
    """Return the entry of the named model, or of the first one, in the server's list."""
    held = client.ask("/v1/models").get("data")
    entries = [entry for entry in held if isinstance(entry, dict) and "id" in entry] if isinstance(held, list) else []
    if not entries:
        raise ServerError(f"the model server {client.url} lists no model; see whether model.url is its address")
    names = [str(entry["id"]) for entry in entries]
    if name is not None and name not in names:
        raise ServerError(f"model.name = '{name}' is not at {client.url}; it has {', '.join(names[:5])}")
    return entries[names.index(name) if name is not None else 0]


def _read_frame(client: ServerClient) -> Frame:
    """Return the chat template's text around a message where the server tells it (llama-server), else plain text."""
    try:
        body = {"messages": [{"role": "user", "content": SENTINEL}]}
        parts = str(client.ask("/apply-template", body, tries=1).get("prompt", "")).split(SENTINEL)
    except ServerError:
        return PLAIN
    return Frame(*parts) if len(parts) == 2 else PLAIN


def _identify(url: str, entry: Mapping[str, Any], frame: Frame) -> ModelIdentity:
    meta = entry.get("meta") if isinstance(entry.get("meta"), dict) else {}
    assert isinstance(meta, dict)
    lasting = {key: entry.get(key) for key in ("id", "root", "owned_by", "max_model_len", "meta")}
    told = json.dumps([url, lasting, frame.head, frame.tail], sort_keys=True, default=str)
    return ModelIdentity(
        name=str(entry["id"])[:SHOWN_NAME],
        sha256=hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest(),
        quantization="unknown",
        template="plain" if frame == PLAIN else "chat",
        backend="server",
        architecture="unknown",
        n_params=_count_of(meta.get("n_params")),
        n_ctx_train=_count_of(entry.get("max_model_len") or meta.get("n_ctx_train")),
    )


def _count_of(value: object) -> int:
    return value if isinstance(value, int) and value >= 0 else 0

"""How agent frameworks ask a local model: one completion under a grammar for each decision."""

from __future__ import annotations

from pathlib import Path

from engine.errors import ModelError

OPTIONS = ("support", "oppose", "ignore", "ask")
GRAMMAR = "root ::= " + " | ".join(f'"{option}"' for option in OPTIONS)
FRAME = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"


class Peer:
    """llama-cpp-python's own class, with its defaults but for the size of the context and the threads."""

    def __init__(self, path: Path, n_threads: int, gpu_layers: int = 0) -> None:
        from llama_cpp import Llama, LlamaGrammar

        self._llama = Llama(
            str(path),
            n_ctx=1024,
            n_batch=512,
            n_threads=n_threads,
            n_threads_batch=n_threads,
            n_gpu_layers=gpu_layers,
            verbose=False,
        )
        self._grammar = LlamaGrammar.from_string(GRAMMAR, verbose=False)

    def tokens(self, text: str) -> list[int]:
        """Return the tokens of a text inside the chat template."""
        found: list[int] = self._llama.tokenize(FRAME.format(text).encode(), add_bos=False, special=True)
        return found

    def decide(self, text: str, *, cold: bool) -> str:
        """Return the chosen option.

        Args:
            text: The user's message.
            cold: Whether the library forgets what it has computed before; otherwise it keeps the common beginning.

        Raises:
            ModelError: the answer is no option.
        """
        if cold:
            self._llama.reset()
        answer = self._complete(text, 8, self._grammar)
        if answer not in OPTIONS:
            raise ModelError(f"the peer answered {answer!r} instead of one of {', '.join(OPTIONS)}")
        return answer

    def write(self, text: str, n_tokens: int) -> str:
        """Return a text of `n_tokens` tokens, computed from an empty cache."""
        self._llama.reset()
        return self._complete(text, n_tokens)

    def _complete(self, text: str, n_tokens: int, grammar: object = None) -> str:
        found = self._llama.create_completion(
            self.tokens(text), max_tokens=n_tokens, grammar=grammar, temperature=0.8, top_p=0.95
        )
        return str(found["choices"][0]["text"])

    def close(self) -> None:
        """Free the model."""
        self._llama.close()

"""The weights and the tokenizer of a loaded model."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path
from typing import Any

from engine.errors import ModelError
from engine.llm.library import forget_complaints, recent_complaints
from engine.llm.trie import Tokens

NO_TOKEN = -1
CONTROL_KIND, USER_KIND = 1 << 3, 1 << 4  # llama.cpp's attributes of tokens
MARKER = re.compile(r"<\S+>|\[\S+\]")  # how files spell turn markers that they declare as user-defined tokens


class LoadedModel:
    """A GGUF file in memory, with its tokenizer.

    Attributes:
        pointer: Address of the model in llama.cpp, for its calls.
        n_vocab: Number of tokens.
        width: Numbers in a hidden state.
        on_gpu: Whether layers run on a GPU.
        stateful: Whether the architecture is recurrent or hybrid: its memory cannot be cut back.
        control: Ids of control tokens, of tokens that end an answer, and of user-defined markers such as `<|user|>`.
    """

    def __init__(self, library: Any, path: Path, gpu_layers: int) -> None:
        self.library = library
        settings = library.llama_model_default_params()
        settings.n_gpu_layers = gpu_layers
        forget_complaints()
        self.pointer = library.llama_model_load_from_file(str(path).encode(), settings)
        if not self.pointer:
            raise ModelError(
                f"llama.cpp cannot load the model {path.name}{recent_complaints()}; its architecture may be newer than "
                "the installed llama-cpp-python, or the file broken: update the package or choose another file"
            )
        self.name = path.name
        self.on_gpu = gpu_layers != 0 and bool(library.llama_supports_gpu_offload())
        self.vocab = library.llama_model_get_vocab(self.pointer)
        self.n_vocab = int(library.llama_vocab_n_tokens(self.vocab))
        self.width = int(library.llama_model_n_embd(self.pointer))
        self.n_ctx_train = int(library.llama_model_n_ctx_train(self.pointer))
        self.stateful = bool(
            library.llama_model_is_recurrent(self.pointer) or library.llama_model_is_hybrid(self.pointer)
        )
        self._check_kind()
        self.bos = int(library.llama_vocab_bos(self.vocab))
        self.adds_bos = bool(library.llama_vocab_get_add_bos(self.vocab)) and self.bos != NO_TOKEN
        eot, eos = int(library.llama_vocab_eot(self.vocab)), int(library.llama_vocab_eos(self.vocab))
        self.end = eot if eot != NO_TOKEN else eos
        self.eos = eos
        self._pieces: dict[int, bytes] = {}
        self.control = frozenset(token for token in range(self.n_vocab) if self._is_control(token))

    def _check_kind(self) -> None:
        library = self.library
        if (
            library.llama_model_has_encoder(self.pointer)
            or not library.llama_model_has_decoder(self.pointer)
            or library.llama_model_is_diffusion(self.pointer)
        ):
            self.close()
            raise ModelError(f"the model {self.name} cannot answer word by word (encoder or diffusion); choose another")

    def _is_control(self, token: int) -> bool:
        kind = int(self.library.llama_vocab_get_attr(self.vocab, token))
        if kind & CONTROL_KIND or self.library.llama_vocab_is_eog(self.vocab, token):
            return True
        return bool(kind & USER_KIND and MARKER.fullmatch(self.spelling(token)))

    @property
    def template(self) -> str | None:
        """Source of the chat template in the file, or None."""
        text = self.library.llama_model_chat_template(self.pointer, None)
        return text.decode("utf-8", "replace") if text else None

    def tokenize(self, text: str, *, special: bool) -> Tokens:
        """Return the tokens of a text; with `special`, control tokens written in it are recognised."""
        raw = text.encode("utf-8", "replace")
        room = len(raw) + 8
        buffer = (ctypes.c_int32 * room)()
        n_tokens = self.library.llama_tokenize(self.vocab, raw, len(raw), buffer, room, False, special)
        if n_tokens < 0:
            room = -n_tokens
            buffer = (ctypes.c_int32 * room)()
            n_tokens = self.library.llama_tokenize(self.vocab, raw, len(raw), buffer, room, False, special)
        return tuple(buffer[:n_tokens])

    def plain_tokens(self, text: str) -> Tokens:
        """Return the tokens of untrusted text, never a control token.

        Where the tokenizer recognises a marker in the text all the same (some files declare theirs as ordinary
        user-defined tokens), the marker's spelling is cut in two and each half is tokenised apart.
        """
        parts: list[str] = [text]
        tokens: list[int] = []
        while parts:
            part = parts.pop()
            found = self.tokenize(part, special=False)
            marker = next((token for token in found if token in self.control), None)
            spelling = "" if marker is None else self.piece(marker).decode("utf-8", "replace")
            if marker is None:
                tokens += found
            elif len(spelling) > 1 and spelling in part:
                cut = part.index(spelling) + len(spelling) // 2
                parts += [part[cut:], part[:cut]]
            else:
                tokens += [token for token in found if token not in self.control]
        return tuple(tokens)

    def piece(self, token: int) -> bytes:
        """Return the bytes of a token; a control token gives its spelling."""
        if token not in self._pieces:
            buffer = ctypes.create_string_buffer(256)
            n_bytes = self.library.llama_token_to_piece(self.vocab, token, buffer, 256, 0, True)
            if n_bytes < 0:
                buffer = ctypes.create_string_buffer(-n_bytes)
                n_bytes = self.library.llama_token_to_piece(self.vocab, token, buffer, -n_bytes, 0, True)
            self._pieces[token] = buffer.raw[:n_bytes]
        return self._pieces[token]

    def spelling(self, token: int) -> str:
        """Return a token's text, empty for a token that the model does not have."""
        return self.piece(token).decode("utf-8", "replace") if token != NO_TOKEN else ""

    def close(self) -> None:
        """Free the weights."""
        if self.pointer:
            self.library.llama_model_free(self.pointer)
            self.pointer = None

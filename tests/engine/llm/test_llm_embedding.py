"""Embeddings: means of hidden states, the same for a text alone and among others."""

from __future__ import annotations

import numpy as np
import pytest

from engine.errors import ContextOverflow, ModelError
from engine.llm import ScriptedModel
from engine.llm.embedding import MOST_TEXTS, plan_passes

TEXTS = [f"The council of {place} has decided on the water {what}." for place in "ABCDEFG" for what in ("tax", "pipes")]


def test_rows_have_length_one_and_equal_texts_equal_rows(tiny):
    rows = tiny.embed([*TEXTS, TEXTS[3]])
    assert rows.dtype == np.float32 and rows.shape == (15, 96)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-6)
    assert np.array_equal(rows[3], rows[-1]) and not np.allclose(rows[3], rows[4], atol=1e-3)


def test_a_text_alone_or_among_others_differs_only_by_rounding(tiny):
    together = tiny.embed(TEXTS)
    for place in (0, 9):
        np.testing.assert_allclose(tiny.embed([TEXTS[place]])[0], together[place], atol=2e-4)


def test_the_mean_of_hidden_states(tiny, fresh):
    """Against plain llama.cpp calls: one fresh pass over one text, all states, their mean."""
    library, tokens = fresh.library, fresh.model.tokenize(TEXTS[0], special=False)
    library.llama_memory_clear(fresh.memory, True)
    library.llama_set_embeddings(fresh.context, True)
    batch = library.llama_batch_init(len(tokens), 0, 1)
    for place, token in enumerate(tokens):
        batch.token[place], batch.pos[place], batch.n_seq_id[place] = token, place, 1
        batch.seq_id[place][0], batch.logits[place] = 0, 1
    batch.n_tokens = len(tokens)
    assert library.llama_decode(fresh.context, batch) == 0
    states = np.ctypeslib.as_array(library.llama_get_embeddings(fresh.context), shape=(len(tokens), 96)).copy()
    library.llama_batch_free(batch)
    library.llama_set_embeddings(fresh.context, False)
    mean = states.mean(axis=0)
    np.testing.assert_allclose(tiny.embed([TEXTS[0]])[0], mean / np.linalg.norm(mean), atol=2e-4)


def test_embedding_leaves_scores_alone(load):
    one, two = load(), load()
    two.score("A town. ", ["Well?"], ["a", "b"])
    two.embed(TEXTS)
    expected = one.score("A town. ", ["Well?", "So?"], ["a", "b"])
    found = two.score("A town. ", ["Well?", "So?"], ["a", "b"])
    assert all(np.array_equal(x, y) for x, y in zip(found.raw, expected.raw, strict=True))


def test_long_texts_are_read_in_parts(tiny):
    long = "Rain falls on the town. " * 200
    assert tiny.count_tokens(long) > 1024
    rows = tiny.embed([long, *TEXTS])
    np.testing.assert_allclose(rows[1:], tiny.embed(TEXTS), atol=2e-4)
    with pytest.raises(ContextOverflow, match="exceeds the 4,096 tokens"):
        tiny.embed([long * 5])


def test_recurrent_models_embed_too(mamba_path, load):
    rows = load(mamba_path).embed(TEXTS)
    alone = load(mamba_path).embed(TEXTS[:1])
    np.testing.assert_allclose(rows[0], alone[0], atol=2e-4)
    assert len({row.tobytes() for row in rows}) == len(TEXTS)


def test_passes_hold_every_token_once():
    texts = [(1,) * length for length in (3, 9, 1, 70, 10, 33)]
    passes = plan_passes(texts, 32)
    assert all(sum(len(piece.tokens) for piece in pieces) <= 32 for pieces in passes)
    found = {
        number: sum(len(p.tokens) for pieces in passes for p in pieces if p.number == number) for number in range(6)
    }
    assert [found[number] for number in range(6)] == [3, 9, 1, 70, 10, 33]
    assert [[p.start for p in pieces] for pieces in passes if pieces[0].number == 3] == [[0], [32], [64]]
    assert max(map(len, plan_passes([(n,) for n in range(100)], 512))) == MOST_TEXTS


def test_the_double_finds_common_words_alike():
    rows = ScriptedModel().embed(["the water tax is high", "high is the water tax!", "my dog sleeps all day"])
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-6)
    assert rows[0] @ rows[1] == pytest.approx(1.0, abs=1e-6) and abs(rows[0] @ rows[2]) < 0.5


@pytest.mark.parametrize("ask", ["tiny", "double"])
def test_empty_texts_are_refused(tiny, ask):
    model = tiny if ask == "tiny" else ScriptedModel()
    with pytest.raises(ModelError, match="text 1 of 2 is empty"):
        model.embed(["a", " "])
    assert len(model.embed([])) == 0

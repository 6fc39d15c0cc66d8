"""Naming game: how does a crowd agree on one word without anybody deciding it?

Question: do people who only try to understand each other, two at a time, end with one word for a thing, and how many
stubborn ones does it take to turn a settled word over?

Mechanism: a game has a random speaker and one of its neighbours as hearer (every tie of every layer alike, weights play
no part). The speaker says a random word of those it knows, and makes up a new one if it knows none. If the hearer knows
the word, both forget all others; if not, the hearer adds it. One step is N/2 games, one after another.
committed_share = 0: everyone begins without words, unless the population brings a `word` column. committed_share > 0:
the binary variant; that share (rounded), drawn at random, is committed to the first word for ever, and everyone else
begins with the second.
Column `word` shows the word that a person learned or agreed on last, 0 for none; numbers are spread over the range only
so that colours differ. Setting it from outside makes it the only word that the person knows, and setting `committed`
makes the person keep what it knows. Nobody decides anything: this is a mechanism. The run stops when no game can change
what anybody knows.

Source: Baronchelli, Felici, Loreto, Caglioti and Steels (2006), J. Stat. Mech. P06014; committed agents Xie et al.
(2011), Physical Review E 84, 011130.
Expect: many words at first, then a sudden agreement on one; when all can meet, after some N^1.5 games, that is N^0.5
steps. In the binary variant the committed word wins quickly above a share of .0979 and, in a large crowd, never below.
Units: one step is half a game per person.
"""

import base64

import numpy as np
from numba import njit

from engine import Measure, ScenarioParams, column, keyed_uniform, knob, scenario
from scenarios._classics import any_difference, draw_agents, draw_neighbours, join_layers

# Constants: value, source.
SPREAD = (
    1_327_217_885  # odd, the golden section of 2^31: the k-th word is k x SPREAD mod 2^31, which never repeats; ours
)
MODULUS = 2**31
BACK = pow(SPREAD, -1, MODULUS)  # turns a word's number back into which word it was
ROOM = 8  # words that fit beside the largest inventory before it must grow; ours


class Params(ScenarioParams):
    """Knobs of the naming game."""

    committed_share: float = knob(
        0.0,
        help="Share of people who hold to one word for ever against a settled other one; 0 for a start without words.",
        at_setup=True,
        ge=0,
        le=1,
    )


@njit(cache=True, nogil=True)
def _play(known, size, committed, speaker, hearer, invented, game, step, key):
    """Play the games from number `game` on in place, as far as there is room for a hearer's next word.

    Args:
        known: int32 (n, room); agent i knows known[i, :size[i]], in the order of learning.
        size: int32 (n,).
        committed: Boolean (n,).
        speaker: int64 (games,).
        hearer: int64 (games,), -1 where the speaker has no neighbour.
        invented: Words made up so far.
        game: First game to play.
        step: Step of the run.
        key: Key of the stream that chooses words.

    Returns:
        (next game, words made up so far).
    """
    for g in range(game, speaker.size):
        i, j = speaker[g], hearer[g]
        if j < 0:
            continue
        if size[j] == known.shape[1]:
            return g, invented
        if size[i] == 0:
            invented += 1
            known[i, 0] = invented * SPREAD % MODULUS
            size[i] = 1
        word = known[i, int(keyed_uniform(key, step, g, i, 0) * size[i])]
        understood = False
        for k in range(size[j]):
            understood = understood or known[j, k] == word
        if understood:
            for agent in (i, j):
                if not committed[agent]:
                    known[agent, 0] = word
                    size[agent] = 1
        elif not committed[j]:
            known[j, size[j]] = word
            size[j] += 1
    return speaker.size, invented


def pack_words(known, size):
    """Return all inventories as base64 text: number of agents, sizes, words, all int32 little-endian."""
    words = known[np.arange(known.shape[1]) < size[:, None]]
    return base64.b64encode(np.concatenate([[size.size], size, words]).astype("<i4").tobytes()).decode("ascii")


def unpack_words(text, n):
    """Return (known, size) of `n` agents, newcomers without words: int32 (n, room) with room for more, int32 (n,)."""
    numbers = np.frombuffer(base64.b64decode(text), "<i4").astype(np.int32)
    packed = int(numbers[0])
    size, words = np.pad(numbers[1 : packed + 1], (0, n - packed)), numbers[packed + 1 :]
    known = np.zeros((n, int(size.max(initial=0)) + ROOM), np.int32)
    known[np.arange(known.shape[1]) < size[:, None]] = words
    return known, size


def last_words(known, size):
    """Return the word that each agent learned or agreed on last, int32 (n,), 0 for none."""
    return np.where(size > 0, known[np.arange(size.size), np.maximum(size - 1, 0)], 0).astype(np.int32)


def count_distinct(words, n_invented):
    """Return how many different words there are among `words`; fast where all were made up in this run."""
    which = words.astype(np.int64) * BACK % MODULUS
    if which.max(initial=0) > n_invented:
        return int(np.unique(words).size)
    used = np.zeros(n_invented + 1, bool)
    used[which] = True
    return int(np.count_nonzero(used))


def store_words(world, known, size):
    """Keep inventories and their counts in the world."""
    world.env["inventories"] = pack_words(known, size)
    world.env["n_words"] = int(size.sum())
    words = known[np.arange(known.shape[1]) < size[:, None]]
    world.env["n_distinct_words"] = count_distinct(words, world.env["n_invented"])
    world.population["word"] = last_words(known, size)
    world.env["settled"] = bool(np.all(size == 1)) and world.env["n_distinct_words"] == 1


@scenario(
    "naming_game",
    title="Naming game",
    family="language",
    promise="Everyone makes up a word of their own, and out of the babble one word wins, with nobody in charge.",
    params=Params,
    source="Baronchelli et al. 2006",
    steps=300,
    defaults={"population": {"size": 500}, "network": {"kind": "watts_strogatz", "k": 10, "p_rewire": 0.2}},
)
class NamingGame:
    """Inventories of words, negotiated in pairs."""

    display = "word"
    columns = {
        "word": column("int32", help="The word last learned or agreed on; 0 for none.", low=0, high=MODULUS - 1),
        "committed": column("bool", help="Whether the person keeps to the words it knows for ever."),
    }
    decisions = ()
    measures = (
        Measure(
            "consensus", lambda w: w.env["settled"], "1 when everyone knows the same single word.", "ours", "", 0, 1
        ),
        Measure(
            "n_words",
            lambda w: w.env["n_words"],
            "Words known, over all people.",
            "Baronchelli et al. (2006)",
            "words",
            0,
        ),
        Measure(
            "n_distinct_words",
            lambda w: w.env["n_distinct_words"],
            "Different words in use.",
            "Baronchelli et al. (2006)",
            "words",
            0,
        ),
    )

    def setup(self, world):
        """Begin without words, or with the committed against all others."""
        n, share = world.n_agents, world.params.committed_share
        known = world.population["word"][:, None].copy()
        size = (known[:, 0] > 0).astype(np.int32)
        committed = world.population["committed"].copy()
        world.env["n_invented"] = 0
        if share > 0:
            committed[world.rng("committed").permutation(n)[: round(share * n)]] = True
            known[:, 0] = np.where(committed, SPREAD % MODULUS, 2 * SPREAD % MODULUS)
            size[:] = 1
            world.env["n_invented"] = 2
        world.population["committed"] = committed
        store_words(world, known, size)

    def step(self, world):
        """Play N/2 games."""
        n, committed = world.n_agents, world.population["committed"]
        known, size = unpack_words(world.env["inventories"], n)
        given = np.flatnonzero(world.population["word"] != last_words(known, size))
        known[given, 0] = world.population["word"][given]
        size[given] = known[given, 0] > 0
        speaker = draw_agents(n, n // 2, world.step, world.key("speaker"))
        hearer = draw_neighbours(*join_layers(world.network), speaker, world.step, world.key("hearer"))
        game, invented, key = 0, world.env["n_invented"], world.key("word")
        while game < speaker.size:
            game, invented = _play(known, size, committed, speaker, hearer, invented, game, world.step, key)
            if game < speaker.size:
                known = np.pad(known, ((0, 0), (0, known.shape[1])))
        world.env["n_invented"] = int(invented)
        store_words(world, known, size)
        if can_end(world, size):
            world.settle("no game can change what anybody knows")


def can_end(world, size):
    """Tell whether everyone with ties knows one word and shares it with all neighbours."""
    tied = np.zeros(size.size, bool)
    for graph in world.network.layers.values():
        tied |= graph.degree() > 0
    return bool(np.all(size[tied] == 1)) and not any_difference(world.network, world.population["word"], tied)

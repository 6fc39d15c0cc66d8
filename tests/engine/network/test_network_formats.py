"""GEXF, Pajek and matrices: what is written is read again, and what is wrong is one sentence."""

import networkx as nx
import numpy as np
import pytest

from engine.errors import NetworkError
from engine.network.files import find_network_file, read_graph, read_named
from engine.network.formats import read_gexf, read_matrix, read_pajek, write_gexf, write_matrix, write_pajek
from engine.network.graph import Graph

N = 30


@pytest.fixture(params=["undirected", "directed"])
def graph(request):
    rng = np.random.default_rng(5)
    pairs = rng.integers(0, N - 1, (80, 2))  # the last agent has no tie
    pairs = np.unique(np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1), axis=0)
    weights = rng.integers(1, 9, len(pairs)) / 4
    return Graph.from_edges(N, pairs[:, 0], pairs[:, 1], weights, directed=request.param == "directed")


def same(one, other):
    return (
        one.n == other.n
        and one.directed == other.directed
        and all(np.array_equal(a, b) for a, b in zip(one.edges(), other.edges(), strict=True))
    )


def test_gexf_comes_back_with_its_columns(graph, tmp_path):
    names = [f"<b>{i}</b> & co\x07" for i in range(N)]
    path = write_gexf(graph, tmp_path / "g.gexf", {"label_text": names, "age": list(range(N))})
    found, ids, columns = read_gexf(path)
    assert same(graph, found) and ids == tuple(map(str, range(N)))
    assert columns["age"] == list(range(N)) and columns["label_text"][3] == "<b>3</b> & co?"


def test_pajek_comes_back(graph, tmp_path):
    path = write_pajek(graph, tmp_path / "g.net", [f'person "{i}"' for i in range(N)])
    found, ids, _ = read_pajek(path)
    assert same(graph, found) and ids[2] == "person '2'"


def test_a_matrix_comes_back(graph, tmp_path):
    path = write_matrix(graph, tmp_path / "g.csv")
    found, ids, _ = read_matrix(path, directed=graph.directed)
    assert same(graph, found) and ids == tuple(map(str, range(N)))


def test_a_study_takes_each_form(graph, tmp_path):
    for path in (
        write_gexf(graph, tmp_path / "g.gexf"),
        write_pajek(graph, tmp_path / "g.net"),
        write_matrix(graph, tmp_path / "g.csv"),
    ):
        assert same(graph, read_graph(path, N, directed=graph.directed))
        with pytest.raises(NetworkError, match=r"has 30 nodes, but the population has 31"):
            read_graph(path, 31, directed=graph.directed)


def test_networkx_reads_what_we_write(graph, tmp_path):
    held = nx.read_gexf(write_gexf(graph, tmp_path / "g.gexf"))
    assert held.number_of_nodes() == N and held.number_of_edges() == graph.n_ties
    table = np.genfromtxt(write_matrix(graph, tmp_path / "m.csv"), delimiter=",")[1:, 1:]
    assert np.count_nonzero(table) == graph.indices.size


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.gexf", b"<gexf", "not readable GEXF"),
        ("a.gexf", b'<!DOCTYPE x [<!ENTITY a "b">]><gexf/>', "XML entities"),
        ("a.net", b"no network", "has no line"),
        ("a.net", b'*Vertices 2\n1 "a"\n2 "a"\n*Edges\n', "different labels"),
        ("a.net", b"*Vertices 2\n\xff\xfe", "not UTF-8"),
        ("a.csv", b"0,1\n1,0,1\n", "is square"),
        ("a.csv", b"0,1\n0,0\n", "directed = true"),
        ("a.csv", b"0,x\n1,0\n", r"row 1 column 2 is 'x'"),
        ("a.csv", b"1,1\n1,0\n", "self"),
        ("a.csv", b"0,-1\n-1,0\n", "negative"),
        ("a.xls", b"", "files of ties end in"),
    ],
)
def test_what_is_wrong_is_one_sentence(tmp_path, name, content, sentence):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(NetworkError, match=sentence):
        read_matrix(tmp_path / name) if name == "a.csv" else read_graph(tmp_path / name, 2)


@pytest.mark.parametrize(
    ("file", "n", "ties"),
    [
        ("karate_club.graphml", 34, 78),  # Zachary 1977
        ("florentine_families.graphml", 15, 20),  # Breiger and Pattison 1986, marriages
        ("les_miserables.graphml", 77, 254),  # Knuth 1993
        ("southern_women.graphml", 18, 139),  # Davis, Gardner and Gardner 1941, women who share an event
    ],
)
def test_the_shipped_networks_have_their_published_sizes(file, n, ties):
    graph, names, columns = read_named(find_network_file(file))
    assert (graph.n, graph.n_ties, len(names)) == (n, ties, n) and columns

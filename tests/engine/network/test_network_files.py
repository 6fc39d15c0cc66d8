"""Networks in files: the shipped karate club, CSV lists, GraphML, and every fault by name and row."""

import networkx as nx
import numpy as np
import polars as pl
import pytest

from engine.errors import NetworkError
from engine.network import (
    Graph,
    build_network,
    expected_ties,
    export_edges,
    find_network_file,
    read_csv_ties,
    read_graphml,
    read_node_columns,
    write_graphml,
)
from engine.spec import LayerSpec


def from_file(n, base=None, **params):
    return build_network([LayerSpec(kind="file", params=params)], n, 1, base).layer()


@pytest.fixture
def written(tmp_path):
    def write(text, name="ties.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def test_karate_club_is_the_one_of_networkx():
    path = find_network_file("karate_club.graphml")
    held = read_graphml(path)
    club = nx.karate_club_graph()
    assert (held.graph.n, held.graph.n_ties) == (34, 78)
    source, target, weight = held.graph.edges()
    ties = {(int(a), int(b)): float(w) for a, b, w in zip(source, target, weight, strict=True)}
    assert ties == {(min(a, b), max(a, b)): w for a, b, w in club.edges(data="weight")}
    assert held.node_ids == tuple(map(str, club.nodes))
    sides = read_node_columns(path)["club"]
    assert sides == [side for _, side in club.nodes(data="club")]
    assert (sides.count("Mr. Hi"), sides.count("Officer")) == (17, 17)


def test_a_study_names_the_shipped_network(tmp_path):
    assert from_file(34, tmp_path, path="karate_club.graphml").n_ties == 78
    layer = LayerSpec(kind="file", params={"path": "karate_club.graphml"})
    assert expected_ties(layer, 34) == 78
    with pytest.raises(
        NetworkError, match=r"has 34 nodes, but the population has 100 agents; set population.size to 34"
    ):
        from_file(100, path="karate_club.graphml")


def test_the_file_beside_the_study_comes_first(written, tmp_path):
    written("source,target\n0,1\n", "own.csv")
    graph = Graph.from_edges(3, [0], [2])
    write_graphml(graph, tmp_path / "karate_club.graphml")
    assert from_file(3, tmp_path, path="karate_club.graphml").n_ties == 1
    assert from_file(3, tmp_path, path="own.csv").n_ties == 1


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(NetworkError, match=r"no file 'karate.graphml' in .*did you mean 'karate_club.graphml'"):
        find_network_file("karate.graphml", tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(NetworkError, match="'folder' is a folder"):
        find_network_file("folder", tmp_path)
    for path in ("", "..", "../networks/karate_club.graphml", "a\0b"):
        with pytest.raises(NetworkError):
            find_network_file(path, tmp_path)
    (tmp_path / "ties.xlsx").write_text("x")
    with pytest.raises(NetworkError, match=r"ties.xlsx: files of ties end in .csv"):
        from_file(3, tmp_path, path="ties.xlsx")


@pytest.mark.parametrize(
    "text",
    [
        "source,target,strength\n0,1,2.5\n2,1,1\n",
        "strength;target;source\n2.5;1;0\n1;1;2\n",
        "source\ttarget\tstrength\r\n 0\t1\t2.5\r\n2\t1 \t1\r\n\r\n\r\n",
        '\ufeff"source","target","strength"\n"0","1","2.5"\n2,1,1',
    ],
)
def test_csv_dialects(written, text):
    graph = read_csv_ties(written(text), 4, weight="strength")
    assert [part.tolist() for part in graph.edges()] == [[0, 1], [1, 2], [2.5, 1.0]]
    assert graph.n == 4


def test_csv_columns_are_named_in_the_study(written, tmp_path):
    written("ego,alter,x\n0,1,hello\n1,2,\n")
    graph = from_file(3, tmp_path, path="ties.csv", source="ego", target="alter", directed=True)
    assert graph.directed
    assert graph.weights is None
    assert graph.neighbours(1).tolist() == [2]
    layer = LayerSpec(kind="file", params={"path": "ties.csv"})
    assert expected_ties(layer, 3, tmp_path) == 2


def test_csv_with_a_header_only_has_no_ties(written):
    assert read_csv_ties(written("source,target\n"), 3).n_ties == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("from,to\n0,1\n", "needs one column each of 'source', 'target'; it has 'from', 'to'"),
        ("source,source,target\n0,1,2\n", "one column each of 'source'"),
        ("", "it is empty"),
        ("source,target\n0,1\n1,7\n-1,2\n", "unknown agents in rows 3, 4; ids run from 0 to 3"),
        ("source,target\n0,1\n2,2\n", "self loops in row 3"),
        ("source,target\n0,1\nanna,2\n1.5,2\n", "'source' has cells that are no whole numbers .'anna'. in rows 3, 4"),
        ("source,target\n0,1\n1\n", "'target' has cells that are no whole numbers .None. in row 3"),
        ("source,target\n0,1\n\n1,2\n", "in row 3"),
        ("source,target\n0,1,5\n1,2\n3,1,2\n", "more than 2 cells in rows 2, 4"),
        ('source,target\n0,"1\n', "quotation mark|readable CSV"),
        ("source,target\n99999999999999999999999,1\n", "no whole numbers"),
        ("source,target\n0,1\n1,\u00e9\n".encode("latin-1"), "row 3 is not UTF-8"),
        ("source,target\n0,1\n".encode("utf-16"), "row 1 is not UTF-8"),
        ("source,target\n0,\x00\n", "no whole numbers"),
        ("source,target\n0,=1+1\n", "no whole numbers"),
    ],
)
def test_bad_csv_lists(written, text, message):
    with pytest.raises(NetworkError, match=message) as caught:
        read_csv_ties(written(text), 4)
    assert str(caught.value).startswith("ties.csv: ")


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("-1", "negative weights in row 3"),
        ("much", "'w' has cells that are no numbers"),
        ("nan", "not finite in row 3"),
    ],
)
def test_bad_csv_weights(written, cell, message):
    with pytest.raises(NetworkError, match=message):
        read_csv_ties(written(f"source,target,w\n0,1,1\n1,2,{cell}\n"), 4, weight="w")


def test_a_tie_with_two_weights_is_no_undirected_tie(written):
    path = written("source,target,w\n0,1,1\n1,2,1\n1,0,3\n")
    with pytest.raises(NetworkError, match="the tie 0-1 has different weights in rows 2, 4"):
        read_csv_ties(path, 4, weight="w")
    assert read_csv_ties(path, 4, weight="w", directed=True).n_ties == 3


@pytest.mark.parametrize("directed", [False, True])
def test_graphml_round_trip(tmp_path, directed):
    graph = Graph.from_edges(5, [0, 4, 2], [1, 0, 3], [1.0, 0.25, 3.0], directed=directed)
    columns = {"side": ["a", "b", "<b>&", None, ""], "age": np.arange(5), "trust": [0.5] * 5, "votes": [True] * 5}
    held = read_graphml(write_graphml(graph, tmp_path / "own.graphml", columns))
    for name in ("indptr", "indices", "weights"):
        np.testing.assert_array_equal(getattr(held.graph, name), getattr(graph, name))
    assert held.graph.directed == directed
    assert held.columns["side"] == ["a", "b", "<b>&", None, ""]
    assert held.columns["age"] == [0, 1, 2, 3, 4]
    assert held.columns["votes"] == [True] * 5
    with pytest.raises(NetworkError, match="'age' has 2 values for 5 agents"):
        write_graphml(graph, tmp_path / "own.graphml", {"age": [1, 2]})


GRAPHML = """<graphml xmlns="http://graphml.graphdrawing.org/xmlns">
<key id="w" for="edge" attr.name="weight" attr.type="double"/>
<key id="c" for="node" attr.name="club" attr.type="string"><default>none</default></key>
<graph edgedefault="undirected">{}</graph></graphml>"""
NODES = '<node id="zoe"/><node id="adam"><data key="c">chess</data></node><node id="3"/>'


def test_graphml_ids_follow_the_order_of_the_file(written):
    path = written(GRAPHML.format(NODES + '<edge source="3" target="zoe"/>'), "own.graphml")
    held = read_graphml(path)
    assert held.node_ids == ("zoe", "adam", "3")
    assert held.graph.weights is None
    assert held.graph.neighbours(0).tolist() == [2]
    assert read_node_columns(path) == {"node_id": ["zoe", "adam", "3"], "club": ["none", "chess", "none"]}


def test_graphml_without_a_namespace_is_read_too(written):
    text = GRAPHML.format(NODES + '<edge source="3" target="zoe"/>')
    held = read_graphml(written(text.replace(' xmlns="http://graphml.graphdrawing.org/xmlns"', ""), "own.graphml"))
    assert (held.graph.n, held.graph.n_ties) == (3, 1)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (NODES + '<edge source="3" target="eve"/>', "not declared: eve"),
        (NODES + '<node id="zoe"/>', "declares 1 nodes twice"),
        (NODES + '<edge source="3" target="adam"/><edge source="3" target="3"/>', "self loops in row 2"),
        (NODES + '<edge source="3" target="adam"><data key="w">-2</data></edge>', "negative weights in row 1"),
        (NODES + '<edge source="3" target="adam"><data key="w">x</data></edge>', "not readable GraphML"),
        (
            NODES + '<edge source="3" target="adam"><data key="w">1</data></edge><edge source="3" target="zoe"/>',
            "edges without a number as weight in row 2",
        ),
        (NODES + '<edge source="3" target="adam" directed="true"/>', "not readable GraphML"),
        ("<node", "not readable GraphML"),
        ("", "a network of 0 agents"),
    ],
)
def test_bad_graphml(written, body, message):
    with pytest.raises(NetworkError, match=message):
        read_graphml(written(GRAPHML.format(body), "own.graphml"))


@pytest.mark.parametrize(
    "text", ["", "hello", "<html></html>", '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', b"\xff\xfe\x00"]
)
def test_files_that_are_no_graphml(written, text):
    with pytest.raises(NetworkError, match=r"own\.graphml"):
        read_graphml(written(text, "own.graphml"))


def test_export_edges_has_each_tie_once():
    frame = export_edges(Graph.from_edges(4, [2, 0, 1], [0, 1, 0]))
    assert frame.schema == {"source": pl.UInt32, "target": pl.UInt32, "weight": pl.Float32}
    assert frame.rows() == [(0, 1, 1.0), (0, 2, 1.0)]
    assert export_edges(Graph.complete_graph(4)).height == 6
    with pytest.raises(NetworkError, match="at most 5000000"):
        export_edges(Graph.complete_graph(10_000))
    with pytest.raises(NetworkError, match="too many for GraphML"):
        write_graphml(Graph.complete_graph(3_000), "unused.graphml")

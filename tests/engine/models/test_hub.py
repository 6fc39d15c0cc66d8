"""Fetching model files, against a hub on loopback with the faults that real ones show."""

import hashlib

import gguf
import numpy as np
import pytest
from hub_server import serve_hub

from engine.errors import ModelError
from engine.llm import hub as hub_module
from engine.llm.hub import Source, find_source, pull_model

FILE = "tiny-Q8_0.gguf"
WHOLE = f"society/tiny-GGUF/{FILE}"


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    """A GGUF file of one tensor, half a megabyte."""
    path = tmp_path_factory.mktemp("made") / "tiny.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tensor("token_embd.weight", np.arange(125_000, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path.read_bytes()


@pytest.fixture
def hub(content, monkeypatch):
    monkeypatch.setattr(hub_module.time, "sleep", lambda seconds: None)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with serve_hub({FILE: content}) as (served, address):
        monkeypatch.setenv("HF_ENDPOINT", address)
        yield served


def test_a_file_arrives_whole_with_its_checksum(hub, content, tmp_path):
    seen = []
    source = find_source("society/tiny-GGUF")  # its only GGUF file
    assert (source.file, source.size, source.sha256) == (FILE, len(content), hashlib.sha256(content).hexdigest())
    path = pull_model(source, tmp_path, on_bytes=lambda done, total, rate: seen.append((done, total)))
    assert path.read_bytes() == content
    assert seen[-1] == (len(content), len(content)) and len(seen) > 5
    assert sorted(file.name for file in tmp_path.iterdir()) == [FILE]  # no part, no note left


def test_a_broken_connection_is_gone_on_with(hub, content, tmp_path):
    hub.break_after = [100_000, 200_000]
    assert pull_model(find_source(WHOLE), tmp_path).read_bytes() == content
    ranges = [asked for server, _, asked, _ in hub.asked if server == "storage"]
    assert ranges[0] is None and ranges[1:] == [f"bytes={start}-" for start in (100_000, 300_000)]


def test_a_stopped_download_goes_on_later(hub, content, tmp_path):
    source = find_source(WHOLE)
    with pytest.raises(ModelError, match="kept for the next time"):
        pull_model(source, tmp_path, should_stop=lambda: True)
    part = tmp_path / f"{FILE}.part"
    held = part.stat().st_size
    assert 0 < held < len(content)
    assert pull_model(source, tmp_path).read_bytes() == content
    assert hub.asked[-1][2] == f"bytes={held}-"


def test_a_server_that_ignores_ranges_sends_everything_again(hub, content, tmp_path):
    hub.break_after, hub.ignores_ranges = [100_000], True
    assert pull_model(find_source(WHOLE), tmp_path).read_bytes() == content


def test_a_busy_server_is_asked_again(hub, content, tmp_path):
    hub.statuses = [429, 503, 500]
    assert pull_model(find_source(WHOLE), tmp_path).read_bytes() == content


def test_a_server_that_never_delivers_is_given_up_with_advice(hub, tmp_path):
    hub.statuses = [503] * 50
    with pytest.raises(ModelError, match=r"did not deliver.*status 503.*go on from there"):
        pull_model(find_source(WHOLE), tmp_path)


def test_a_wrong_checksum_is_thrown_away(hub, content, tmp_path):
    source = find_source(WHOLE)
    wrong = Source(source.url, source.file, source.size, "0" * 64)
    with pytest.raises(ModelError, match="thrown away: its sha256 is"):
        pull_model(wrong, tmp_path)
    assert not (tmp_path / FILE).exists() and not (tmp_path / f"{FILE}.part").exists()


def test_a_checksum_that_contradicts_the_hub_fetches_nothing(hub):
    with pytest.raises(ModelError, match="nothing fetched"):
        find_source(WHOLE, sha256="a" * 64)
    assert not [path for _, path, *_ in hub.asked if "resolve" in path]


def test_a_page_instead_of_a_model_is_refused(hub, tmp_path):
    hub.files[FILE] = b"<html>please log in</html>"
    with pytest.raises(ModelError, match="does not begin as a GGUF file"):
        pull_model(find_source(WHOLE), tmp_path)


def test_half_a_model_is_refused(hub, content, tmp_path):
    hub.files[FILE] = content[: len(content) // 2]
    with pytest.raises(ModelError, match=r"thrown away.*truncated"):
        pull_model(find_source(WHOLE), tmp_path)


def test_the_token_stays_with_the_hub(hub, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    path = pull_model(find_source(WHOLE), tmp_path)
    tokens = {server: token for server, _, _, token in hub.asked}
    assert tokens["hub"] == "Bearer hf_secret"
    # httpx drops the header where a redirect leaves the origin, which includes the port.
    assert tokens["storage"] is None
    assert not [file for file in path.parent.iterdir() if b"hf_secret" in file.read_bytes()]


def test_a_file_that_is_there_is_not_fetched_twice(hub, content, tmp_path):
    source = find_source(WHOLE)
    pull_model(source, tmp_path)
    before = len(hub.asked)
    assert pull_model(source, tmp_path).read_bytes() == content and len(hub.asked) == before
    (tmp_path / FILE).write_bytes(b"GGUF other")
    with pytest.raises(ModelError, match="already there"):
        pull_model(source, tmp_path)


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        ("tiny", "names no model; write OWNER/REPOSITORY"),
        ("society/other-GGUF", "has no repository society/other-GGUF"),
        ("society/tiny-GGUF/absent.gguf", f"has no file 'absent.gguf'; its GGUF files: {FILE}"),
        ("http://127.0.0.1:9/model.txt", "must end in .gguf"),
    ],
)
def test_what_cannot_be_found_is_one_sentence(hub, what, sentence):
    with pytest.raises(ModelError) as caught:
        find_source(what)
    assert sentence in str(caught.value)


def test_several_files_are_listed_to_choose_from(hub, content):
    hub.files["tiny-F16.gguf"] = content
    with pytest.raises(ModelError, match=r"2 GGUF files; name one: tiny-F16.gguf, tiny-Q8_0.gguf"):
        find_source("society/tiny-GGUF")


@pytest.mark.parametrize("listing", [{"error": "x"}, [1, 2], "text", []])
def test_a_list_that_is_none_is_refused(hub, listing):
    hub.listing = listing
    with pytest.raises(ModelError, match=r"no list of files|holds no GGUF"):
        find_source("society/tiny-GGUF")


def test_names_from_outside_never_become_paths(hub, tmp_path):
    assert find_source("http://127.0.0.1:9/a/..%2F..%2Fevil.gguf").file == "evil.gguf"
    assert pull_model(find_source(WHOLE), tmp_path / "models", name="../evil.gguf") == tmp_path / "models" / "evil.gguf"
    assert not (tmp_path / "evil.gguf").exists()


def test_a_disk_that_is_too_small_is_said_first(hub, tmp_path, monkeypatch):
    monkeypatch.setattr(hub_module.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 10_000})())
    with pytest.raises(ModelError, match="make room or choose another workspace"):
        pull_model(find_source(WHOLE), tmp_path)

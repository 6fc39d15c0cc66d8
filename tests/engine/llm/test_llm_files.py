"""Finding, checking and reading model files; what is said when they cannot be used."""

from __future__ import annotations

import hashlib
import shutil
import struct
import sys

import gguf
import numpy as np
import pytest

from engine.errors import ModelError
from engine.llm import check_model, find_model, list_models, load_model, models, pocket_path, read_model_info
from engine.llm.header import read_header
from engine.llm.library import load_library
from engine.llm.random_model import build_random_model
from engine.spec import ModelSpec


def refusal(file, folder=None, **spec):
    with pytest.raises(ModelError) as caught:
        check_model(ModelSpec(file=str(file), **spec), folder)
    text = str(caught.value)
    assert "\n" not in text and "Traceback" not in text
    return text


def test_a_missing_model_names_the_nearest(tmp_path, tiny_path):
    shutil.copy(tiny_path, tmp_path / "small-talker.gguf")
    assert "did you mean 'small-talker.gguf'" in refusal("small-talkr.gguf", tmp_path)
    assert "did you mean 'pocket'" in refusal("pockte")
    assert str(tmp_path) in refusal("nothing", tmp_path)


def test_a_folder_is_refused_and_its_files_named(tmp_path, tiny_path):
    shutil.copy(tiny_path, tmp_path / "one.gguf")
    assert "is a folder" in refusal(tmp_path) and "one.gguf" in refusal(tmp_path)


def test_another_kind_of_file_is_refused(tmp_path):
    path = tmp_path / "notes.gguf"
    path.write_text("these are notes")
    assert "is not a GGUF model file" in refusal(path)
    path.write_bytes(b"")
    assert "is not a GGUF model file" in refusal(path)


@pytest.mark.parametrize("share", [0.0001, 0.01, 0.2, 0.7, 0.9999])
def test_a_truncated_file_is_refused(tmp_path, tiny_path, share):
    raw = tiny_path.read_bytes()
    path = tmp_path / "half.gguf"
    path.write_bytes(raw[: max(5, int(len(raw) * share))])
    assert "is truncated" in refusal(path)


def test_one_byte_less_is_truncated(tmp_path, tiny_path):
    path = tmp_path / "less.gguf"
    path.write_bytes(tiny_path.read_bytes()[:-33])
    assert "is truncated" in refusal(path)


def test_a_damaged_header_never_raises_anything_else(tmp_path, tiny_path):
    raw = bytearray(tiny_path.read_bytes())
    rng = np.random.default_rng(0)
    path = tmp_path / "damaged.gguf"
    refused = 0
    for _ in range(150):
        spoiled = bytearray(raw)
        for place in rng.integers(4, 3000, size=4):
            spoiled[place] = rng.integers(0, 256)
        path.write_bytes(spoiled)
        try:
            check_model(ModelSpec(file=str(path)))
        except ModelError:
            refused += 1
    assert refused > 20


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (struct.pack("<IQQ", 1, 0, 0), "version 1"),
        (struct.pack(">IQQ", 3, 0, 0), "little-endian"),
        (struct.pack("<IQQ", 3, 2**40, 0), "damaged"),
        (struct.pack("<IQQQ", 3, 0, 1, 2**60), "truncated"),
        (struct.pack("<IQQ", 3, 0, 0), "no architecture"),
        (struct.pack("<IQQQ1sI", 3, 0, 1, 1, b"a", 99), "unknown type 99"),
    ],
)
def test_impossible_headers(tmp_path, body, message):
    path = tmp_path / "odd.gguf"
    path.write_bytes(b"GGUF" + body)
    assert message in refusal(path)


def test_an_adapter_is_no_language_model(tmp_path):
    path = tmp_path / "lora.gguf"
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_type("adapter")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert "is not a language model but 'adapter'" in refusal(path)


def test_a_split_model_needs_all_its_parts(tmp_path):
    names = [f"big-0000{number}-of-00002.gguf" for number in (1, 2)]
    for number, name in enumerate(names):
        writer = gguf.GGUFWriter(str(tmp_path / name), "llama")
        writer.add_uint16("split.no", number)
        writer.add_uint16("split.count", 2)
        writer.add_tensor(f"part.{number}", np.zeros((4, 32), np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    assert check_model(ModelSpec(file=str(tmp_path / names[0]))) == tmp_path / names[0]
    assert "name the first" in refusal(tmp_path / names[1])
    (tmp_path / names[1]).write_bytes((tmp_path / names[1]).read_bytes()[:-64])
    assert "is truncated" in refusal(tmp_path / names[0])
    (tmp_path / names[1]).unlink()
    assert f"lacks {names[1]}" in refusal(tmp_path / names[0])


def test_a_model_too_large_for_the_memory_is_refused(monkeypatch, tiny_path):
    monkeypatch.setattr(models, "available_memory", lambda: 50 * 2**20)
    text = refusal(tiny_path)
    assert "GiB of memory" in text and "is available" in text and "close other programs" in text
    with pytest.raises(ModelError, match="GiB of memory"):
        load_model(ModelSpec(file=str(tiny_path)))
    monkeypatch.setattr(models, "available_memory", lambda: 80 * 2**20)
    assert check_model(ModelSpec(file=str(tiny_path))) == tiny_path


def test_a_containers_limit_counts(monkeypatch, tmp_path):
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("400000\n")
    monkeypatch.setattr(models, "CGROUP", tmp_path)
    assert models.available_memory() == 600_000
    (tmp_path / "memory.max").write_text("max\n")
    assert models.available_memory() > 600_000


def test_no_model_may_be_loaded_when_forbidden(monkeypatch):
    monkeypatch.setenv("MICROCOSM_NO_MODEL", "1")
    for file in ("pocket", "scripted"):
        with pytest.raises(ModelError, match="MICROCOSM_NO_MODEL=1"):
            load_model(ModelSpec(file=file))


def test_without_llama_cpp_the_error_says_how_to_add_it(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "llama_cpp"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "llama_cpp", None)
    load_library.cache_clear()
    try:
        with pytest.raises(ModelError, match="pip install llama-cpp-python"):
            load_model(ModelSpec(file="pocket"))
        assert read_model_info(pocket_path())["quantization"] == "Q8_0", "files can be read without it"
        assert load_model(ModelSpec(file="scripted")).identity.backend == "scripted"
    finally:
        load_library.cache_clear()


def test_importing_the_engine_does_not_import_llama_cpp():
    import subprocess

    code = "import sys, engine.llm; sys.exit('llama_cpp' in sys.modules or 'gguf' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_models_are_found_by_path_and_by_name_in_the_folder(tmp_path, tiny_path):
    shutil.copy(tiny_path, tmp_path / "one.gguf")
    assert find_model("one", tmp_path) == find_model("one.gguf", tmp_path) == tmp_path / "one.gguf"
    assert find_model(str(tiny_path)) == tiny_path
    assert find_model("pocket") == pocket_path()
    assert list_models(tmp_path) == ["one.gguf"]
    assert list_models(None) == [] == list_models(tmp_path / "missing")


def test_a_name_never_leaves_the_folder(tmp_path, tiny_path):
    inner = tmp_path / "models"
    inner.mkdir()
    shutil.copy(tiny_path, tmp_path / "outside.gguf")
    assert "no language model" in refusal("../outside", inner)


def test_the_header_tells_what_the_file_is(tiny_path):
    info = read_model_info(tiny_path)
    assert info["sha256"] == hashlib.sha256(tiny_path.read_bytes()).hexdigest()
    assert (info["architecture"], info["quantization"], info["context"]) == ("llama", "F32", 4096)
    assert info["template"] is True and info["size_bytes"] == tiny_path.stat().st_size
    reader = gguf.GGUFReader(tiny_path)
    assert info["n_params"] == sum(int(tensor.n_elements) for tensor in reader.tensors)
    assert read_header(tiny_path).tensor_bytes == sum(int(tensor.n_bytes) for tensor in reader.tensors)
    assert read_model_info(tiny_path, hashed=False)["sha256"] is None


def test_a_changed_file_is_hashed_again(tmp_path):
    path = build_random_model(tmp_path / "model.gguf", seed=1)
    first = read_model_info(path)["sha256"]
    build_random_model(path, seed=2)
    assert read_model_info(path)["sha256"] != first


def test_random_models_are_reproducible(tmp_path, tiny_path):
    again = build_random_model(tmp_path / "again.gguf")
    assert again.read_bytes() == tiny_path.read_bytes()
    half = build_random_model(tmp_path / "half.gguf", ftype="f16")
    assert half.stat().st_size < 0.7 * tiny_path.stat().st_size


def test_waiting_is_announced(tiny_path):
    heard = []
    load_model(ModelSpec(file=str(tiny_path)), on_wait=heard.append).close()
    assert heard == ["reading tiny.gguf", "loading tiny.gguf"]


def test_a_file_that_llama_cpp_refuses_says_why(tmp_path, monkeypatch):
    path = tmp_path / "alien.gguf"
    writer = gguf.GGUFWriter(str(path), "alien")
    writer.add_context_length(64)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(ModelError, match=r"cannot load the model alien\.gguf.*alien"):
        load_model(ModelSpec(file=str(path)))


def test_the_embedded_model_says_what_it_is():
    info = read_model_info(pocket_path())
    assert "demonstration model with built-in rules" in info["name"] and info["size_bytes"] <= 12_000_000
    model = load_model(ModelSpec(file="pocket"), n_threads=1)
    assert model.identity.is_pocket and model.identity.name == info["name"]
    prefix, suffixes = "You live in a small town. ", [f"You are {age} years old. Well?" for age in range(20, 40)]
    texts = model.write(prefix, suffixes, seeds=range(20), max_tokens=24, temperature=0.8, top_p=0.95)
    model.close()
    readable = [text for text in texts if text]
    assert len(readable) >= 12 and all(text.isascii() and text.isprintable() for text in readable)

"""Fetch model files: from a hub by owner/repository/file, or from any address, with resume and checksum.

A hub is a server with the interface of Hugging Face's: `/api/models/OWNER/REPOSITORY/tree/REVISION` lists files with
sizes and sha256, `/OWNER/REPOSITORY/resolve/REVISION/FILE` gives one. `HF_ENDPOINT` names another hub and `HF_TOKEN` a
token, which goes to the hub alone, never to the servers it redirects to, and is never written anywhere.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit

from engine.errors import ModelError
from engine.llm.header import MAGIC, read_header

if TYPE_CHECKING:
    import httpx

HUB = "https://huggingface.co"
ATTEMPTS = 5  # connections in a row that bring nothing new before the download is given up
RETRY_STATUS = {408, 425, 429, 500, 502, 503, 504}
SPARE_BYTES = 256 * 2**20  # of the disk, left free beside the file
CONNECT_S, READ_S = 20.0, 60.0
REPOSITORY = re.compile(r"(?P<owner>[\w.-]+)/(?P<name>[\w.-]+)(/(?P<file>[\w./ +-]+))?(@(?P<revision>[\w./-]+))?")
SHA256 = re.compile(r"[0-9a-fA-F]{64}")

OnBytes = Callable[[int, int | None, float], None]


@dataclass(frozen=True)
class Source:
    """Where a model file comes from.

    Attributes:
        url: Address of the file.
        file: Name under which it is kept.
        size: Bytes, None where the server did not say beforehand.
        sha256: Expected checksum in hex, None where nobody knows one.
        from_hub: Whether the address belongs to the hub, so that its token may be sent.
    """

    url: str
    file: str
    size: int | None = None
    sha256: str | None = None
    from_hub: bool = False


def hub_address() -> str:
    """Return the hub's address: `HF_ENDPOINT`, or Hugging Face."""
    return os.environ.get("HF_ENDPOINT", HUB).rstrip("/")


def find_source(what: str, *, sha256: str | None = None) -> Source:
    """Turn "OWNER/REPOSITORY/FILE.gguf", optionally "@REVISION", or an http(s) address into a source.

    "OWNER/REPOSITORY" alone is enough where the repository holds one GGUF file.

    Raises:
        ModelError: not understood, no such repository or file, or several files to choose from (they are listed).
    """
    if sha256 is not None and not SHA256.fullmatch(sha256):
        raise ModelError(f"'{sha256[:80]}' is not a sha256 checksum: it must have 64 hexadecimal digits")
    if what.startswith(("http://", "https://")):
        return Source(what, _safe_name(unquote(urlsplit(what).path)), sha256=sha256 and sha256.lower())
    match = REPOSITORY.fullmatch(what)
    if match is None:
        raise ModelError(f"'{what[:200]}' names no model; write OWNER/REPOSITORY/FILE.gguf or an https:// address")
    repository, revision = f"{match['owner']}/{match['name']}", match["revision"] or "main"
    listed = _list_files(repository, revision)
    file = match["file"] or _only_file(repository, listed)
    if file not in listed:
        raise ModelError(f"{repository} has no file '{file}'; its GGUF files: {_some(listed)}")
    size, known = listed[file]
    if sha256 is not None and known is not None and known != sha256.lower():
        raise ModelError(
            f"{repository}/{file} has the sha256 {known} on the hub, not {sha256.lower()}; nothing fetched"
        )
    url = f"{hub_address()}/{repository}/resolve/{quote(revision, safe='')}/{quote(file)}"
    return Source(url, _safe_name(file), size, (sha256 and sha256.lower()) or known, from_hub=True)


def pull_model(
    source: Source,
    folder: Path,
    *,
    name: str | None = None,
    on_bytes: OnBytes | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Path:
    """Fetch a model file into a folder; a part that is already there is gone on with.

    Args:
        source: Where it comes from.
        folder: The model folder.
        name: File name to keep it under; the source's by default.
        on_bytes: Called with bytes so far, bytes in all (None: unknown) and bytes per second of this session.
        should_stop: Asked between chunks; when True the download ends and its part stays for next time.

    Returns:
        The path of the complete, checked file. An identical file that is already there is not fetched again.

    Raises:
        ModelError: another file of that name is there; the disk is too small; the server refuses or breaks off again
            and again; the checksum or length differs; the file is not a complete GGUF file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / _safe_name(name or source.file)
    if target.exists():
        if source.sha256 is not None and _hash(target) == source.sha256:
            return target
        raise ModelError(f"{target} is already there; delete it, or keep the new one under another name with --name")
    part, note = target.with_name(target.name + ".part"), target.with_name(target.name + ".part.json")
    _forget_other(part, note, source)
    note.write_text(json.dumps(asdict(source)), encoding="utf-8")
    _download(source, part, folder, on_bytes, should_stop)
    _check_complete(source, part)
    part.replace(target)
    note.unlink(missing_ok=True)
    return target


def _list_files(repository: str, revision: str) -> dict[str, tuple[int | None, str | None]]:
    """Return (size, sha256) of each GGUF file of a repository."""
    url: str | None = f"{hub_address()}/api/models/{repository}/tree/{quote(revision, safe='')}?recursive=true"
    found: dict[str, tuple[int | None, str | None]] = {}
    with _client(from_hub=True) as client:
        while url is not None:
            answer = _answer_of(client, url, repository)
            try:
                entries = answer.json()
                rows = [entry for entry in entries if entry["type"] == "file" and entry["path"].endswith(".gguf")]
                found |= {row["path"]: (row.get("size"), (row.get("lfs") or {}).get("oid")) for row in rows}
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise ModelError(f"{urlsplit(url).netloc} answered something that is no list of files") from error
            url = answer.links.get("next", {}).get("url")
    if not found:
        raise ModelError(f"{repository} holds no GGUF file; look for a repository whose name ends in GGUF")
    return found


def _answer_of(client: httpx.Client, url: str, repository: str) -> httpx.Response:
    import httpx

    host = urlsplit(url).netloc
    try:
        answer = client.get(url)
    except httpx.HTTPError as error:
        raise ModelError(
            f"{host} cannot be reached ({type(error).__name__}); check the network, then try again"
        ) from error
    if answer.status_code in (401, 403):
        raise ModelError(
            f"{host} refuses access to {repository}: accept its licence there and set HF_TOKEN in the environment"
        )
    if answer.status_code == 404:
        raise ModelError(f"{host} has no repository {repository} or no such revision; check the spelling")
    if answer.is_error:
        raise ModelError(f"{host} answered {answer.status_code} to the list of files of {repository}; try again later")
    return answer


def _only_file(repository: str, listed: dict[str, Any]) -> str:
    if len(listed) == 1:
        return next(iter(listed))
    raise ModelError(f"{repository} holds {len(listed)} GGUF files; name one: {_some(listed)}")


def _some(listed: dict[str, Any]) -> str:
    names = sorted(listed)
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")


def _safe_name(path: str) -> str:
    """Return a plain file name that ends in .gguf; folders and odd characters never reach the disk."""
    name = re.sub(r"[^\w.+ -]", "_", Path(path).name).lstrip(".")
    if not name.lower().endswith(".gguf") or len(name) < 6:
        raise ModelError(f"'{path[:120]}' is not the name of a GGUF file; it must end in .gguf")
    return name[-200:]


def _forget_other(part: Path, note: Path, source: Source) -> None:
    """Delete a part that belongs to another file."""
    if not part.exists():
        return
    try:
        held = json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        held = {}
    if held.get("url") != source.url or held.get("sha256") != source.sha256:
        part.unlink()


def _download(
    source: Source, part: Path, folder: Path, on_bytes: OnBytes | None, should_stop: Callable[[], bool] | None
) -> None:
    import httpx

    host, failures, reason = urlsplit(source.url).netloc, 0, ""
    started, first = time.monotonic(), part.stat().st_size if part.exists() else 0
    while failures < ATTEMPTS:
        before = part.stat().st_size if part.exists() else 0
        try:
            with _client(source.from_hub) as client, _open(client, source, before) as (answer, total):
                _check_disk(folder, total, before)
                done = _append(answer, part, before, total, started, first, on_bytes, should_stop)
            if total is None or done >= total:
                return
            reason = f"the connection broke off after {done:,} bytes"
        except (httpx.HTTPError, _TryAgain) as error:
            reason = str(error) or type(error).__name__
        failures = 0 if part.exists() and part.stat().st_size > before else failures + 1
        time.sleep(min(0.2 * 2**failures, 5.0))
    raise ModelError(
        f"{host} did not deliver {source.file} ({reason}); what has arrived is kept; try again to go on from there"
    )


class _TryAgain(Exception):
    """The server asks for patience."""


@contextmanager
def _open(client: httpx.Client, source: Source, start: int) -> Iterator[tuple[httpx.Response, int | None]]:
    """Open the file from byte `start` on; yields the response and the length of the whole file."""
    headers = {"Range": f"bytes={start}-"} if start else {}
    with client.stream("GET", source.url, headers=headers) as answer:
        status = answer.status_code
        if status in RETRY_STATUS:
            raise _TryAgain(f"status {status}")
        if status == 416:  # nothing is left to send: the part is complete, or longer than the file
            yield answer, start
            return
        if status in (401, 403):
            raise ModelError(f"the server refuses {source.file} ({status}); accept its licence there and set HF_TOKEN")
        if status == 404:
            raise ModelError(f"there is no file at {source.url}; check the address")
        if answer.is_error:
            raise ModelError(f"the server answered {status} to {source.url}")
        length = answer.headers.get("content-length")
        whole = answer.headers.get("content-range", "").rpartition("/")[2]
        if status == 206 and whole.isdigit():
            yield answer, int(whole)
        else:
            yield answer, int(length) if length and "content-encoding" not in answer.headers else source.size


def _append(
    answer: httpx.Response,
    part: Path,
    before: int,
    total: int | None,
    started: float,
    first: int,
    on_bytes: OnBytes | None,
    should_stop: Callable[[], bool] | None,
) -> int:
    """Write what arrives behind what is there; return the bytes of the part."""
    if answer.status_code == 416:
        return before
    resumed = answer.status_code == 206
    done = before if resumed else 0
    with part.open("ab" if resumed else "wb") as file:
        for chunk in answer.iter_raw():
            file.write(chunk)
            done += len(chunk)
            if on_bytes is not None:
                on_bytes(done, total, max(done - first, 0) / max(time.monotonic() - started, 1e-6))
            if should_stop is not None and should_stop():
                raise ModelError(f"stopped after {done:,} bytes; what has arrived is kept for the next time")
    return done


def _check_disk(folder: Path, total: int | None, before: int) -> None:
    free = shutil.disk_usage(folder).free
    if total is not None and total - before + SPARE_BYTES > free:
        raise ModelError(
            f"the file needs {(total - before) / 2**30:.2f} GiB and {free / 2**30:.2f} GiB is free at {folder}; "
            "make room or choose another workspace"
        )


def _check_complete(source: Source, part: Path) -> None:
    """Refuse a file that is not what was promised; a wrong one is deleted, since no resume can mend it."""
    size = part.stat().st_size
    with part.open("rb") as file:
        begins = file.read(4)
    problem = ""
    if begins != MAGIC:
        problem = "it does not begin as a GGUF file does (perhaps a page that asks to log in)"
    elif source.size is not None and size != source.size:
        problem = f"it has {size:,} bytes instead of {source.size:,}"
    elif source.sha256 is not None and (found := _hash(part)) != source.sha256:
        problem = f"its sha256 is {found} and not {source.sha256}"
    else:
        try:
            read_header(part)
        except ModelError as error:
            problem = str(error)
    if problem:
        part.unlink()
        raise ModelError(f"what {urlsplit(source.url).netloc} sent as {source.file} was thrown away: {problem}")


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _client(from_hub: bool) -> Iterator[httpx.Client]:
    """Yield a client that follows redirects; httpx drops the token where a redirect leaves the host."""
    import httpx

    token = os.environ.get("HF_TOKEN", "") if from_hub else ""
    headers = {"User-Agent": "microcosm", "Accept-Encoding": "identity"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    timeout = httpx.Timeout(READ_S, connect=CONNECT_S)
    with httpx.Client(follow_redirects=True, timeout=timeout, headers=headers) as client:
        yield client

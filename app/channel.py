"""Routes beside the pages: the picture's layout, its frames over a WebSocket, and reports in a sandbox.

Frames are binary: step (int32), sequence number (uint32), mode (uint32: bit 0 for replay, bit 1 where cells follow),
then one byte per drawn agent, and where agents live on a grid their cells, x then y, int16 each. At most three frames
are unacknowledged; the page draws only the newest one. The page sends small JSON texts: `{"ack": 1}`, `{"column":
NAME}`, `{"play": bool}`, `{"seek": STEP}`, `{"rate": STEPS_PER_S}`, `{"every": K}`, `{"follow": true}`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import struct
from pathlib import Path
from typing import Any

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from app.frames import Layout, Recordings, cells, grid_columns, load_layout, load_meta, read_frame
from app.laying_out import ensure_picture
from engine.runs import open_workspace, read_info
from engine.runs.live import LAYOUT_NAME, LiveReader
from engine.store.catalog import CATALOG_NAME

PREFIX = "/microcosm"
MAX_UNACKNOWLEDGED = 3
FRAMES_PER_S = 30.0
ENDED = frozenset({"done", "cancelled", "failed", "interrupted"})
RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,120}")
REPORT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,160}\.html")
# A report may carry text that people or models wrote: it runs without the studio's origin and without any network.
REPORT_POLICY = (
    "sandbox allow-scripts allow-downloads; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data:; font-src data:"
)


class Channel:
    """What the custom routes need: the workspace, recordings in memory, and the sockets to close at the end."""

    def __init__(self, workspace: Path) -> None:
        self.workspace = workspace
        self.recordings = Recordings()
        self._sockets: set[WebSocket] = set()

    def routes(self) -> list[Any]:
        """Return the routes that the application adds to Streamlit's own."""
        return [
            Route(f"{PREFIX}/layout/{{run_id}}", self.layout),
            Route(f"{PREFIX}/report/{{name}}", self.report),
            WebSocketRoute(f"{PREFIX}/live/{{run_id}}", self.live),
        ]

    async def close(self) -> None:
        """Close every open socket, so that the server can end."""
        for socket in list(self._sockets):
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):  # already closed by the page
                await socket.close(1001)

    def folder(self, run_id: str) -> Path | None:
        """Return the folder of a run of this workspace, or None."""
        if not RUN_NAME.fullmatch(run_id):
            return None
        found = open_workspace(self.workspace).runs / run_id
        return found if found.is_dir() else None

    async def layout(self, request: Request) -> Response:
        """Answer with the drawn agents' places and ties, 404 where the worker has not laid them out yet."""
        folder = self.folder(request.path_params["run_id"])
        if folder is not None and not (folder / LAYOUT_NAME).is_file() and (folder / CATALOG_NAME).is_file():
            await to_thread.run_sync(ensure_picture, folder)
        layout = await to_thread.run_sync(load_layout, folder) if folder else None
        if layout is None:
            return PlainTextResponse("The layout of this run is not there yet.", 404)
        return Response(layout.to_bytes(), media_type="application/octet-stream", headers={"cache-control": "no-store"})

    async def report(self, request: Request) -> Response:
        """Answer with a report that was written into the workspace's exports, without origin or network."""
        name = request.path_params["name"]
        path = open_workspace(self.workspace).exports / name
        if not REPORT_NAME.fullmatch(name) or not path.is_file():
            return PlainTextResponse("There is no such report in this workspace.", 404)
        return FileResponse(path, media_type="text/html", headers={"content-security-policy": REPORT_POLICY})

    async def live(self, socket: WebSocket) -> None:
        """Send frames of one run until the page goes away."""
        folder = self.folder(socket.path_params["run_id"])
        layout = await to_thread.run_sync(load_layout, folder) if folder else None
        if folder is None or layout is None:
            await socket.close(1008, "This run has no picture yet.")
            return
        await socket.accept()
        self._sockets.add(socket)
        try:
            with contextlib.suppress(WebSocketDisconnect):  # the page going away is how a viewing normally ends
                await Player(socket, folder, layout, self.recordings).play()
        finally:
            self._sockets.discard(socket)


class Player:
    """One viewing of one run: follows the worker, or replays what was recorded."""

    def __init__(self, socket: WebSocket, folder: Path, layout: Layout, recordings: Recordings) -> None:
        self.socket = socket
        self.folder = folder
        self.layout = layout
        self.recordings = recordings
        self.columns = {column["name"]: column for column in load_meta(folder)["columns"]}
        self.grid = grid_columns(list(self.columns.values()))
        self.loading: asyncio.Task[Any] | None = None
        wanted = socket.query_params.get("column", "")
        self.column = wanted if wanted in self.columns else next(iter(self.columns), "")
        self.credit = asyncio.Semaphore(MAX_UNACKNOWLEDGED)
        self.follow = True
        self.playing = False
        self.position = 0.0
        self.rate = 10.0
        self.every = 1
        self.shown: tuple[Any, ...] = ()
        self.span: tuple[float, float] | None = None
        self.reader = LiveReader(folder)
        self.info: Any = None

    async def play(self) -> None:
        """Run the two directions until one of them ends."""
        self.info = await to_thread.run_sync(read_info, self.folder)
        if self.info.status in ENDED:
            self.follow, self.playing = False, self.socket.query_params.get("autoplay") == "1"
            self.position = 0.0 if self.playing else float(self.info.step)
        tasks = [asyncio.create_task(part()) for part in (self._listen, self._frames, self._status)]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            if self.loading is not None:
                await asyncio.gather(self.loading, return_exceptions=True)
            await asyncio.gather(*tasks, return_exceptions=True)
            self.reader.close()

    async def _listen(self) -> None:
        while True:
            wish = json.loads(await self.socket.receive_text())
            if "ack" in wish:
                self.credit.release()
            if wish.get("column") in self.columns:
                self.column, self.shown = wish["column"], ()
            if "rate" in wish:
                self.rate = min(max(float(wish["rate"]), 0.1), 1000.0)
            if "every" in wish:
                self.every = min(max(int(wish["every"]), 1), 100_000)
            if "seek" in wish:
                self.follow, self.position, self.shown = False, float(max(0, int(wish["seek"]))), ()
            if "play" in wish:
                self._set_playing(bool(wish["play"]))
            if wish.get("follow"):
                self.follow, self.playing = self.info.status not in ENDED, False

    def _set_playing(self, playing: bool) -> None:
        self.follow, self.playing = False, playing
        if playing and self.position >= self.info.step:
            self.position = 0.0

    async def _status(self) -> None:
        """Tell the page twice a second how far the run is; return to rest when a followed run ends."""
        last: dict[str, Any] = {}
        while True:
            self.info = await to_thread.run_sync(read_info, self.folder)
            if self.follow and self.info.status in ENDED:
                self.follow, self.position, self.shown = False, float(self.info.step), ()
            told = {
                "step": self.info.step,
                "steps": self.info.steps,
                "status": self.info.status,
                "follow": self.follow,
                "playing": self.playing,
                "range": self._range(),
            }
            if told != last:
                await self.socket.send_text(json.dumps(told))
                last = told
            await asyncio.sleep(0.5 if self.info.status not in ENDED or self.playing else 1.0)

    async def _frames(self) -> None:
        clock = asyncio.get_running_loop().time
        pause = 1.0 / FRAMES_PER_S
        due = last = clock()
        while True:
            now = clock()
            found = await (self._live() if self.follow else self._replayed(now - last))
            last = now
            if found is not None and (*found[:2], self.column) != self.shown:
                await self.credit.acquire()
                step, sequence, codes = found
                mode = (0 if self.follow else 1) | (2 if len(codes) > len(self.layout.ids) else 0)
                await self.socket.send_bytes(struct.pack("<iII", step, sequence % 2**32, mode) + codes)
                self.shown = (step, sequence, self.column)
            due = max(due + pause, clock())
            await asyncio.sleep(due - clock())

    async def _live(self) -> tuple[int, int, bytes] | None:
        found = self.reader.read()
        if found is None or self.column not in found[2]:
            return await self._replayed(0.0)
        step, sequence, columns = found
        if step % self.every and self.shown and self.info.status == "running":
            return None
        places = b""
        if self.grid and all(column["name"] in columns for column in self.grid):
            places = b"".join(cells(columns[c["name"]], tuple(c["shown"])).tobytes() for c in self.grid)
        return step, sequence, columns[self.column].tobytes() + places

    async def _replayed(self, passed_s: float) -> tuple[int, int, bytes] | None:
        if self.column not in self.columns or self.info.step < 0:
            return None
        needed = [self.columns[self.column], *(self.grid or ())]
        recordings = [self.recordings.held(self.folder, column["name"], self._committed()) for column in needed]
        if None in recordings:
            if self.loading is None or self.loading.done():
                self.loading = asyncio.create_task(to_thread.run_sync(self._load, needed, self._committed()))
            if not self.playing and len(needed) == 1:
                alone = await self._one_step(needed[0])
                if alone is not None:
                    return alone
            await self.loading
            recordings = [self.recordings.held(self.folder, column["name"], self._committed()) for column in needed]
        recording = recordings[0]
        if recording is None or not len(recording.steps):
            return None
        self.span = recording.span
        if self.playing:
            self.position += passed_s * self.rate
            if self.position >= recording.steps[-1]:
                self.position, self.playing = float(recording.steps[-1]), False
        wanted = int(self.position)
        if self.playing and self.every > 1:
            wanted -= wanted % self.every
        row = recording.row(wanted)
        places = b"".join(cells(r.codes[row], r.span).tobytes() for r in recordings[1:] if r is not None and r.span)
        return int(recording.steps[row]), int(recording.steps[row]), recording.codes[row].tobytes() + places

    def _load(self, columns: list[dict[str, Any]], committed: int) -> None:
        for column in columns:
            self.recordings.get(self.folder, column, self.layout.ids, committed)

    async def _one_step(self, column: dict[str, Any]) -> tuple[int, int, bytes] | None:
        """Return one step at rest, read by itself while the whole recording is still on its way."""
        step = min(int(self.position), int(self.info.step))
        if self.shown and self.shown[0] == step and self.shown[2] == self.column:
            return step, step, b""
        codes = await to_thread.run_sync(read_frame, self.folder, column, self.layout.ids, step)
        return None if codes is None else (step, step, codes.tobytes())

    def _range(self) -> dict[str, float] | None:
        """Return what the ends of the colour scale stand for, None for categories."""
        column = self.columns.get(self.column)
        if column is None or column["labels"]:
            return None
        span = column["shown"] if self.follow or self.span is None else self.span
        return {"low": span[0], "high": span[1]} if span else None

    def _committed(self) -> int:
        """Return the step that keys the recording; while a run goes on it is read again only every fiftieth step."""
        return self.info.step if self.info.status in ENDED else self.info.step - self.info.step % 50

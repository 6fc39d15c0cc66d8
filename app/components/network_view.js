// The picture of a run. Ties are drawn once per view, agents once per frame, the ring of the chosen agent on top.
// Every text from outside goes through textContent; nothing here builds HTML from data.

const VIEWS = new WeakMap();
const RATES = [1, 2, 5, 10, 20, 50];
const EVERIES = [1, 2, 5, 10, 50];
const HEAD = 12;

export default function (component) {
  const { data, parentElement, setTriggerValue } = component;
  let view = VIEWS.get(parentElement);
  if (view && view.run !== data.run) {
    view.close();
    view = null;
  }
  if (!view) {
    view = new View(parentElement, data);
    VIEWS.set(parentElement, view);
  }
  view.configure(data, setTriggerValue);
  return () => {
    view.close();
    VIEWS.delete(parentElement);
  };
}

class View {
  constructor(root, data) {
    this.root = root;
    this.run = data.run;
    this.find = (name) => root.querySelector(name);
    this.stage = this.find(".stage");
    this.layers = ["ties", "nodes", "mark"].map((name) => this.find("canvas." + name));
    this.scale = 1;
    this.move = [0, 0];
    this.frame = null;
    this.frames = 0;
    this.column = data.column;
    this.told = { step: 0, steps: 0, status: "", follow: true, playing: false };
    this.born = performance.now();
    this.closed = false;
    this.aborter = new AbortController();
    this.wireBar();
    this.wireStage();
    this.watcher = new ResizeObserver(() => this.resize());
    this.watcher.observe(this.stage);
    this.load();
  }

  // -- set-up ---------------------------------------------------------------------------------------------------------
  configure(data, setTriggerValue) {
    this.data = data;
    this.pick = (agent) => setTriggerValue("picked", { agent, step: this.step() });
    this.keep = () => setTriggerValue("kept", { step: this.step() });
    if (data.goto && data.goto.token !== this.gone) {
      this.gone = data.goto.token;
      this.goTo(data.goto.step);
    }
    if (this.plane === undefined) this.plane = data.grid ? "grid" : "network";
    this.find(".as").style.display = data.grid ? "" : "none";
    this.find(".plane").value = this.plane;
    this.showMarks();
    this.stage.style.height = data.height + "px";
    const style = getComputedStyle(this.root.host ?? this.root);
    this.find(".view").style.colorScheme = isDark(style.getPropertyValue("--st-background-color")) ? "dark" : "light";
    this.ink = style.getPropertyValue("--st-text-color").trim() || "#444";
    const select = this.find(".column");
    const names = data.columns.map((column) => column.name);
    if ([...select.options].map((option) => option.value).join() !== names.join()) fill(select, names, names);
    if (!names.includes(this.column)) this.column = data.column;
    select.value = this.column;
    if (!this.find(".rate").options.length) {
      fill(this.find(".rate"), RATES, RATES.map((rate) => rate + " / s"));
      this.find(".rate").value = String(data.rate);
      fill(this.find(".every"), EVERIES, EVERIES.map((k) => (k === 1 ? "step" : k + " steps")));
    }
    this.find(".note").textContent = data.note || "";
    this.legend();
    this.palette();
    this.resize();
  }

  async load(attempt = 0) {
    if (this.closed) return;
    try {
      const answer = await fetch("/microcosm/layout/" + encodeURIComponent(this.run), { signal: this.aborter.signal });
      if (!answer.ok) throw new Error("no layout yet");
      this.read(await answer.arrayBuffer());
    } catch (error) {
      if (this.closed || error.name === "AbortError") return;
      this.find(".note").textContent = "The picture appears as soon as the agents have their places.";
      setTimeout(() => this.load(attempt + 1), Math.min(300 + 200 * attempt, 2000));
      return;
    }
    this.find(".note").textContent = this.data.note || "";
    this.resize();
    this.connect(0);
  }

  read(buffer) {
    const [n, m] = new Uint32Array(buffer, 0, 2);
    let at = 8;
    const take = (Kind, count) => {
      const part = new Kind(buffer, at, count);
      at += 4 * count;
      return part;
    };
    this.x = take(Float32Array, n);
    this.y = take(Float32Array, n);
    this.ids = take(Uint32Array, n);
    this.ties = take(Uint32Array, 2 * m);
    this.n = n;
    this.home = [this.x, this.y];
  }

  connect(attempt) {
    if (this.closed) return;
    const query = new URLSearchParams({ column: this.column, autoplay: attempt === 0 ? "1" : "0" });
    const socket = new WebSocket(`ws://${location.host}/microcosm/live/${encodeURIComponent(this.run)}?${query}`);
    socket.binaryType = "arraybuffer";
    socket.onmessage = (event) => this.receive(event.data);
    socket.onopen = () => {
      this.opened = true;
      this.say({ rate: Number(this.find(".rate").value), every: Number(this.find(".every").value) });
      this.find(".note").textContent = this.data.note || "";
      if (this.wanted !== undefined) this.say({ seek: this.wanted });
      this.wanted = undefined;
    };
    socket.onclose = () => {
      if (this.closed || socket !== this.socket) return;
      this.find(".note").textContent = "The connection to the studio is interrupted; trying again.";
      setTimeout(() => this.connect(attempt + 1), Math.min(500 * (attempt + 1), 4000));
    };
    this.socket = socket;
  }

  close() {
    this.closed = true;
    this.aborter.abort();
    this.watcher.disconnect();
    if (this.socket) this.socket.close();
  }

  // -- the two directions of the socket -------------------------------------------------------------------------------
  say(wish) {
    if (this.socket && this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(wish));
  }

  receive(message) {
    if (typeof message === "string") {
      this.told = JSON.parse(message);
      this.showTransport();
      this.legend();
      return;
    }
    this.say({ ack: 1 });
    this.frame = message;
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      if (this.closed) return;
      this.settle();
      this.drawNodes();
      this.frames += 1;
      this.stage.dataset.frames = this.frames;
      this.stage.dataset.step = this.step();
      if (this.frames === 1) this.stage.dataset.firstPaintMs = Math.round(performance.now() - this.born);
      this.showTransport();
    });
  }

  // On a grid the cells come with each frame: agents move, and each is a square as wide as a cell.
  settle() {
    const n = this.n;
    const has = this.frame && this.frame.byteLength >= HEAD + 5 * n && (new DataView(this.frame).getUint32(8, true) & 2) > 0;
    const grid = has && this.plane === "grid";
    if (!grid) {
      if (this.onGrid) {
        this.onGrid = false;
        [this.x, this.y] = this.home;
        this.redraw();
      }
      return;
    }
    const view = new DataView(this.frame, HEAD + n);
    const [x, y] = [new Float32Array(n), new Float32Array(n)];
    let most = this.most || 1;
    for (let i = 0; i < n; i++) {
      x[i] = view.getInt16(2 * i, true);
      y[i] = view.getInt16(2 * (n + i), true);
      most = Math.max(most, x[i] + 1, y[i] + 1);
    }
    for (let i = 0; i < n; i++) {
      x[i] = (2 * x[i] + 1) / most - 1;
      y[i] = 1 - (2 * y[i] + 1) / most;
    }
    const fresh = !this.onGrid || most !== this.most;
    [this.x, this.y, this.most, this.onGrid, this.at] = [x, y, most, true, null];
    if (fresh) this.redraw();
    else if (this.data.selected !== null) this.drawMark();
  }

  goTo(step) {
    if (this.socket && this.socket.readyState === WebSocket.OPEN) this.say({ seek: step });
    else this.wanted = step;
  }

  showMarks() {
    const box = this.find(".marks");
    const most = Number(this.find(".seek").max) || 1;
    const key = most + JSON.stringify(this.data.marks || []);
    if (key === this.marked) return;
    this.marked = key;
    box.replaceChildren(
      ...(this.data.marks || [])
        .filter((mark) => mark.step <= most)
        .map((mark) => {
          const button = document.createElement("button");
          button.type = "button";
          button.className = mark.kind;
          button.style.left = `${(100 * mark.step) / most}%`;
          button.title = `${this.data.unit} ${mark.step}: ${mark.text}`;
          button.setAttribute("aria-label", button.title);
          button.onclick = () => this.goTo(mark.step);
          return button;
        }),
    );
  }

  step() {
    return this.frame ? new DataView(this.frame).getInt32(0, true) : this.told.step;
  }

  // -- transport ------------------------------------------------------------------------------------------------------
  showTransport() {
    const { step, steps, status, follow, playing } = this.told;
    const shown = this.step();
    const seek = this.find(".seek");
    const ended = ["done", "cancelled", "failed", "interrupted"].includes(status);
    seek.max = String(Math.max(1, ended ? step : Math.max(step, shown)));
    if (!this.seeking) seek.value = String(shown);
    this.showMarks();
    this.find(".where").textContent = `${this.data.unit} ${shown} of ${ended ? step : steps}`;
    const play = this.find(".play");
    play.classList.toggle("moving", playing);
    play.setAttribute("aria-label", playing ? "Pause the picture" : "Play the recorded steps");
    play.title = play.getAttribute("aria-label");
    const button = this.find(".follow");
    button.style.display = ended ? "none" : "";
    button.classList.toggle("on", follow);
  }

  wireBar() {
    const seek = this.find(".seek");
    this.find(".play").onclick = () => this.say({ play: !this.told.playing });
    this.find(".keep").onclick = () => this.keep();
    this.find(".plane").onchange = (event) => {
      this.plane = event.target.value;
      this.settle();
      this.redraw();
    };
    this.find(".follow").onclick = () => this.say({ follow: true });
    seek.oninput = () => {
      this.seeking = true;
      this.say({ seek: Number(seek.value) });
    };
    seek.onchange = () => {
      this.seeking = false;
    };
    this.find(".rate").onchange = (event) => this.say({ rate: Number(event.target.value) });
    this.find(".every").onchange = (event) => this.say({ every: Number(event.target.value) });
    this.find(".column").onchange = (event) => {
      this.column = event.target.value;
      this.legend();
      this.palette();
      this.say({ column: this.column });
    };
  }

  // -- pan, zoom and choosing -----------------------------------------------------------------------------------------
  wireStage() {
    const stage = this.stage;
    let held = null;
    stage.onwheel = (event) => {
      event.preventDefault();
      const box = stage.getBoundingClientRect();
      this.zoom(Math.exp(-event.deltaY * 0.0015), event.clientX - box.left, event.clientY - box.top);
    };
    stage.onpointerdown = (event) => {
      if (event.target.closest(".zoom")) return;
      held = { x: event.clientX, y: event.clientY, far: 0 };
      stage.setPointerCapture(event.pointerId);
      stage.classList.add("dragging");
    };
    stage.onpointermove = (event) => {
      if (!held) return;
      const [dx, dy] = [event.clientX - held.x, event.clientY - held.y];
      held = { x: event.clientX, y: event.clientY, far: held.far + Math.abs(dx) + Math.abs(dy) };
      if (held.far > 4) this.shift(dx, dy);
    };
    stage.onpointerup = (event) => {
      stage.classList.remove("dragging");
      if (held && held.far <= 4) this.choose(event);
      held = null;
    };
    stage.onkeydown = (event) => {
      const step = 40;
      const acts = {
        ArrowLeft: () => this.shift(step, 0),
        ArrowRight: () => this.shift(-step, 0),
        ArrowUp: () => this.shift(0, step),
        ArrowDown: () => this.shift(0, -step),
        "+": () => this.zoom(1.25),
        "=": () => this.zoom(1.25),
        "-": () => this.zoom(0.8),
        0: () => this.fit(),
      };
      if (!acts[event.key]) return;
      event.preventDefault();
      acts[event.key]();
    };
    const acts = { in: () => this.zoom(1.4), out: () => this.zoom(1 / 1.4), fit: () => this.fit() };
    for (const button of this.root.querySelectorAll(".zoom button")) button.onclick = acts[button.dataset.act];
  }

  shift(dx, dy) {
    this.move = [this.move[0] + dx, this.move[1] + dy];
    this.redraw();
  }

  zoom(by, x = this.width / 2, y = this.height / 2) {
    const scale = Math.min(Math.max(this.scale * by, 0.4), 60);
    const real = scale / this.scale;
    this.move = [x - (x - this.move[0]) * real, y - (y - this.move[1]) * real];
    this.scale = scale;
    this.redraw();
  }

  fit() {
    this.scale = 1;
    this.move = [0, 0];
    this.redraw();
  }

  choose(event) {
    if (!this.n) return;
    const box = this.stage.getBoundingClientRect();
    const [px, py] = [event.clientX - box.left, event.clientY - box.top];
    let best = -1;
    let least = Math.max(14, this.radius() + 6) ** 2;
    for (let i = 0; i < this.n; i++) {
      const far = (this.px(i) - px) ** 2 + (this.py(i) - py) ** 2;
      if (far < least) {
        least = far;
        best = i;
      }
    }
    if (best >= 0) this.pick(this.ids[best]);
  }

  // -- drawing --------------------------------------------------------------------------------------------------------
  resize() {
    const [width, height] = [this.stage.clientWidth, this.stage.clientHeight];
    if (!width || !height) return;
    const dense = Math.min(window.devicePixelRatio || 1, 2);
    if (this.width !== width || this.height !== height) {
      this.width = width;
      this.height = height;
      for (const layer of this.layers) {
        layer.width = Math.round(width * dense);
        layer.height = Math.round(height * dense);
        layer.getContext("2d").setTransform(dense, 0, 0, dense, 0, 0);
      }
    }
    this.redraw();
  }

  px(i) {
    return (this.x[i] * this.span() + this.width / 2) * this.scale + this.move[0];
  }

  py(i) {
    return (this.height / 2 - this.y[i] * this.span()) * this.scale + this.move[1];
  }

  span() {
    return Math.min(this.width, this.height) / 2 - 14;
  }

  radius() {
    if (this.onGrid) return Math.max((this.span() / this.most) * this.scale, 1);
    const room = (this.span() * 2) / Math.sqrt(Math.max(this.n, 1));
    return Math.min(Math.max(room * 0.22, 1.1), 11) * Math.min(Math.max(Math.sqrt(this.scale), 0.8), 4);
  }

  redraw() {
    if (!this.n || !this.width) return;
    if (this.due) return;
    this.due = true;
    requestAnimationFrame(() => {
      this.due = false;
      if (this.closed) return;
      this.at = null;
      this.drawNodes();
      this.drawMark();
      clearTimeout(this.later);
      if (this.ties.length < 8000) this.drawTies();
      else {
        this.layers[0].getContext("2d").clearRect(0, 0, this.width, this.height);
        this.later = setTimeout(() => !this.closed && this.drawTies(), 90);
      }
    });
  }

  drawTies() {
    const pen = this.layers[0].getContext("2d");
    pen.clearRect(0, 0, this.width, this.height);
    const count = this.ties.length / 2;
    if (!count || this.onGrid) return;
    pen.strokeStyle = this.ink;
    pen.globalAlpha = Math.min(0.3, Math.max(0.045, 60 / Math.sqrt(count) / 14));
    pen.lineWidth = count > 5000 ? 0.6 : 1;
    const block = 4000;
    for (let start = 0; start < count; start += block) {
      pen.beginPath();
      for (let i = start; i < Math.min(start + block, count); i++) {
        const [a, b] = [this.ties[2 * i], this.ties[2 * i + 1]];
        pen.moveTo(this.px(a), this.py(a));
        pen.lineTo(this.px(b), this.py(b));
      }
      pen.stroke();
    }
    pen.globalAlpha = 1;
  }

  // Agents are painted as pixels: one disc of coverages, stamped once per agent in the colour of its code. A path per
  // colour costs ten times as much where no graphics card helps.
  place() {
    const [w, h] = [this.layers[1].width, this.layers[1].height];
    const dense = w / this.width;
    const r = this.radius() * dense;
    const reach = Math.ceil(r);
    this.offsets = [];
    this.covers = [];
    for (let y = -reach; y <= reach; y++) {
      for (let x = -reach; x <= reach; x++) {
        const far = this.onGrid ? Math.max(Math.abs(x), Math.abs(y)) + 0.5 : Math.hypot(x, y);
        const cover = Math.min(Math.max(r + 0.5 - far, 0), 1);
        if (cover <= 0.02) continue;
        this.offsets.push(y * w + x);
        this.covers.push(Math.round(cover * 255));
      }
    }
    this.at = new Int32Array(this.n);
    for (let i = 0; i < this.n; i++) {
      const x = Math.round(this.px(i) * dense);
      const y = Math.round(this.py(i) * dense);
      const inside = x > reach && y > reach && x < w - reach - 1 && y < h - reach - 1;
      this.at[i] = inside ? y * w + x : -1;
    }
  }

  drawNodes() {
    if (!this.n || !this.width || !this.tints) return;
    const pen = this.layers[1].getContext("2d");
    const [w, h] = [this.layers[1].width, this.layers[1].height];
    if (!this.image || this.image.width !== w || this.image.height !== h) {
      this.image = pen.createImageData(w, h);
      this.pixels = new Uint32Array(this.image.data.buffer);
      this.at = null;
    }
    if (!this.at) this.place();
    const codes = this.frame ? new Uint8Array(this.frame, HEAD) : new Uint8Array(this.n);
    const { pixels, at, offsets, covers, tints } = this;
    const size = offsets.length;
    pixels.fill(0);
    for (let i = 0; i < this.n; i++) {
      if (at[i] < 0) continue;
      const tint = tints[codes[i]];
      for (let k = 0; k < size; k++) {
        const pixel = at[i] + offsets[k];
        if (pixels[pixel] >>> 24 < covers[k]) pixels[pixel] = tint | (covers[k] << 24);
      }
    }
    pen.putImageData(this.image, 0, 0);
  }

  drawMark() {
    const pen = this.layers[2].getContext("2d");
    pen.clearRect(0, 0, this.width, this.height);
    const chosen = this.data.selected === null ? -1 : this.ids.indexOf(this.data.selected);
    this.layers[2].style.display = chosen < 0 ? "none" : "";
    if (chosen < 0) return;
    pen.strokeStyle = this.ink;
    pen.lineWidth = 1.2;
    pen.globalAlpha = 0.8;
    pen.beginPath();
    for (let i = 0; i < this.ties.length && !this.onGrid; i += 2) {
      if (this.ties[i] !== chosen && this.ties[i + 1] !== chosen) continue;
      pen.moveTo(this.px(this.ties[i]), this.py(this.ties[i]));
      pen.lineTo(this.px(this.ties[i + 1]), this.py(this.ties[i + 1]));
    }
    pen.stroke();
    pen.globalAlpha = 1;
    pen.lineWidth = 2.5;
    pen.beginPath();
    pen.arc(this.px(chosen), this.py(chosen), this.radius() + 5, 0, 6.2832);
    pen.stroke();
  }

  // -- colours --------------------------------------------------------------------------------------------------------
  meaning() {
    return this.data.columns.find((column) => column.name === this.column) || { name: "", labels: [] };
  }

  palette() {
    const { labels } = this.meaning();
    const colour = labels.length
      ? (code) => rgb(this.data.palette[Math.min(code, labels.length - 1) % this.data.palette.length])
      : (code) => blend(this.data.ramp, code / 255);
    this.tints = Uint32Array.from({ length: 256 }, (_, code) => {
      const [red, green, blue] = colour(code);
      return red | (green << 8) | (blue << 16);
    });
    if (this.n) this.redraw();
  }

  legend() {
    const box = this.find(".legend");
    box.replaceChildren();
    const { labels, low, high } = { ...this.meaning(), ...(this.told.range || {}) };
    if (!labels.length) {
      const bar = document.createElement("i");
      bar.className = "ramp";
      bar.style.background = `linear-gradient(90deg, ${[0, 0.25, 0.5, 0.75, 1].map((t) => mix(this.data.ramp, t)).join()})`;
      box.append(word(low ?? "low"), bar, word(high ?? "high"));
      return;
    }
    labels.forEach((label, i) => {
      const dot = document.createElement("i");
      dot.style.background = this.data.palette[i % this.data.palette.length];
      const entry = word("");
      entry.append(dot, word(label));
      box.append(entry);
    });
  }
}

function word(text) {
  const span = document.createElement("span");
  span.textContent = typeof text === "number" ? String(Math.round(text * 1000) / 1000) : String(text);
  return span;
}

function fill(select, values, texts) {
  select.replaceChildren(
    ...values.map((value, i) => {
      const option = document.createElement("option");
      option.value = String(value);
      option.textContent = String(texts[i]);
      return option;
    }),
  );
}

function isDark(colour) {
  const found = /^#[0-9a-f]{6}$/i.test(colour.trim()) ? rgb(colour.trim()) : [255, 255, 255];
  return found[0] + found[1] + found[2] < 384;
}

function rgb(hexadecimal) {
  return [1, 3, 5].map((start) => parseInt(hexadecimal.slice(start, start + 2), 16));
}

function blend(ramp, t) {
  const at = Math.min(t, 0.9999) * (ramp.length - 1);
  const [a, b] = [ramp[Math.floor(at)], ramp[Math.floor(at) + 1]];
  const part = at - Math.floor(at);
  return a.map((value, i) => Math.round(value + (b[i] - value) * part));
}

function mix(ramp, t) {
  return `rgb(${blend(ramp, t).join()})`;
}

// A network that is edited by hand: choose agents by click or lasso, drag them, move and zoom the picture.
// Every text from outside goes through textContent; nothing here builds HTML from data.

const VIEWS = new WeakMap();
const NEAR = 9;

export default function (component) {
  const { data, parentElement, setTriggerValue } = component;
  let view = VIEWS.get(parentElement);
  if (!view) {
    view = new Canvas(parentElement);
    VIEWS.set(parentElement, view);
  }
  view.configure(data, setTriggerValue);
  return () => {
    view.close();
    VIEWS.delete(parentElement);
  };
}

class Canvas {
  constructor(root) {
    this.root = root;
    this.find = (name) => root.querySelector(name);
    this.stage = this.find(".stage");
    this.canvas = this.find("canvas");
    this.scale = 1;
    this.move = [0, 0];
    this.chosen = new Set();
    this.drawing = false;
    this.line = [];
    this.aborter = new AbortController();
    this.wire();
    this.watcher = new ResizeObserver(() => this.paint());
    this.watcher.observe(this.stage);
  }

  configure(data, setTriggerValue) {
    this.send = () => setTriggerValue("chosen", { ids: [...this.chosen].map((k) => this.ids[k]) });
    if (data.token !== this.token) {
      this.token = data.token;
      this.ids = data.ids;
      this.place = data.xy.map((point) => [point[0], point[1]]);
    }
    const foes = new Set(data.foes);
    this.ties = data.ties.filter((_, k) => !foes.has(k));
    this.foes = data.foes.map((k) => data.ties[k]);
    this.colours = data.colours;
    this.sizes = data.sizes;
    const wanted = new Set(data.selected);
    this.chosen = new Set(this.ids.map((id, k) => (wanted.has(id) ? k : -1)).filter((k) => k >= 0));
    this.stage.style.height = data.height + "px";
    this.stage.setAttribute("aria-label", data.alt);
    const style = getComputedStyle(this.root.host ?? this.root);
    this.ink = style.getPropertyValue("--st-text-color").trim() || "#444";
    this.accent = style.getPropertyValue("--st-orange-color").trim() || "#D55E00";
    const legend = this.find(".legend");
    legend.replaceChildren(
      ...data.legend.map(([words, colour]) => {
        const item = document.createElement("span");
        const dot = document.createElement("i");
        dot.style.background = colour;
        item.append(dot, document.createTextNode(words));
        return item;
      }),
    );
    this.paint();
  }

  close() {
    this.aborter.abort();
    this.watcher.disconnect();
  }

  // -- places on the screen ---------------------------------------------------------------------------------------------
  frame() {
    const wide = this.stage.clientWidth, high = this.stage.clientHeight;
    return [wide / 2 + this.move[0], high / 2 + this.move[1], (Math.min(wide, high) / 2 - 16) * this.scale];
  }

  shown(k) {
    const [x, y, size] = this.frame();
    return [x + this.place[k][0] * size, y - this.place[k][1] * size];
  }

  nearest(at) {
    let best = -1, least = NEAR * NEAR;
    for (let k = 0; k < this.place.length; k++) {
      const [x, y] = this.shown(k);
      const far = (x - at[0]) ** 2 + (y - at[1]) ** 2;
      if (far < least) [best, least] = [k, far];
    }
    return best;
  }

  // -- hands --------------------------------------------------------------------------------------------------------------
  wire() {
    const on = (target, kind, act) =>
      target.addEventListener(kind, act, { signal: this.aborter.signal, passive: kind !== "wheel" });
    const mode = (drawing) => {
      this.drawing = drawing;
      this.find(".choose").classList.toggle("on", !drawing);
      this.find(".lasso").classList.toggle("on", drawing);
      this.stage.classList.toggle("drawing", drawing);
    };
    on(this.find(".choose"), "click", () => mode(false));
    on(this.find(".lasso"), "click", () => mode(true));
    on(this.find(".clear"), "click", () => this.choose(new Set()));
    on(this.find(".fit"), "click", () => {
      this.scale = 1;
      this.move = [0, 0];
      this.paint();
    });
    on(this.stage, "pointerdown", (event) => this.press(event));
    on(this.stage, "pointermove", (event) => this.drag(event));
    on(this.stage, "pointerup", (event) => this.release(event));
    on(this.stage, "wheel", (event) => {
      event.preventDefault();
      this.scale = Math.min(40, Math.max(0.3, this.scale * Math.exp(-event.deltaY / 600)));
      this.paint();
    });
  }

  at(event) {
    const box = this.stage.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  press(event) {
    this.stage.setPointerCapture(event.pointerId);
    this.start = this.last = this.at(event);
    this.moved = false;
    this.held = this.drawing ? -1 : this.nearest(this.start);
    this.line = this.drawing ? [this.start] : [];
  }

  drag(event) {
    if (!this.start) return;
    const at = this.at(event);
    if (Math.hypot(at[0] - this.start[0], at[1] - this.start[1]) > 4) this.moved = true;
    if (!this.moved) return;
    const step = [at[0] - this.last[0], at[1] - this.last[1]];
    this.last = at;
    if (this.drawing) this.line.push(at);
    else if (this.held >= 0) {
      const size = this.frame()[2];
      this.place[this.held][0] += step[0] / size;
      this.place[this.held][1] -= step[1] / size;
    } else this.move = [this.move[0] + step[0], this.move[1] + step[1]];
    this.paint();
  }

  release() {
    if (!this.start) return;
    if (this.drawing && this.line.length > 2) {
      const inside = new Set(this.chosen);
      for (let k = 0; k < this.place.length; k++) if (within(this.shown(k), this.line)) inside.add(k);
      this.line = [];
      this.choose(inside);
    } else if (!this.moved && this.held >= 0) {
      const next = new Set(this.chosen);
      if (!next.delete(this.held)) next.add(this.held);
      this.choose(next);
    }
    this.start = null;
    this.line = [];
    this.paint();
  }

  choose(next) {
    this.chosen = next;
    this.paint();
    this.send();
  }

  // -- picture ------------------------------------------------------------------------------------------------------------
  paint() {
    if (!this.place) return;
    const wide = this.stage.clientWidth, high = this.stage.clientHeight;
    const dense = Math.min(window.devicePixelRatio || 1, 2);
    this.canvas.width = wide * dense;
    this.canvas.height = high * dense;
    const pen = this.canvas.getContext("2d");
    pen.setTransform(dense, 0, 0, dense, 0, 0);
    const spots = this.place.map((_, k) => this.shown(k));
    pen.strokeStyle = this.ink;
    pen.globalAlpha = this.ties.length > 3000 ? 0.12 : 0.3;
    pen.lineWidth = 0.8;
    pen.beginPath();
    for (const [a, b] of this.ties) {
      pen.moveTo(...spots[a]);
      pen.lineTo(...spots[b]);
    }
    pen.stroke();
    if (this.foes.length) {
      pen.strokeStyle = this.accent;
      pen.globalAlpha = this.foes.length > 3000 ? 0.2 : 0.7;
      pen.setLineDash([4, 3]);
      pen.beginPath();
      for (const [a, b] of this.foes) {
        pen.moveTo(...spots[a]);
        pen.lineTo(...spots[b]);
      }
      pen.stroke();
      pen.setLineDash([]);
    }
    pen.globalAlpha = 1;
    spots.forEach(([x, y], k) => {
      pen.fillStyle = this.colours[k];
      pen.beginPath();
      pen.arc(x, y, this.sizes[k], 0, 7);
      pen.fill();
      if (this.chosen.has(k)) {
        pen.strokeStyle = this.accent;
        pen.lineWidth = 2.5;
        pen.beginPath();
        pen.arc(x, y, this.sizes[k] + 3, 0, 7);
        pen.stroke();
      }
    });
    if (this.line.length) {
      pen.strokeStyle = this.accent;
      pen.lineWidth = 1.5;
      pen.setLineDash([5, 4]);
      pen.beginPath();
      this.line.forEach((point, k) => (k ? pen.lineTo(...point) : pen.moveTo(...point)));
      pen.closePath();
      pen.stroke();
      pen.setLineDash([]);
    }
    this.find(".told").textContent = this.chosen.size ? this.chosen.size + " chosen" : "";
  }
}

function within([x, y], line) {
  let inside = false;
  for (let i = 0, j = line.length - 1; i < line.length; j = i++) {
    const [a, b] = line[i], [c, d] = line[j];
    if (b > y !== d > y && x < ((c - a) * (y - b)) / (d - b) + a) inside = !inside;
  }
  return inside;
}

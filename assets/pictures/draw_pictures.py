"""Draw the pictures of the templates as SVG files beside this file: `python assets/pictures/draw_pictures.py`.

Each picture shows what the scenario does, computed here with a few lines of the same rule; all colours hold on the
light and on the dark page.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

WIDTH, HEIGHT = 320, 168
BLUE, RED, GREEN, GOLD, VIOLET, SKY, GREY = "#2B79A8", "#D55E00", "#009E73", "#C98A00", "#8E62A8", "#46A5DC", "#8A979C"


def circle(x: float, y: float, r: float, fill: str, opacity: float = 1.0) -> str:
    """Return a disc."""
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r:.1f}" fill="{fill}" fill-opacity="{opacity:g}"/>'


def path(d: str, stroke: str, width: float = 1.5, opacity: float = 1.0, fill: str = "none") -> str:
    """Return a drawn path."""
    return f'<path d="{d}" fill="{fill}" stroke="{stroke}" stroke-width="{width:g}" stroke-opacity="{opacity:g}"/>'


def through(points: np.ndarray) -> str:
    """Return the path through points of shape (n, 2)."""
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def epidemic() -> list[str]:
    """An infection that runs through people who meet their neighbours."""
    rng = np.random.default_rng(4)
    places = np.stack([rng.uniform(14, 306, 230), rng.uniform(14, 154, 230)], axis=1)
    for _ in range(40):
        gap = places[:, None] - places[None]
        far = np.maximum(np.hypot(gap[..., 0], gap[..., 1]), 1e-6)
        push = np.where(far < 17, (17 - far) / far, 0)
        places = np.clip(places + 0.2 * (push[..., None] * gap).sum(axis=1), [12, 12], [308, 156])
    far = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1))
    ties = np.argwhere(np.triu(far < 27, 1))
    state = np.zeros(len(places), int)
    state[np.argmin(places[:, 0] + abs(places[:, 1] - 84))] = 1
    for _ in range(13):
        risky = ((far < 27) & (state == 1)[None]).sum(axis=1)
        caught = (state == 0) & (rng.random(len(state)) < 1 - 0.72**risky)
        healed = (state == 1) & (rng.random(len(state)) < 0.16)
        state[caught], state[healed] = 1, 2
    lines = [path("".join(through(places[[a, b]]) for a, b in ties), GREY, 0.8, 0.5)]
    return lines + [circle(x, y, 4.4, (BLUE, RED, GREEN)[s]) for (x, y), s in zip(places, state, strict=True)]


def city() -> list[str]:
    """Rows of houses with infected people, and below them the wave with and without people who stay at home."""
    rng = np.random.default_rng(7)
    lines = []
    for row in range(3):
        for column in range(13):
            x, y = 16 + 22.5 * column, 16 + 24 * row
            lines.append(path(f"M{x:.1f} {y + 16:.1f}v-10l8 -7l8 7v10z", GREY, 1.1, 0.75))
            for k in range(2):
                sick = rng.random() < 0.55 * math.exp(-((column - 4.5) ** 2 + 6 * (row - 1) ** 2) / 14)
                lines.append(circle(x + 5 + 6 * k, y + 11.5, 2.1, RED if sick else BLUE))
    for rate, colour, relief in ((0.42, GREY, 0.0), (0.42, RED, 5.0)):
        s, e, i, curve = 0.996, 0.002, 0.002, []
        for _ in range(100):
            curve.append(i)
            new = rate * s * i / (1 + relief * i * 4)
            s, e, i = s - new, e + new - 0.25 * e, i + 0.25 * e - i / 6
        points = np.stack([np.linspace(14, 306, 100), 158 - 300 * np.array(curve)], axis=1)
        lines.append(path(through(points), colour, 2.0, 0.9))
    return lines


def opinions() -> list[str]:
    """Opinions of people who listen only to those who are close: two camps form."""
    rng = np.random.default_rng(11)
    opinion = rng.random(90)
    steps = [opinion.copy()]
    for _ in range(26):
        for _ in range(45):
            a, b = rng.choice(90, 2, replace=False)
            if abs(opinion[a] - opinion[b]) <= 0.24:
                middle = (opinion[a] + opinion[b]) / 2
                opinion[a] += 0.5 * (middle - opinion[a])
                opinion[b] += 0.5 * (middle - opinion[b])
        steps.append(opinion.copy())
    track = np.array(steps)
    x = np.linspace(12, 308, len(track))
    order = np.argsort(track[-1])
    shades = {True: BLUE, False: RED}
    return [
        path(through(np.stack([x, 156 - 144 * track[:, i]], axis=1)), shades[bool(track[-1, i] < 0.5)], 1.2, 0.55)
        for i in order
    ]


def fish(x: float, y: float, size: float, fill: str, left: bool = False) -> str:
    """Return a fish of a given length."""
    turn = -1 if left else 1
    body = (
        f"M{x - turn * size:.1f} {y:.1f}q{turn * size:.1f} {-size * 0.75:.1f} {turn * size * 2:.1f} 0"
        f"q{-turn * size:.1f} {size * 0.75:.1f} {-turn * size * 2:.1f} 0z"
    )
    tail = f"M{x - turn * size * 0.8:.1f} {y:.1f}l{-turn * size * 0.7:.1f} {-size * 0.45:.1f}v{size * 0.9:.1f}z"
    return f'<path d="{body}" fill="{fill}"/><path d="{tail}" fill="{fill}"/>'


def waves(y: float, colour: str, opacity: float) -> str:
    """Return one line of water."""
    x = np.linspace(0, WIDTH, 81)
    return path(through(np.stack([x, y + 2.2 * np.sin(x / 13 + y)], axis=1)), colour, 1.4, opacity)


def five_people(y: float) -> list[str]:
    """Return five heads in a row."""
    out = []
    for index, colour in enumerate((BLUE, GOLD, VIOLET, RED, GREEN)):
        x = 52 + index * 54
        out += [circle(x, y, 7, colour), path(f"M{x - 11} {y + 21}a11 11 0 0 1 22 0", colour, 3)]
    return out


def lake() -> list[str]:
    """Five people and the fish they share."""
    rng = np.random.default_rng(3)
    out = [f'<rect x="0" y="58" width="{WIDTH}" height="{HEIGHT - 58}" fill="{SKY}" fill-opacity=".16"/>']
    out += five_people(22)
    out += [path(f"M{52 + i * 54} 44v{34 + 9 * (i % 3)}", GREY, 1) for i in range(5)]
    out += [waves(y, BLUE, 0.45) for y in (60, 66)]
    for row, y in enumerate((98, 122, 146)):
        for x in range(34 + 26 * (row % 2), 310, 56):
            out.append(
                fish(x + rng.uniform(-9, 9), y + rng.uniform(-5, 5), rng.uniform(6, 10), BLUE, bool(rng.random() < 0.5))
            )
    return out


def meadow() -> list[str]:
    """Five people and the grass that their flocks share."""
    rng = np.random.default_rng(5)
    hill = "M0 92C60 58 120 66 170 80S270 96 320 68V168H0z"
    out = [f'<path d="{hill}" fill="{GREEN}" fill-opacity=".20"/>', *five_people(18)]
    for _ in range(120):
        x, y = rng.uniform(4, 316), rng.uniform(104, 164)
        out.append(path(f"M{x:.1f} {y:.1f}q-1 -5 -3 -7m3 7q1 -5 3 -7", GREEN, 1, 0.6))
    for x, y in [(46, 112), (92, 128), (140, 108), (178, 136), (222, 116), (268, 130), (120, 148), (236, 150)]:
        out += [circle(x, y, 8, "#F4F4EF"), circle(x + 6, y + 1, 7, "#F4F4EF"), circle(x - 6, y + 1, 6.5, "#F4F4EF")]
        out += [circle(x + 13, y - 1, 3.6, "#4A5459"), path(f"M{x - 5} {y + 8}v5M{x + 6} {y + 8}v5", "#4A5459", 1.6)]
        out += [path(f"M{x - 13} {y + 1}a13 9 0 0 1 26 0", GREY, 0.8, 0.7)]
    return out


def river() -> list[str]:
    """Five workshops on a river that clears by itself, unless all of them foul it."""
    out = []
    for index in range(12):
        y = 84 + index * 7
        out.append(waves(y, (SKY, BLUE)[index % 2], 0.55))
    for index, colour in enumerate((BLUE, GOLD, VIOLET, RED, GREEN)):
        x = 24 + index * 60
        out.append(f'<path d="M{x} 72V46l12 8v-8l12 8v-8l12 8v18z" fill="{colour}" fill-opacity=".85"/>')
        out += [circle(x + 6 + j * 3, 34 - 9 * j, 4 + j, GREY, 0.5 - 0.12 * j) for j in range(3)]
        out += [circle(x + 16 + 9 * j, 90 + 15 * j, 5 - j * 0.8, GOLD, 0.6) for j in range(index + 1)]
    return out


def litter() -> list[str]:
    """A heap that grows by itself and that five people take from, each at a cost."""
    rng = np.random.default_rng(9)
    out = five_people(20)
    for row in range(5):
        for place in range(11 - 2 * row):
            x, y = 72 + 18 * place + 18 * row + rng.uniform(-2, 2), 154 - 19 * row
            colour = (GREY, GOLD, VIOLET, SKY)[rng.integers(4)]
            out.append(
                f'<rect x="{x - 8:.1f}" y="{y - 8:.1f}" width="16" height="16" rx="3" fill="{colour}" '
                f'fill-opacity=".8" transform="rotate({rng.uniform(-14, 14):.0f} {x:.1f} {y:.1f})"/>'
            )
    return out


def argument() -> list[str]:
    """Two people exchange arguments; the listeners lean."""
    left = "M26 20h116a10 10 0 0 1 10 10v32a10 10 0 0 1-10 10H64l-16 16v-16H26a10 10 0 0 1-10-10V30a10 10 0 0 1 10-10z"
    right = (
        "M178 46h116a10 10 0 0 1 10 10v32a10 10 0 0 1-10 10h-22v16l-16-16h-78a10 10 0 0 1-10-10V56a10 10 0 0 1 10-10z"
    )
    out = [
        f'<path d="{left}" fill="{BLUE}" fill-opacity=".9"/>',
        f'<path d="{right}" fill="{RED}" fill-opacity=".9"/>',
    ]
    for x, y, length in [(30, 38, 100), (30, 54, 76), (182, 64, 104), (182, 80, 62)]:
        out.append(path(f"M{x} {y}h{length}", "#FFFFFF", 5, 0.75))
    for index in range(11):
        share = 1 / (1 + math.exp(-(index - 5) * 0.75))
        x = 30 + index * 26
        mixed = (BLUE, RED)[share > 0.5]
        out += [circle(x, 142, 7.5, mixed, 0.35 + 0.6 * abs(share - 0.5) * 2)]
    return out


def averaging(pull: float, seed: int) -> np.ndarray:
    """Return opinions by step, shape (steps, people): people lean to their neighbours and to where they began."""
    rng = np.random.default_rng(seed)
    start = rng.random(40)
    near = rng.random((40, 40)) < 0.05
    weights = np.maximum(near, near.T) + 5.0 * np.eye(40)
    weights = weights / weights.sum(axis=1, keepdims=True)
    steps = [start]
    for _ in range(24):
        steps.append(pull * weights @ steps[-1] + (1 - pull) * start)
    return np.array(steps)


def tracks(track: np.ndarray) -> list[str]:
    """Return one line per person, coloured by where it began."""
    x = np.linspace(12, 308, len(track))
    colours = (BLUE, SKY, GREEN, GOLD, RED)
    return [
        path(through(np.stack([x, 156 - 144 * track[:, i]], axis=1)), colours[int(track[0, i] * 4.999)], 1.3, 0.7)
        for i in np.argsort(track[0])
    ]


def repeated_averages() -> list[str]:
    """Opinions that melt into one."""
    return tracks(averaging(1.0, 7))


def stubborn_averages() -> list[str]:
    """Opinions that draw together and stop short of agreement."""
    return tracks(averaging(0.9, 7))


def cells(state: np.ndarray, colours: tuple[str, ...], size: float, gap: float) -> list[str]:
    """Return a grid of small squares coloured by state; -1 is left out."""
    rows, columns = state.shape
    left, top = (WIDTH - columns * size) / 2, (HEIGHT - rows * size) / 2
    return [
        f'<rect x="{left + c * size:.1f}" y="{top + r * size:.1f}" width="{size - gap:.1f}" height="{size - gap:.1f}" '
        f'rx="1.5" fill="{colours[state[r, c]]}"/>'
        for r in range(rows)
        for c in range(columns)
        if state[r, c] >= 0
    ]


def patches() -> list[str]:
    """Everyone copies a neighbour: patches of one opinion."""
    rng = np.random.default_rng(12)
    state = rng.integers(0, 2, (14, 28))
    for _ in range(14 * 28 * 14):
        r, c = rng.integers(14), rng.integers(28)
        dr, dc = ((0, 1), (1, 0), (0, -1), (-1, 0))[rng.integers(4)]
        state[r, c] = state[(r + dr) % 14, (c + dc) % 28]
    return cells(state, (BLUE, GOLD), 11, 1.4)


def neighbourhoods() -> list[str]:
    """Nobody asks for more than a few neighbours of their own kind, and yet two quarters form."""
    rng = np.random.default_rng(3)
    state = rng.choice([-1, 0, 1], size=(14, 28), p=[0.14, 0.43, 0.43])
    for _ in range(6000):
        r, c = rng.integers(14), rng.integers(28)
        if state[r, c] < 0:
            continue
        around = [state[(r + dr) % 14, (c + dc) % 28] for dr in (-1, 0, 1) for dc in (-1, 0, 1) if dr or dc]
        settled = [other for other in around if other >= 0]
        if settled and sum(other == state[r, c] for other in settled) / len(settled) < 0.45:
            free = np.argwhere(state < 0)
            fr, fc = free[rng.integers(len(free))]
            state[fr, fc], state[r, c] = state[r, c], -1
    return cells(state, (GREEN, VIOLET), 11, 1.4)


def cascade() -> list[str]:
    """News that runs from the middle outwards, from person to person."""
    rng = np.random.default_rng(21)
    out, dots = [], [circle(160, 84, 7, RED)]
    grown = [(160.0, 84.0, angle) for angle in np.linspace(0, 2 * np.pi, 7)[:-1]]
    for ring in range(3):
        following = []
        for x, y, angle in grown:
            for turn in (-0.42, 0.05, 0.5)[: 1 + int(rng.integers(1, 3))]:
                end = angle + turn + rng.normal(0, 0.08)
                length = (46, 32, 24)[ring]
                nx, ny = x + 1.35 * length * math.cos(end), y + 0.82 * length * math.sin(end)
                if not (12 < nx < 308 and 10 < ny < 158):
                    continue
                told = rng.random() < (0.95, 0.8, 0.55)[ring]
                out.append(path(f"M{x:.1f} {y:.1f}L{nx:.1f} {ny:.1f}", GREY, 1, 0.6))
                dots.append(circle(nx, ny, 4.6 - 0.7 * ring, RED if told else BLUE))
                if told:
                    following.append((nx, ny, end))
        grown = following
    return out + dots


def tipping() -> list[str]:
    """Many starts with a handful of adopters: nothing happens, or nearly all adopt."""
    rng = np.random.default_rng(8)
    out = []
    x = np.linspace(12, 308, 60)
    for run in range(18):
        begins, tips = rng.uniform(60, 230), run % 3 != 0
        y = 0.9 / (1 + np.exp(-(x - begins) / 11)) if tips else rng.uniform(0.01, 0.07) * (1 - np.exp(-x / 60))
        out.append(path(through(np.stack([x, 154 - 142 * y], axis=1)), RED if tips else BLUE, 1.5, 0.65))
    return out


def crowd() -> list[str]:
    """A crowd that leans towards its own majority."""
    rng = np.random.default_rng(6)
    out = []
    for row in range(6):
        for place in range(14):
            x, y = 20 + place * 21.6, 18 + row * 26
            up = rng.random() < 0.2 + 0.75 * place / 13
            colour, way = (GOLD, -1) if up else (BLUE, 1)
            out.append(
                path(f"M{x:.1f} {y - way * 8}v{way * 16}m-4.5 {-way * 5}l4.5 {way * 5}l4.5 {-way * 5}", colour, 2)
            )
    return out


def words_in_use() -> list[str]:
    """A babble of made-up words, of which one wins."""
    rng = np.random.default_rng(10)
    out = []
    for place in range(9):
        for row in range(5):
            x, y = 20 + place * 33.5, 16 + row * 31
            agreed = rng.random() < place / 7
            colour = GREEN if agreed else (BLUE, GOLD, VIOLET, RED, SKY)[rng.integers(5)]
            bubble = f"M{x} {y}h18a4 4 0 0 1 4 4v9a4 4 0 0 1-4 4h-10l-5 5v-5h-3a4 4 0 0 1-4-4v-9a4 4 0 0 1 4-4z"
            out.append(f'<path d="{bubble}" fill="{colour}" fill-opacity=".88"/>')
    return out


def general() -> list[str]:
    """Agents and ties, for a scenario without a picture of its own."""
    rng = np.random.default_rng(2)
    places = np.stack([rng.uniform(20, 300, 42), rng.uniform(20, 148, 42)], axis=1)
    far = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1))
    lines = [path(through(places[[a, b]]), GREY, 1, 0.4) for a, b in np.argwhere(np.triu(far < 52, 1))]
    colours = (BLUE, RED, GREEN, GOLD, VIOLET)
    return lines + [circle(x, y, 5 + i % 3, colours[i % 5]) for i, (x, y) in enumerate(places)]


PICTURES: dict[str, Callable[[], list[str]]] = {
    "sir": epidemic,
    "epidemic_city": city,
    "bounded_confidence": opinions,
    "fishery": lake,
    "pasture": meadow,
    "pollution": river,
    "trash": litter,
    "persuasion": argument,
    "degroot": repeated_averages,
    "friedkin_johnsen": stubborn_averages,
    "voter": patches,
    "schelling": neighbourhoods,
    "independent_cascade": cascade,
    "threshold_cascade": tipping,
    "majority_force": crowd,
    "naming_game": words_in_use,
    "scenario": general,
}


def main() -> None:
    """Write every picture."""
    for name, draw in PICTURES.items():
        words = (draw.__doc__ or "").strip().split("\n")[0]
        edge = f'<rect width="{WIDTH}" height="{HEIGHT}" rx="10"/>'
        ground = f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#7F9AA3" fill-opacity=".10"/>'
        text = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
            f'width="{WIDTH * 2}" height="{HEIGHT * 2}" role="img"><title>{words}</title>'
            f'<clipPath id="edge-{name}">{edge}</clipPath>'
            f'<g clip-path="url(#edge-{name})">{ground}{"".join(draw())}</g></svg>\n'
        )
        Path(__file__).with_name(f"{name}.svg").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

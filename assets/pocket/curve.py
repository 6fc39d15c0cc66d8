"""Draw the loss curve: `python assets/pocket/curve.py`, from loss.csv to loss.svg."""

from __future__ import annotations

import csv
from pathlib import Path

FOLDER = Path(__file__).parent
WIDTH, HEIGHT, LEFT, BOTTOM = 720, 320, 56, 44
LINES = (
    ("distance", "decisions: mean total variation distance", "#0072b2"),
    ("texts", "texts: nats per token / 10", "#d55e00"),
)


def read_record(path: Path) -> list[dict[str, float]]:
    """Return the lines of a training's record."""
    with path.open(encoding="utf-8", newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def draw_curve(record: list[dict[str, float]]) -> str:
    """Return the curve as SVG: prompts seen on the x axis, values from 0 to 1 on the y axis."""
    last = max(line["rows"] for line in record)
    across = lambda rows: LEFT + (WIDTH - LEFT - 16) * rows / last  # noqa: E731
    down = lambda value: 24 + (HEIGHT - BOTTOM - 24) * (1 - min(value, 1.0))  # noqa: E731
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        'font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
    ]
    for tick in (0.0, 0.12, 0.25, 0.5, 0.75, 1.0):
        y = down(tick)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - 16}" stroke="#dddddd"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end" fill="#444444">{tick:g}</text>')
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        x, text = across(share * last), f"{share * last:,.0f}"
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle" fill="#444444">{text}</text>')
    parts.append(f'<text x="{WIDTH / 2}" y="{HEIGHT - 6}" text-anchor="middle" fill="#444444">prompts seen</text>')
    for number, (name, words, colour) in enumerate(LINES):
        scale = 10.0 if name == "texts" else 1.0
        points = " ".join(f"{across(line['rows']):.1f},{down(line[name] / scale):.1f}" for line in record)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.6"/>')
        parts.append(f'<text x="{WIDTH - 24}" y="{44 + 18 * number}" text-anchor="end" fill="{colour}">{words}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def main() -> None:
    """Draw the shipped record."""
    (FOLDER / "loss.svg").write_text(draw_curve(read_record(FOLDER / "loss.csv")), encoding="utf-8")


if __name__ == "__main__":
    main()

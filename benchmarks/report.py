"""What docs/performance.md shows of the results: tables between its two marks, and a plot."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from typing import Any
from xml.sax.saxutils import escape

from benchmarks import growth
from benchmarks.machine import PROJECT

_PAGE = os.path.join(PROJECT, "docs", "performance.md")
_PLOT = os.path.join(PROJECT, "docs", "images", "performance.svg")
_BEGIN, _END = "<!-- measured: begin -->\n", "<!-- measured: end -->\n"
_COLOURS = {"first sync": "#b5541c", "no-op sync": "#1f6f8b", "status": "#5b8c3a"}

_WIDE, _HIGH = 860, 330
_BARS = (
    ("noop", "callsheet sync", "rclone check --checksum", "no-op, 2,451 × 320 KB"),
    ("noop-100k", "callsheet sync", "rclone check --checksum", "no-op, 100,000 × 8 KB"),
    ("md5", "callsheet.hashing", "rclone hashsum MD5", "MD5, 2,451 × 320 KB"),
    ("md5-8gb", "callsheet.hashing", "rclone hashsum MD5", "MD5, 25,000 × 320 KB"),
    ("md5-100k", "callsheet.hashing", "rclone hashsum MD5", "MD5, 100,000 × 8 KB"),
    ("push", "callsheet push, nothing recorded", "s5cmd cp", "push, 2,451 × 320 KB"),
    ("push-100k", "callsheet push, nothing recorded", "s5cmd cp", "push, 100,000 × 8 KB"),
    ("pull", "callsheet pull", "s5cmd cp", "pull, 2,451 × 320 KB"),
)


def write(results: Mapping[str, Any]) -> None:
    """Replace what is between the marks, and the plot."""
    with open(_PAGE, encoding="utf-8") as file:
        text = file.read()
    head, _, rest = text.partition(_BEGIN)
    _, _, tail = rest.partition(_END)
    with open(_PAGE, "w", encoding="utf-8") as file:
        file.write("\n".join([f"{head}{_BEGIN}", *_page(results), f"{_END}{tail}"]))
    with open(_PLOT, "w", encoding="utf-8") as file:
        file.write(plot(results))


def _page(results: Mapping[str, Any]) -> Iterator[str]:
    for name, result in results.items():
        yield f"### {result['title']}"
        yield ""
        yield f"{_when(result['machine'])} `python benchmarks/bench.py --only {name}`"
        yield ""
        yield from _api_table(result) if "rate" in next(iter(result["contenders"].values())) else _table(result)
        yield ""
        if targets := list(_targets(result)):
            yield from ("| target | | |", "|---|---|---|", *targets, "")
    if found := growth.exponents(dict(results)):
        yield "### Growth from 10,000 images on"
        yield ""
        yield from ("| | exponent of CPU time | up to |", "|---|---|---|")
        for command, fit in found.items():
            verdict = "met" if fit["met"] else "**missed**"
            yield f"| `{command}` | {fit['exponent']:.2f} (≤ 1.05: {verdict}) | {fit['most_images']:,} images |"
        yield ""


def _when(about: Mapping[str, Any]) -> str:
    return f"{about['date']}, {about['cpu']}, {about['cores']} cores, load {about['load_before']} before and {about['load_after']} after."


def _table(result: Mapping[str, Any]) -> Iterator[str]:
    peers = list(next(iter(result["contenders"].values()))["ratios"])
    yield "| | wall, s | CPU, s | peak, MiB |" + "".join(f" wall ÷ `{peer}` |" for peer in peers)
    yield "|---|---|---|---|" + "---|" * len(peers)
    for label, row in result["contenders"].items():
        ratios = (f" {_spread(row['ratios'][peer]['wall_s'])} |" if row["ratios"] else " |" for peer in peers)
        yield (
            f"| `{label}` | {_spread(row['wall_s'])} | {_spread(row['cpu_s'])} | {row['peak_bytes'][0] / 2**20:.0f} |"
            + "".join(ratios)
        )


def _api_table(result: Mapping[str, Any]) -> Iterator[str]:
    yield from ("| | median, ms | answers a second |", "|---|---|---|")
    for label, row in result["contenders"].items():
        yield f"| `{label}` | {_spread([value * 1e3 for value in row['median_s']])} | {row['rate'][0]:,.0f} |"


def _spread(values: Any) -> str:
    middle, least, most = values
    return f"{middle:.2f} ({least:.2f}–{most:.2f})"


def _targets(result: Mapping[str, Any]) -> Iterator[str]:
    for target in result["targets"]:
        met = "met" if target["met"] else "**missed**"
        if "what" in target:
            yield f"| {target['what']} | | {met} |"
            continue
        name = {"wall_s": "wall", "cpu_s": "CPU", "peak_bytes": "peak"}[target["measure"]]
        if target["peers"]:
            goal, value = f"{target['limit']:g} × `{target['hardest']}`", f"{target['value']:.2f}"
        elif target["measure"] == "peak_bytes":
            goal, value = f"{target['limit'] / 1e6:g} MB", f"{target['value'] / 1e6:.0f} MB"
        else:
            goal, value = f"{target['limit']:g} s", f"{target['value']:.2f} s"
        yield f"| `{target['contender']}`, {name} ≤ {goal} | {value} | {met} |"


def plot(results: Mapping[str, Any]) -> str:
    """An SVG: wall times as shares of a peer's on the left, growth on the right."""
    about = [result["machine"] for result in results.values()]
    dates = sorted({one["date"] for one in about})
    loads = [one[when] for one in about for when in ("load_before", "load_after")]
    when = " to ".join(dict.fromkeys((dates[0], dates[-1])))
    told = f"{when}, {about[0]['cpu']}, {about[0]['cores']} cores, load {min(loads)} to {max(loads)}"
    body = [*_bars(results), *_growth(results), _text(16, _HIGH - 10, f"Measured {told}", 11, "#777")]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDE} {_HIGH}" font-family="system-ui, sans-serif">'
        f'<rect width="{_WIDE}" height="{_HIGH}" fill="#fff"/>{"".join(body)}</svg>\n'
    )


def _text(x: float, y: float, text: str, size: int = 12, fill: str = "#222", anchor: str = "start") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{fill}" text-anchor="{anchor}">{escape(text)}</text>'
    )


def _bars(results: Mapping[str, Any]) -> Iterator[str]:
    """One bar for each case: our wall time, of the peer's, which is the line at 1."""
    left, top, unit, step = 170, 56, 150, 30
    yield _text(16, 24, "Wall time, of the peer's", 14)
    rows = [row for row in _BARS if row[0] in results]
    for number, (name, ours, peer, title) in enumerate(rows):
        ratio = results[name]["contenders"][ours]["ratios"][peer]["wall_s"][0]
        y = top + number * step
        long = min(ratio, 1.5) * unit
        yield _text(left - 8, y + 4, title, 11, "#222", "end")
        yield _text(left - 8, y + 16, f"beside {peer}", 9, "#777", "end")
        yield f'<rect x="{left}" y="{y - 6}" width="{long:.1f}" height="18" rx="2" fill="{"#1f6f8b" if ratio <= 1 else "#b5541c"}"/>'
        yield _text(left + long + 5, y + 8, f"{ratio:.2f}", 11)
    bottom = top + len(rows) * step - 10
    yield f'<line x1="{left + unit}" y1="{top - 16}" x2="{left + unit}" y2="{bottom}" stroke="#999" stroke-dasharray="3 3"/>'
    yield _text(left + unit, top - 20, "1", 11, "#777", "middle")


def _growth(results: Mapping[str, Any]) -> Iterator[str]:
    """CPU time over the number of images, both logarithmic."""
    cases = [results[name] for name in growth.NAMES if name in results]
    if not cases:
        return
    left, right, top, bottom = 520, _WIDE - 90, 46, _HIGH - 56
    low_s, high_s = 0.1, 1000.0

    def x(images: float) -> float:
        return left + (math.log10(images) - 3) / 3 * (right - left)

    def y(seconds: float) -> float:
        return bottom - math.log10(seconds / low_s) / math.log10(high_s / low_s) * (bottom - top)

    yield _text(left - 40, 24, "CPU time, by the number of images", 14)
    for power in range(-1, 4):
        at = y(10.0**power)
        yield f'<line x1="{left}" y1="{at:.1f}" x2="{right}" y2="{at:.1f}" stroke="#e4e4e4"/>'
        yield _text(left - 6, at + 4, f"{10.0**power:g} s", 11, "#777", "end")
    for images, label in ((1e3, "1,000"), (1e4, "10,000"), (1e5, "100,000"), (1e6, "1,000,000")):
        yield _text(x(images), bottom + 18, label, 11, "#777", "middle")
    for command, colour in _COLOURS.items():
        points = [(x(case["objects"]), y(case["contenders"][command]["cpu_s"][0])) for case in cases]
        line = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
        yield f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>'
        yield "".join(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="{colour}"/>' for a, b in points)
        yield _text(points[-1][0] + 8, points[-1][1] + 4, command, 11, colour)

"""Draws results as an SVG: a bar a server in each case, its spread, and how many times the others ours is."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

from loadtests.bench.measure.rounds import OURS, Result, Summary, ratios, summaries
from loadtests.bench.measure.tables import number

WIDTH: Final = 920
_LEFT, _RIGHT, _BAR, _ROW, _HEAD, _GAP = 210, 270, 18, 28, 34, 18
_OURS, _OTHERS, _INK, _FAINT, _PAPER = "#0b7a75", "#a9b4bd", "#1d2730", "#64727d", "#ffffff"
_STYLE: Final = (
    f"text{{font:13px system-ui,sans-serif;fill:{_INK}}}.faint{{fill:{_FAINT};font-size:12px}}"
    ".title{font-size:17px;font-weight:600}.case{font-weight:600}.ours{font-weight:600}"
)


def drawn(title: str, note: str, results: Sequence[Result], key: str) -> str:
    """``results`` by their figure ``key`` as an SVG document; a case's longest bar has the full width."""
    rows = [row for row in summaries(results) if row.figures.get(key, (0.0,))[0] > 0]
    found = ratios(results, key)
    parts, y = [_text(16, 30, title, "title"), _text(16, 50, note, "faint")], 62.0
    for case in dict.fromkeys(row.case for row in rows):
        y += _GAP
        parts.append(_text(16, y + 14, f"{case}: {_words(key)}", "case"))
        y += _HEAD
        same = [row for row in rows if row.case == case]
        longest = max(row.figures[key][2] for row in same)
        for row in same:
            parts.append(_bar(row, key, y, longest, found))
            y += _ROW
    height = y + 14
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" '
        f'height="{height:.0f}" role="img" aria-label="{escape(title)}"><style>{_STYLE}</style>'
        f'<rect width="100%" height="100%" fill="{_PAPER}"/>{"".join(parts)}</svg>\n'
    )


def _bar(
    row: Summary, key: str, y: float, longest: float, found: Mapping[str, tuple[float, float, float]]
) -> str:
    middle, least, most = row.figures[key]
    scale = (WIDTH - _LEFT - _RIGHT) / longest
    ours = row.target == OURS
    at, low, high, line = (_LEFT + value * scale for value in (middle, least, most, 0.0))
    mid = y + _BAR / 2
    ratio = found.get(f"{row.case}: {OURS} / {row.target}")
    told = number(middle) + (f" · ours is {ratio[0]:.2f} times that" if ratio else "")
    if row.client_limited:
        told += " (client-limited)"
    return (
        f'<text x="{_LEFT - 10}" y="{y + 13:.1f}" text-anchor="end" class="{"ours" if ours else ""}">'
        f"{escape(row.target)}</text>"
        f'<rect x="{line:.1f}" y="{y:.1f}" width="{max(1.0, at - line):.1f}" height="{_BAR}" rx="2" '
        f'fill="{_OURS if ours else _OTHERS}"/>'
        f'<path d="M{low:.1f} {mid:.1f}H{high:.1f}M{low:.1f} {mid - 4:.1f}v8M{high:.1f} {mid - 4:.1f}v8" '
        f'stroke="{_INK}" stroke-width="1.2" fill="none"/>' + _text(max(at, high) + 8, y + 13, told, "")
    )


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}">{escape(text)}</text>'


def _words(key: str) -> str:
    return key.replace("_per_s", " a second").replace("_", " ")

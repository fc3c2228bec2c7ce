"""Text in lines, and each line in runs from left to right, as Arabic among Latin needs it. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from unicodedata import bidirectional

from fpdf.bidi import BidiParagraph
from fpdf.enums import TextDirection

RIGHT_TO_LEFT = frozenset({"R", "AL"})
UNSEEN = dict.fromkeys(map(ord, "\u200e\u200f\u2066\u2067\u2068\u2069"))
Measure = Callable[[str], float]


@dataclass(frozen=True, slots=True)
class Run:
    """Neighbouring letters of one direction, in the order they are read in."""

    text: str
    is_rtl: bool


def is_rtl(text: str) -> bool:
    return any(bidirectional(letter) in RIGHT_TO_LEFT for letter in text)


def wrapped(text: str, width: float, measure: Measure) -> list[str]:
    """The text's lines, none wider than `width`; a word that is gets cut."""
    lines = []
    for paragraph in text.split("\n"):
        line = ""
        for word in paragraph.split(" "):
            longer = f"{line} {word}" if line else word
            if measure(longer) <= width:
                line = longer
                continue
            if line:
                lines.append(line)
            *full, line = cut(word, width, measure)
            lines += full
        lines.append(line)
    return lines


def cut(word: str, width: float, measure: Measure) -> list[str]:
    """A word in pieces that fit; one letter stands in any width. A piece is found in steps that
    double and then halve: letters without a width would else be measured again and again."""
    pieces, start = [], 0
    while start < len(word):
        end, step = start + 1, 1
        while end < len(word) and measure(word[start : end + step]) <= width:
            end, step = min(end + step, len(word)), step * 2
        while step := step // 2:
            if end + step <= len(word) and measure(word[start : end + step]) <= width:
                end += step
        pieces.append(word[start:end])
        start = end
    return pieces or [word]


@lru_cache(maxsize=4096)
def runs_of(line: str, *, from_right: bool) -> Sequence[Run]:
    """A line's runs as they stand from left to right. `from_right` says how the page runs; a line
    without a letter that runs so runs from the left."""
    if not is_rtl(line):
        return [Run(line.translate(UNSEEN), is_rtl=False)]
    base = TextDirection.RTL if from_right else None
    letters = BidiParagraph(line, base_direction=base).get_characters()
    levels = [
        (level, "".join(letter.character for letter in group).translate(UNSEEN))
        for level, group in groupby(letters, key=lambda letter: letter.embedding_level)
    ]
    return [Run(text, is_rtl=level % 2 == 1) for level, text in reordered(levels) if text]


def reordered(runs: Sequence[tuple[int, str]]) -> list[tuple[int, str]]:
    """Unicode's rule L2: from the highest level down, what stands at it or above is turned."""
    turned = list(runs)
    highest = max(level for level, _ in runs)
    for level in range(highest, 0, -1):
        place = 0
        while place < len(turned):
            end = place
            while end < len(turned) and turned[end][0] >= level:
                end += 1
            turned[place:end] = reversed(turned[place:end])
            place = max(end, place + 1)
    return turned

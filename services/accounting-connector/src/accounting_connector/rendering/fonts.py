"""The fonts that documents are set in: fixed packages, so that a document looks the same on every machine."""

import unicodedata
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final

from fontTools.ttLib import TTFont  # type: ignore[import-untyped]

from accounting_connector.rendering.texts import REPLACEMENT, without_forbidden


@dataclass(frozen=True, slots=True)
class Font:
    """A font by its family, the package that brings it, and its file there."""

    family: str
    package: str
    file: str

    @property
    def path(self) -> Path:
        """The font's file."""
        return Path(str(files(self.package) / self.file))


FONTS: Final = (
    Font("Noto Sans", "fontpkg_noto_sans", "files/NotoSans[wdth,wght].ttf"),
    Font("Noto Sans Arabic", "fontpkg_noto_sans_arabic", "files/NotoSansArabic[wdth,wght].ttf"),
    Font("Heebo", "fontpkg_heebo", "files/Heebo[wght].ttf"),
    Font("Noto Sans Thai", "fontpkg_noto_sans_thai", "files/NotoSansThai[wdth,wght].ttf"),
    Font("Noto Sans Devanagari", "fontpkg_noto_sans_devanagari", "files/NotoSansDevanagari[wdth,wght].ttf"),
    Font("Noto Sans CJK JP", "noto_cjk_sans_jp_regular", "NotoSansCJKjp-Regular.otf"),
)
"""In the order in which a character is looked for: Latin, Greek and Cyrillic, Arabic, Hebrew, Thai, Devanagari, and the
characters of Chinese, Japanese and Korean."""


def displayable(text: str) -> str:
    """The text with U+FFFD for each character that no font can show: PDF/A knows no missing glyphs.

    Invisible format characters without a glyph are left out. A mark must be in the font of the character that it
    belongs to, since both are set together.
    """
    text = without_forbidden(text)
    if text.isascii() or _code_points(FONTS[0]).issuperset(map(ord, text)):
        return text
    shown: list[str] = []
    base_font: Font | None = FONTS[0]
    for character in text:
        if character.isspace():
            shown.append(character)
            continue
        is_mark = unicodedata.category(character).startswith("M")
        font = base_font if is_mark and base_font and _has(base_font, character) else _font_of(character)
        if font is not None and not (is_mark and font is not base_font):
            shown.append(character)
        elif unicodedata.category(character) != "Cf":
            shown.append(REPLACEMENT)
            font = FONTS[0]
        if not is_mark:
            base_font = font
    return "".join(shown)


def _font_of(character: str) -> Font | None:
    return next((font for font in FONTS if _has(font, character)), None)


def _has(font: Font, character: str) -> bool:
    return ord(character) in _code_points(font)


@cache
def _code_points(font: Font) -> frozenset[int]:
    with TTFont(font.path, lazy=True) as opened:
        return frozenset(opened.getBestCmap())

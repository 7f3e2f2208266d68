"""Countries and the tax ids that they give."""

from typing import Final

from iso3166 import countries_by_alpha2

# The norm's country list is ISO 3166 with Northern Ireland (XI), and 1A for Kosovo, whose usual code is XK.
NORM_CODES: Final = {code: code for code in countries_by_alpha2} | {"XI": "XI", "XK": "1A"}
"""The codes of EN 16931's list by the usual ones."""

_MEMBERS: Final = "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK"
EU_MEMBERS: Final = frozenset(_MEMBERS.split())
"""The member states of the European Union."""

_OTHER_NAMES: Final = {"EL": "GR", "UK": "GB"}
_VAT_ID_PREFIXES: Final = frozenset({*NORM_CODES.values(), "EL"})


def usual_code(country: str | None) -> str | None:
    """A country's code of ISO 3166, also where it is written the other usual way: EL for GR, UK for GB."""
    return None if country is None else _OTHER_NAMES.get(country, country)


def tidy_tax_id(identifier: str | None) -> str:
    """A tax id as identifiers are compared: without blanks, in capitals; empty where there is none."""
    return "".join((identifier or "").split()).upper()


def is_vat_id(identifier: str | None) -> bool:
    """Whether a tax id begins with the country that gave it, as a VAT identifier must (EN 16931, BR-CO-09)."""
    return tidy_tax_id(identifier)[:2] in _VAT_ID_PREFIXES

"""The currencies of ISO 4217 that have a minor unit, the withdrawn ones with the day they ended (domain.md, opening).

A table of our own: what is stored under a code stays readable whatever a later edition of the standard leaves out.
A code is never taken out of it; one that ends moves from `_ACTIVE` to `_WITHDRAWN`. Digits of the withdrawn ones are
those of the standard. A currency that the euro replaced ended the day before the euro came, not with the weeks in which
both were accepted as cash; any other with the last day on which it was legal tender.
"""

from dataclasses import dataclass
from datetime import date
from typing import Final


@dataclass(frozen=True, slots=True)
class Currency:
    """A currency: how many decimals its minor unit has, and the last day on which it was money; None if it still is."""

    digits: int
    last_day: date | None = None

    def had_ended_on(self, day: date) -> bool:
        """Whether it was no longer money on this day."""
        return self.last_day is not None and day > self.last_day


_ACTIVE: Final = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    2: (
        "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF "
        "CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD "
        "GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL "
        "MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR "
        "PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP "
        "TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XAD XCD XCG YER ZAR ZMW ZWG"
    ),
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
"""Codes in use, by the digits of their minor unit."""

_WITHDRAWN: Final = (
    ("1965-08-16", 2, "ALK"),
    ("1968-06-07", 2, "MTP"),
    ("1976-02-28", 2, "GWE"),
    ("1980-02-22", 2, "ILP"),
    ("1980-04-18", 2, "RHD"),
    ("1980-06-16", 2, "MZE"),
    ("1981-01-01", 2, "ISJ"),
    ("1981-12-31", 2, "ESA"),
    ("1984-08-31", 2, "MLF"),
    ("1985-02-01", 2, "PES"),
    ("1985-05-31", 2, "LSM"),
    ("1985-06-14", 2, "ARP"),
    ("1985-09-04", 2, "ILR"),
    ("1986-01-06", 2, "GNS"),
    ("1986-02-28", 2, "BRB"),
    ("1986-06-01", 2, "GQE"),
    ("1986-12-31", 2, "BOP"),
    ("1987-05-15", 2, "UGS"),
    ("1989-01-15", 2, "BRC"),
    ("1989-06-18", 2, "BUK"),
    ("1989-12-31", 2, "GNE LAJ MVQ UYN ZWC"),
    ("1990-01-01", 2, "YUD"),
    ("1990-03-05", 2, "BEC BEL LUC LUL"),
    ("1990-03-16", 2, "BRN"),
    ("1990-07-31", 2, "ARY"),
    ("1990-10-02", 2, "DDM"),
    ("1990-11-30", 2, "BGJ BGK CSJ"),
    ("1990-12-31", 2, "PEH ROK UGW VNC"),
    ("1991-03-01", 2, "AOK"),
    ("1991-04-30", 2, "NIC"),
    ("1991-07-01", 2, "PEI"),
    ("1992-01-01", 2, "ARA"),
    ("1992-07-24", 2, "YUN"),
    ("1992-10-01", 2, "SUR"),
    ("1992-12-31", 2, "MXP"),
    ("1993-03-01", 2, "CSK UYP"),
    ("1993-06-25", 2, "LTT"),
    ("1993-08-01", 2, "BRE"),
    ("1993-10-17", 2, "LVR UAK"),
    ("1993-11-01", 2, "ZRZ"),
    ("1994-07-01", 2, "BRR"),
    ("1994-08-15", 2, "BAD"),
    ("1994-12-31", 2, "ESB PLZ"),
    ("1995-01-01", 2, "HRD"),
    ("1995-03-13", 2, "ZAL"),
    ("1995-09-25", 2, "GEK"),
    ("1996-01-01", 2, "YDD"),
    ("1997-03-31", 2, "GWP"),
    ("1998-06-01", 2, "SDP"),
    ("1998-07-31", 2, "ZRN"),
    ("1998-12-31", 2, "RUR"),
    ("1999-07-05", 2, "BGL"),
    ("2000-01-09", 2, "ECV"),
    ("2000-02-01", 2, "AON AOR"),
    ("2000-10-02", 2, "ECS"),
    ("2000-10-25", 2, "TJR"),
    ("2000-12-31", 0, "BYB"),
    ("2001-12-31", 0, "ADP BEF ESP GRD ITL LUF PTE"),
    ("2001-12-31", 2, "ATS DEM FIM FRF IEP NLG"),
    ("2002-05-15", 2, "YUM"),
    ("2002-05-20", 0, "TPE"),
    ("2002-12-31", 2, "AFA"),
    ("2003-12-31", 2, "SRG"),
    ("2004-11-30", 2, "CHC"),
    ("2004-12-31", 0, "MGF"),
    ("2005-10-31", 2, "AYM"),
    ("2005-12-31", 0, "TRL"),
    ("2006-10-25", 2, "CSD"),
    ("2006-12-31", 2, "AZM MZM ROL SIT"),
    ("2007-06-30", 2, "GHP SDD"),
    ("2007-12-31", 2, "CYP GHC MTL"),
    ("2008-06-30", 2, "VEB"),
    ("2008-07-31", 2, "ZWD"),
    ("2008-12-31", 2, "SKK TMM"),
    ("2009-02-02", 2, "ZWR"),
    ("2009-02-28", 2, "ZWN"),
    ("2010-12-31", 2, "EEK"),
    ("2012-12-31", 2, "ZMK"),
    ("2013-12-31", 2, "LVL"),
    ("2014-03-01", 2, "USS"),
    ("2014-12-31", 2, "LTL"),
    ("2016-12-31", 0, "BYR"),
    ("2017-12-31", 2, "STD"),
    ("2018-06-30", 2, "MRO"),
    ("2018-08-19", 2, "VEF"),
    ("2021-06-30", 2, "CUC"),
    ("2022-12-31", 2, "HRK"),
    ("2023-12-31", 2, "SLL"),
    ("2024-08-31", 2, "ZWL"),
    ("2025-06-30", 2, "ANG"),
    ("2025-12-31", 2, "BGN"),
)
"""The last day, the digits of the minor unit, and the codes that ended on it."""

CURRENCIES: Final = {
    code: currency
    for currency, codes in (
        *((Currency(digits), codes) for digits, codes in _ACTIVE.items()),
        *((Currency(digits, date.fromisoformat(last_day)), codes) for last_day, digits, codes in _WITHDRAWN),
    )
    for code in codes.split()
}
"""Every currency by its code."""

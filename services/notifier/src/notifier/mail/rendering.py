"""What a mail says, as text and as HTML, from the same notice."""

from dataclasses import dataclass
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from notifier.domain.notices import Notice, words_of

_TEMPLATES: Final = Environment(
    loader=PackageLoader("notifier", "templates"),
    autoescape=select_autoescape(["html"]),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


def _label(code: str) -> str:
    return words_of(code).capitalize()


_TEMPLATES.filters["label"] = _label


@dataclass(frozen=True, slots=True)
class Renderer:
    """Renders notices with this deployment's address for links and its contact for questions."""

    public_url: str
    support_contact: str

    def link(self, notice: Notice) -> str:
        """The address of the page that shows what the notice is about."""
        return self.public_url + notice.path

    def text(self, notice: Notice) -> str:
        """The mail's text."""
        return self._render("notice.txt", notice)

    def html(self, notice: Notice) -> str:
        """The mail's HTML."""
        return self._render("notice.html", notice)

    def _render(self, template: str, notice: Notice) -> str:
        return _TEMPLATES.get_template(template).render(
            notice=notice, link=self.link(notice), support_contact=self.support_contact
        )

"""Opposite documents that take back what is left of a validated one, for a revert (documents.md section 3.4)."""

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Sequence
from decimal import Decimal

from accounting_connector.domain.corrections import CreditedLine, Original, Rate, corrected_totals
from accounting_connector.domain.documents import Document, DocumentLine, DocumentStatus, payment_warnings
from accounting_connector.domain.tax import Tax, product_key, tax_totals
from shared.money import ZERO, exact_sum


def mirror_document(
    document: Document,
    original: Original,
    document_id: str,
    *,
    billing_event_ids: Collection[str],
    credited: Sequence[CreditedLine] = (),
) -> Document | None:
    """The draft of the opposite document that takes these events of a validated one back; None: nothing is left.

    Line by line, less what corrections took (`credited`, of the whole document), and never more than is left of the
    document. It leaves nothing out: what the original left out it does not take back. Both kinds are positive, and so
    are its lines. It names the document as what it corrects, belongs to no billing run, and gets number
    and dates when it is validated. Raises ValueError if the document is not validated, or is itself a mirror.
    """
    if document.status is not DocumentStatus.VALIDATED or document.mirrors_document_id is not None:
        raise ValueError(f"document {document.document_id} cannot be mirrored")
    lines = _lines_left(document, original, billing_event_ids, credited)
    if not lines:
        return None
    amounts = ((Tax(line.tax_category, line.tax_rate), line.amount) for line in lines)
    reasons = {(total.category, total.rate): total for total in document.taxes}
    taxes = tuple(
        dataclasses.replace(
            total,
            reason=reasons[total.category, total.rate].reason,
            reason_code=reasons[total.category, total.rate].reason_code,
        )
        for total in corrected_totals(original, tax_totals(amounts, document.currency))
    )
    net, tax = exact_sum(line.amount for line in lines), exact_sum(total.tax for total in taxes)
    taken_back = {line.billing_event_id for line in lines}
    return dataclasses.replace(
        document,
        document_id=document_id,
        kind=document.kind.opposite,
        status=DocumentStatus.DRAFT,
        number=f"DRAFT-{document_id}",
        date=None,
        due_date=None,
        billing_run_id=None,
        billing_event_ids=tuple(each for each in document.billing_event_ids if each in taken_back),
        lines=tuple(
            dataclasses.replace(line, line_id=f"{document_id}.{position}")
            for position, line in enumerate(lines, 1)
        ),
        taxes=taxes,
        total_net=net,
        total_tax=tax,
        total_gross=exact_sum((net, tax)),
        corrects_document_id=document.document_id,
        mirrors_document_id=document.document_id,
        supplements_document_id=None,
        collection_date=None,
        excluded_items=(),
        warnings=tuple(payment_warnings(exact_sum((net, tax)), document.currency)),
        left_out_items=(),
    )


def _lines_left(
    document: Document, original: Original, event_ids: Collection[str], credited: Sequence[CreditedLine]
) -> list[DocumentLine]:
    own = [(place, line) for place, line in enumerate(document.lines) if line.billing_event_id in event_ids]
    is_whole = len(own) == len(document.lines)
    groups: dict[Rate, list[tuple[int, DocumentLine]]] = {}
    for place, line in own:
        groups.setdefault((line.tax_category, line.tax_rate), []).append((place, line))
    found: list[tuple[int, DocumentLine]] = []
    nets: list[Decimal] = []
    for rate, group in groups.items():
        taken = [
            each
            for each in credited
            if each.rate == rate and (is_whole or each.billing_event_id in event_ids)
        ]
        rest = _rest([line for _, line in group], taken, original.left()[rate].net)
        nets.append(exact_sum(rest))
        is_touched = any(amount != line.amount for amount, (_, line) in zip(rest, group, strict=True))
        if is_touched and not nets[-1]:
            continue
        found += [
            (place, left)
            for (place, line), amount in zip(group, rest, strict=True)
            for left in _with_amount(line, amount)
        ]
    if credited and not any(nets):
        return []
    return [line for _, line in sorted(found, key=lambda each: each[0])]


def _rest(lines: Sequence[DocumentLine], taken: Iterable[CreditedLine], left: Decimal) -> list[Decimal]:
    """What is left of each line: less what corrections took, and together not more than is left of the document."""
    rest = [line.amount for line in lines]
    for each in taken:
        _take(rest, each.amount, list(_in_order(lines, each)))
    net = exact_sum(rest)
    bounded = max(min(net, max(left, ZERO)), min(left, ZERO))
    if bounded != net:
        _take(rest, exact_sum((net, -bounded)), list(range(len(lines))))
    return rest


def _in_order(lines: Sequence[DocumentLine], taken: CreditedLine) -> Iterator[int]:
    """From which lines a credit is taken: the one that it names, those of its product, any."""
    key = product_key(taken.product)
    named = [i for i, line in enumerate(lines) if line.billing_event_item_id == taken.corrects_item_id]
    alike = [i for i, line in enumerate(lines) if product_key(line.product) == key]
    yield from dict.fromkeys((*named, *alike, *range(len(lines))))


def _take(rest: list[Decimal], amount: Decimal, order: Sequence[int]) -> None:
    """Take an amount from lines of its sign, one after the other; what is over from the last."""
    for place in order:
        if rest[place] * amount > 0:
            part = rest[place] if abs(rest[place]) <= abs(amount) else amount
            rest[place] = exact_sum((rest[place], -part))
            amount = exact_sum((amount, -part))
    if amount:
        rest[order[-1]] = exact_sum((rest[order[-1]], -amount))


def _with_amount(line: DocumentLine, amount: Decimal) -> Iterator[DocumentLine]:
    """The line as it is, or with what is left of it as one piece; none where nothing is left."""
    if amount == line.amount:
        yield line
    elif amount:
        yield dataclasses.replace(line, quantity=Decimal(1), unit_price=amount, amount=amount)

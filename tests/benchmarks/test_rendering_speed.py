"""The benchmarks of rendering run, and give figures beside their limits."""

from collections.abc import Callable

import pytest

from sluice.benchmarks.figures import Result
from sluice.benchmarks.rendering import measure_pdf, measure_xml


@pytest.mark.parametrize("measure", [measure_xml, measure_pdf])
def test_rendering_is_measured_beside_the_bare_library(measure: Callable[[int], Result]) -> None:
    (measured,) = measure(5).measured
    assert measured.figure.value > 0
    assert measured.figure.ratio is not None
    assert measured.figure.ratio > 0

"""Wrong answers are caught for their reason, right ones of another make pass: proven in another process.

That process is pytest on a part of `dojo/tests/impostors`, or with --thorough on all of them and
`dojo/tests/answers`, while this one goes on. Call it yourself on one of their files for the details.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from dojo.house import House
from dojo.proofs import read_impostors
from dojo.tests.elsewhere import Verdict, pass_on, verdicts_of, within

HERE = Path(__file__).parent
SAMPLE = 5  # all impostors take longer than all else together: every fifth is tried, or all with --thorough
KATAS = [kata.stem for kata in House().katas.values()]


def run(root: Path, thorough: bool) -> list[Verdict]:
    """The verdicts on the proofs."""
    if thorough:
        return verdicts_of(root, str(HERE / "impostors"), str(HERE / "answers"), "--thorough")
    return verdicts_of(root, str(HERE / "impostors"), f"--sample={SAMPLE}")


@pytest.mark.parametrize("stem", KATAS)
def test_every_impostor_is_caught(outcome: list[Verdict], stem: str, request: pytest.FixtureRequest) -> None:
    verdicts = within(outcome, f"impostors.{stem}")
    impostors = len(list(read_impostors(HERE / "impostors" / f"{stem}.md")))
    assert len(verdicts) >= impostors // (1 if request.config.option.thorough else SAMPLE) > 0
    pass_on(verdicts)


@pytest.mark.parametrize("stem", KATAS)
def test_every_right_answer_passes(outcome: list[Verdict], stem: str, request: pytest.FixtureRequest) -> None:
    if not request.config.option.thorough:
        pytest.skip("right answers of another make are tried with --thorough")
    verdicts = within(outcome, f"answers.{stem}")
    assert len(verdicts) > len(list((HERE / "answers" / stem).glob("*.py")))
    pass_on(verdicts)

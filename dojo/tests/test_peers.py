"""The references among real peers, curl, httpx, uvicorn, aiohttp, a browser: judged in another process.

That process is pytest on `dojo/tests/peers`, while this one goes on. Call it yourself for the details.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from dojo.tests.elsewhere import Verdict, pass_on, verdicts_of, within

PEERS = Path(__file__).parent / "peers"


def run(root: Path, thorough: bool) -> list[Verdict]:
    """The verdicts on all files there."""
    return verdicts_of(root, str(PEERS))


@pytest.mark.parametrize("stem", [path.stem for path in sorted(PEERS.glob("test_*.py"))])
def test_references_get_on_with_real_peers(outcome: list[Verdict], stem: str) -> None:
    verdicts = within(outcome, f"peers.{stem}")
    assert verdicts
    pass_on(verdicts)

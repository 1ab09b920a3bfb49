"""The same faults in the simulated world and in the real one: both must say the same.

    .venv/bin/python -m lab.simulation.agreement [--minutes 4]

Each of ten kinds of fault strikes in the simulated world, then all of them are injected into the real
system (`lab.campaign`). They agree when neither finds anything wrong, both are LIVE again after each, and no
decision was answered in reality with a code that the simulation of the same faults never gave.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from lab.campaign.catalogue import CATALOGUE
from lab.campaign.run import Plan as Campaign
from lab.campaign.run import run as run_campaign
from lab.simulation.faults import CATALOGUE as SIMULATED
from lab.simulation.judge import AT_A_REVISION, NOT_KNOWN
from lab.simulation.plan import Fault, Plan, draw_setup
from lab.simulation.run import Outcome, run

STORIES = {
    "kill redis": "kill the store",
    "kill rabbitmq": "kill the broker",
    "kill sidecar": "kill a sidecar",
    "freeze user-service": "freeze the User service",
    "cut a link": "cut a link",
    "flush redis": "flush the store",
    "fail redis over": "fail the store over",
    "replay messages": "replay messages",
    "restore a backup": "restore a backup",
    "restore, new epoch": "restore, new epoch",
}
"""What each is called there and here."""
COMPARED = {code.value for code in AT_A_REVISION | NOT_KNOWN}
"""The other codes are of requests that clients of one of the two worlds do not make."""
TIMES, EVERY = 5, 25.0
"""Each strikes so often, so many seconds apart."""


def simulate(kind: str, seed: int = 0) -> Outcome:
    """One kind of fault and nothing else, in a world about as large as the campaign's."""
    setup = replace(
        draw_setup(seed),
        sidecars=2,
        with_broker=(True, True),
        users=20,
        groups=4,
        near_cache_size=100,
        max_staleness=10.0,
        max_audit_age=None,
        feed_interval=0.5,
        requests=10.0,
        writes=2.0,
        lazy_sequencing=0.0,
        duration=TIMES * EVERY,
    )
    low, high = SIMULATED[kind].seconds
    faults = [
        Fault(number + 1, kind, 10.0 + number * EVERY, (low + high) / 2, seed * TIMES + number)
        for number in range(TIMES)
    ]
    return run(Plan(seed, setup, tuple(faults)))


def main(minutes: float) -> int:
    problems: list[str] = []
    codes: Counter[str] = Counter()
    for there, here in STORIES.items():
        outcome = simulate(here)
        codes += outcome.codes
        problems += [f"{there}, simulated: {violation}" for violation in outcome.violations]
        print(f"simulated  {there}: {outcome.decisions} decisions, {outcome.violations or 'all right'}")
    with TemporaryDirectory(prefix="agreement-") as directory:
        faults = [fault for fault in CATALOGUE if fault.name in STORIES]
        report = run_campaign(Campaign(seed=1, minutes=minutes, faults=faults), Path(directory))
    problems += [f"real: {what}" for what in report.wrong()]
    problems += [f"real: {each.fault} was not LIVE again" for each in report.injected if each.live_at is None]
    seen = set() if report.verified is None else set(report.verified.codes)
    problems += [f"real: {code}, which was never simulated" for code in sorted(seen & COMPARED - set(codes))]
    injected = {each.fault for each in report.injected}
    print(f"real: {len(injected)} of {len(STORIES)} kinds, codes {', '.join(sorted(seen))}")
    print("\n".join(problems) or "they agree")
    return 1 if problems or len(injected) < len(STORIES) else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=4.0, help="of the real campaign (4)")
    sys.exit(main(parser.parse_args().minutes))

"""The same faults in the simulated world and in the real one: both must say the same.

    .venv/bin/python -m lab.simulation.agreement [--minutes 4]

Each of ten stories happens in the simulated world several times, then all of them are made to happen in the
real system (`lab.campaign`). They agree when neither finds anything wrong, both are LIVE again after each,
and in no story reality refused a change for want of knowledge with a code that the simulation of the same
story never gave. What only the simulation gives is shown: it meets more circumstances than minutes do.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from lab.campaign.catalogue import CATALOGUE
from lab.campaign.report import Report
from lab.campaign.run import Plan as Campaign
from lab.campaign.run import run as run_campaign
from lab.campaign.system import MAX_STALENESS
from lab.simulation.faults import CATALOGUE as SIMULATED
from lab.simulation.judge import AT_A_REVISION, NOT_KNOWN
from lab.simulation.plan import Fault, Plan, draw_setup, stream
from lab.simulation.run import run

STORIES: Mapping[str, Sequence[Sequence[str]]] = {
    "kill redis": [["kill the store"]],
    "kill rabbitmq": [["kill the broker"]],
    "kill sidecar": [["kill a sidecar"]],
    "freeze user-service": [["freeze the User service"]],
    "cut a link": [["cut a link"], ["close the database"], ["stop the relay"], ["fail the key endpoint"]],
    "flush redis": [["flush the store"]],
    "fail redis over": [["fail the store over"]],
    "replay messages": [["replay messages"]],
    "restore a backup": [["restore a backup", "close the database"]],
    "restore, new epoch": [["restore, new epoch", "close the database"]],
}
"""What each is called there, and what happens here: one or another of these, each of one or more faults.
A link may be anybody's; who restores a backup shuts the database.
"""
LATENCIES = (0.0005, 0.002, 0.02)
"""Seconds, one in each world of a story: in the last a sidecar that starts is met before it is ready."""
TIMES, EVERY, FIRST = 5, 30.0, 10.0
"""Each story happens so often in a world, so many seconds apart, from then on."""
_DECIDED = re.compile(r" request [0-9]+ of \S+ ([a-z_]+) at ")

Codes = dict[str, Counter[str]]
"""By story."""


def faults_of(story: str, seed: int) -> Iterator[Fault]:
    """They last up to twice as long as in other worlds: real servers take their time to start again."""
    random = stream(seed, story)
    for number in range(TIMES):
        at = FIRST + number * EVERY
        for kind in random.choice(STORIES[story]):
            low, high = SIMULATED[kind].seconds
            seconds = random.uniform(low, 2 * high)
            yield Fault(number, kind, at, seconds, random.getrandbits(32))
            at += seconds / 2


def simulate(story: str, seed: int) -> tuple[Counter[str], list[str]]:
    """One story in a world about as large as the campaign's: its codes, and what was wrong."""
    setup = replace(
        draw_setup(seed),
        sidecars=2,
        with_broker=(True, True),
        users=20,
        groups=4,
        near_cache_size=100,
        max_staleness=MAX_STALENESS,
        max_audit_age=None,
        feed_interval=0.5,
        latency=LATENCIES[seed % len(LATENCIES)],
        requests=15.0,
        writes=2.0,
        lazy_sequencing=0.0,
        duration=FIRST + TIMES * EVERY,
    )
    codes: Counter[str] = Counter()

    def heard(at: float, event: str) -> None:
        decided = _DECIDED.search(event)
        if at > FIRST and decided:
            codes[decided[1]] += 1

    outcome = run(Plan(seed, setup, tuple(faults_of(story, seed))), heard)
    return codes, outcome.violations


def refused(report: Report) -> Codes:
    """The codes of the refusals from each fault to the next, by its name."""
    codes: Codes = {each.fault: Counter() for each in report.injected}
    began = [(each.began_at, each.fault) for each in report.injected]
    for answer in report.answers:
        before = [name for at, name in began if at <= answer["sent_at"]]
        if before and answer["code"] is not None:
            codes[before[-1]][answer["code"]] += 1
    return codes


def disagreements(simulated: Codes, real: Codes, seen: set[str]) -> list[str]:
    """`seen`: all codes of the real decisions."""
    known = {code.value for code in AT_A_REVISION}
    unknown = {code.value for code in NOT_KNOWN}
    everywhere = set().union(*simulated.values())
    found = [f"real: {code}, which was never simulated" for code in sorted(seen & known - everywhere)]
    for story, codes in real.items():
        missing = sorted(unknown & set(codes) - set(simulated[story]))
        found += [f"real: {code} ({codes[code]}) in {story}, which was not simulated" for code in missing]
    return found


def table(simulated: Codes, real: Codes) -> Iterator[str]:
    """Of the refusals for want of knowledge, in both worlds."""
    for story in STORIES:
        told = []
        for codes in (simulated[story], real.get(story, Counter())):
            counts = [f"{code} {codes[code]}" for code in sorted(NOT_KNOWN) if codes[code]]
            told.append(", ".join(counts) or "none")
        yield f"{story:<22}simulated: {told[0]}; real: {told[1]}"


def main(minutes: float) -> int:
    problems: list[str] = []
    simulated: Codes = {story: Counter() for story in STORIES}
    for story, codes in simulated.items():
        for seed in range(len(LATENCIES)):
            found, violations = simulate(story, seed)
            codes.update(found)
            problems += [f"{story}, simulated: {violation}" for violation in violations]
        print(f"simulated  {story}: {codes.total()} decisions", flush=True)
    with TemporaryDirectory(prefix="agreement-") as directory:
        faults = [fault for fault in CATALOGUE if fault.name in STORIES]
        report = run_campaign(Campaign(seed=1, minutes=minutes, faults=faults), Path(directory))
    problems += [f"real: {what}" for what in report.wrong()]
    problems += [f"real: {each.fault} was not LIVE again" for each in report.injected if each.live_at is None]
    real = refused(report)
    seen = set() if report.verified is None else set(report.verified.codes)
    problems += disagreements(simulated, real, seen)
    problems += [f"real: {story} did not happen" for story in STORIES if story not in real]
    print("\n".join(table(simulated, real)))
    print("\n".join(problems) or "they agree")
    return 1 if problems else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--minutes", type=float, default=4.0, help="of the real campaign (4)")
    sys.exit(main(parser.parse_args().minutes))

"""The same faults in the simulated world and in the real one: both must say the same.

    .venv/bin/python -m lab.simulation.agreement [--minutes 4]

Ten stories happen in the simulated world again and again, in drawn order, then they are made to happen in the
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
from lab.simulation.plan import Fault, Plan, draw_setup, numbered, stream
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
"""Seconds, one in each world: in the last a sidecar that starts is met before it is ready."""
WORLDS, ROUNDS, FIRST = 9, 3, 10.0
"""In each world every story happens so often, the first at that second."""
PAUSE = (2.0, 8.0)
"""Seconds from the end of one to the next, about as in the campaign: what one leaves behind meets another."""
_DECIDED = re.compile(r" request [0-9]+ of \S+ ([a-z_]+) at ")

Codes = dict[str, Counter[str]]
"""By story."""


def faults_of(seed: int) -> Iterator[tuple[str, Fault]]:
    """One world's, in order. They last up to twice as long as elsewhere: real servers start slowly."""
    random = stream(seed, "stories")
    at = FIRST
    for story in (each for _ in range(ROUNDS) for each in random.sample(sorted(STORIES), len(STORIES))):
        ends = at
        for kind in random.choice(STORIES[story]):
            low, high = SIMULATED[kind].seconds
            seconds = random.uniform(low, 2 * high)
            yield story, Fault(0, kind, at, seconds, random.getrandbits(32))
            ends, at = max(ends, at + seconds), at + seconds / 2
        at = ends + random.uniform(*PAUSE)


def simulate(seed: int) -> tuple[Codes, list[str]]:
    """A world about as large as the campaign's: its codes, from each story's fault to the next, and what was
    wrong.
    """
    told = list(faults_of(seed))
    began = [(fault.at, story) for story, fault in told]
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
        connections=0.0,
        workers=0,
        duration=began[-1][0] + PAUSE[1],
    )
    codes: Codes = {story: Counter() for story in STORIES}

    def heard(at: float, event: str) -> None:
        decided = _DECIDED.search(event)
        if at > FIRST and decided:
            codes[[story for begin, story in began if begin <= at][-1]][decided[1]] += 1

    outcome = run(Plan(seed, setup, numbered([fault for _, fault in told])), heard)
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
    for seed in range(WORLDS):
        found, violations = simulate(seed)
        for story, codes in found.items():
            simulated[story].update(codes)
        problems += [f"world {seed}, simulated: {violation}" for violation in violations]
    print(f"simulated: {sum(codes.total() for codes in simulated.values())} decisions", flush=True)
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

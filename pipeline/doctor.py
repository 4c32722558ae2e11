"""doctor: is this machine and this installation in order? Each line is ok, a note, or wrong with what to do.

Reads versions, the hardware and the cache; really quantizes a small tensor, runs a plain and a hostile query, and asks the hub
for a moment. Writes nothing that stays.
"""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from pipeline.console import console, say, table
from pipeline.examine import (
    Finding,
    examine_cache,
    examine_disk,
    examine_extras,
    examine_hub,
    examine_machine,
    examine_nf4,
    examine_packages,
    examine_python,
    examine_sandbox,
    examine_torch,
)


def doctor(runs: Path, as_json: bool = False) -> bool:
    """Prints what is found; whether nothing is wrong."""
    checks: list[Callable[[], list[Finding]]] = [
        examine_python,
        examine_packages,
        examine_torch,
        examine_nf4,
        examine_machine,
        lambda: examine_disk(runs),
        examine_cache,
        examine_sandbox,
        examine_hub,
        examine_extras,
    ]
    found = [finding for check in checks for finding in check()]
    wrong = [finding for finding in found if finding.state == "wrong"]
    if as_json:
        shown = {"ok": not wrong, "findings": [asdict(finding) for finding in found]}
        console.file.write(json.dumps(shown, indent=2, ensure_ascii=False) + "\n")
        return not wrong
    table("loraql doctor", ["", "what", "found"], [[one.state, one.what, one.found] for one in found])
    for one in found:
        if one.remedy:
            say(f"  {one.state}: {one.what}: {one.remedy}")
    count = len(wrong)
    say(f"{count} thing{' is' if count == 1 else 's are'} wrong" if wrong else "nothing is wrong")
    return not wrong

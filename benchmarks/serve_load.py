"""How a server holds up: 50 clients at once ask `loraql serve`, round after round, and then one that answers one at a time.

    python benchmarks/serve_load.py runs/sample/export/merged data/raw/sample/database

Each client asks questions of the data set about its databases, one after another. Nothing may be lost: a refusal (429) is
asked again after as long as it says. In each round both servers answer the same questions, one server after the other,
each in a process of its own; the ratio is that of the medians. The memory of the server that answers many at once is read before
the first round and after each. Figures go to `benchmarks/results/serve_load.json`.
"""

import argparse
import asyncio
import json
import os
import platform
import random
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
from train_speed import processor

RESULT = Path(__file__).parent / "results" / "serve_load.json"
MOST_TRIES = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="an exported model's folder")
    parser.add_argument("databases", type=Path, help="the folder of its data set's databases; dev.json lies beside it")
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--questions", type=int, default=100, help="of a round, shared by the clients")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--out", type=Path, default=RESULT)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the servers end too
    result = measure(arguments)
    arguments.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    files = {path.stem: path for path in sorted(arguments.databases.glob("*/*.sqlite"))}
    lines = json.loads((arguments.databases.parent / "dev.json").read_text(encoding="utf-8"))
    known = [(line["db_id"], line["question"]) for line in lines if line["db_id"] in files]
    rounds: dict[str, list[dict[str, Any]]] = {"batch": [], "one": []}
    memory: list[int] = []
    with (
        served(arguments.model, files, arguments.batch, arguments.clients) as (url, pid),
        served(arguments.model, files, 1, arguments.clients) as (plain_url, _),
    ):
        for warm in (url, plain_url):
            asyncio.run(ask_all(warm, known[:2], 2))
        memory.append(resident(pid))
        for number in range(arguments.rounds):
            asked = random.Random(number).choices(known, k=arguments.questions)
            for name, address in (("batch", url), ("one", plain_url)):
                rounds[name].append(asyncio.run(ask_all(address, asked, arguments.clients)))
                print(f"round {number + 1}, {name}: {rounds[name][-1]}", file=sys.stderr)
            memory.append(resident(pid))
    rates = {name: statistics.median(one["requests_a_second"] for one in done) for name, done in rounds.items()}
    return {
        "lost": sum(one["lost"] for done in rounds.values() for one in done),
        "ratio": round(rates["batch"] / rates["one"], 2),
        "requests_a_second": {name: round(rate, 3) for name, rate in rates.items()},
        "resident_mb": memory,
        "clients": arguments.clients,
        "questions": arguments.questions,
        "batch": arguments.batch,
        "rounds": rounds,
        "machine": {"cores": os.cpu_count(), "system": platform.platform(), "processor": processor()},
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in ("loraql", "torch", "transformers", "fastapi", "uvicorn")},
    }


@contextmanager
def served(model: Path, files: dict[str, Path], batch: int, clients: int) -> Iterator[tuple[str, int]]:
    """A server in a process of its own; its address and process id."""
    options = ["--port", "0", "--rate", "0", "--timeout", "3600", "--batch", str(batch), "--queue", str(clients)]
    databases = [word for name, path in files.items() for word in ("--db", f"{name}={path}")]
    command = [sys.executable, "-m", "pipeline", "serve", str(model), *databases, *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        for line in process.stdout:
            if found := re.search(r"http://\S+", line):
                yield found.group(), process.pid
                break
        else:
            sys.exit("the server did not start")
    finally:
        process.terminate()
        process.wait()


async def ask_all(url: str, asked: list[tuple[str, str]], clients: int) -> dict[str, Any]:
    """One round: the clients share the questions, each asking its next when it has its answer."""
    left = iter(asked)
    seconds: list[float] = []
    refused = failed = 0
    before = await figure(url, "loraql_tokens_total")
    begun = time.perf_counter()

    async def ask_some(client: httpx.AsyncClient) -> None:
        nonlocal refused, failed
        for database, question in left:
            start = time.perf_counter()
            for _ in range(MOST_TRIES):
                got = await client.post(f"{url}/v1/sql", json={"database": database, "question": question})
                if got.status_code != 429:
                    break
                refused += 1
                await asyncio.sleep(float(got.headers["retry-after"]))
            if got.status_code == 200 and got.json()["question"] == question:
                seconds.append(time.perf_counter() - start)
                failed += got.json()["error"] is not None

    async with httpx.AsyncClient(timeout=None, limits=httpx.Limits(max_connections=clients)) as client:
        await asyncio.gather(*(ask_some(client) for _ in range(clients)))
    took = time.perf_counter() - begun
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return {
        "lost": len(asked) - len(seconds),
        "refused_and_asked_again": refused,
        "queries_that_failed": failed,
        "seconds": round(took, 2),
        "requests_a_second": round(len(seconds) / took, 3),
        "tokens_a_second": round((await figure(url, "loraql_tokens_total") - before) / took, 1),
        "latency_seconds": {name: round(cuts[at - 1], 2) for name, at in (("p50", 50), ("p95", 95), ("p99", 99))},
    }


async def figure(url: str, name: str) -> float:
    async with httpx.AsyncClient() as client:
        lines = (await client.get(f"{url}/metrics")).text.splitlines()
    return float(next(line for line in lines if line.startswith(f"{name} ")).split()[1])


def resident(pid: int) -> int:
    """The memory of a process, in MB."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(status.partition("VmRSS:")[2].split()[0]) // 1024


if __name__ == "__main__":
    main()

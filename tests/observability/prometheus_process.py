"""A real Prometheus with the rules of temporal-dev, scraping one worker every second; and its HTTP API."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from client.processes import free_port
from settings import PROJECT
from tests.programs import needed

TEMPORAL_DEV = PROJECT / "temporal-dev"
RULES = TEMPORAL_DEV / "rules"

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Prometheus:
    """A running server."""

    http: httpx.AsyncClient

    async def get(self, path: str, **parameters: str) -> Any:
        """The data of an answer of the API."""
        answer = await self.http.get(f"/api/v1/{path}", params=parameters)
        body = answer.json()
        assert body["status"] == "success", body
        return body["data"]

    async def query(self, expression: str, at: float | None = None) -> dict[Labels, float]:
        """The values of an expression by their labels, without the metric's name; those that are no number left out."""
        data = await self.get("query", query=expression, **({"time": f"{at:.3f}"} if at else {}))
        if data["resultType"] == "scalar":
            return {(): float(data["result"][1])}
        found = {
            tuple(sorted((key, value) for key, value in series["metric"].items() if key != "__name__")): float(
                series["value"][1]
            )
            for series in data["result"]
        }
        return {labels: value for labels, value in found.items() if not math.isnan(value)}

    async def one(self, expression: str) -> float | None:
        """The value of an expression that has one series; None where it has none."""
        return next(iter((await self.query(expression)).values()), None)

    async def until(self, expression: str, value: float) -> None:
        """Wait until the expression has this value."""
        async with asyncio.timeout(60):
            while await self.one(expression) != value:
                await asyncio.sleep(0.1)


@asynccontextmanager
async def prometheus(target: str, folder: Path) -> AsyncIterator[Prometheus]:
    """A server that scrapes the target (host:port); with our rules, whose alerts fire without delay."""
    program, port = needed("prometheus"), free_port(19090)
    (folder / "rules").mkdir(parents=True)
    for rules in RULES.glob("*.yml"):
        content = yaml.safe_load(rules.read_text())
        for group in content["groups"]:
            group["interval"] = "1s"
            for rule in group["rules"]:
                rule.pop("for", None)
        (folder / "rules" / rules.name).write_text(yaml.safe_dump(content))
    config = yaml.safe_load((TEMPORAL_DEV / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    config.pop("alerting")
    config["scrape_configs"] = [each for each in config["scrape_configs"] if each["job_name"] == "research-worker"]
    config["scrape_configs"][0]["static_configs"] = [{"targets": [target]}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            program,
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            stdout=log,
            stderr=log,
        )
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
            server = Prometheus(http)
            async with asyncio.timeout(60):
                while not await _ready(http):
                    assert process.returncode is None, (folder / "log").read_text()[-2000:]
                    await asyncio.sleep(0.1)
            await server.until('up{job="research-worker"}', 1)
            yield server
    finally:
        process.terminate()
        await process.wait()


async def _ready(http: httpx.AsyncClient) -> bool:
    try:
        return (await http.get("/-/ready")).status_code == 200
    except httpx.TransportError:
        return False

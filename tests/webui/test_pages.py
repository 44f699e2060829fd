"""The Web UI's pages of real cycles, as a real browser shows them; also the pictures of docs/web-ui.md."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest
import pytest_asyncio
from playwright.async_api import expect
from temporalio.testing import WorkflowEnvironment

from client.cycles import start_cycle
from client.views import Started
from domain.cycle import CycleRequest, CycleResult, DesignerKind, Outcome
from domain.gates import GateThresholds
from engine.bars import SAMPLES
from engine.pool import JobPool
from settings import Settings
from store.strategies import StrategyFiles
from tests.workflows.conftest import SMALL, open_house
from worker import working

from .conftest import Browser, WebUi

STRATEGY = SAMPLES / "planted_edge.yaml"
STRICT = GateThresholds(training_min_skill=0.6)
BRIEF = "Does the direction of the last bars hold?"
ITS_NEWS = {"newsfeed.temporal.io"}
"""What the Web UI itself asks for elsewhere; it does without."""

COLUMNS = ("Status", "Workflow ID", "Outcome", "Verdict", "Sharpe", "Symbol", "Timeframe")
ADDED = "StrategyName"
ALL = 'WorkflowType="ResearchCycleWorkflow"'


@dataclass(frozen=True)
class Shown:
    """Cycles that have ended: the first was assessed, the second was stopped by a gate."""

    namespace: str
    cycles: tuple[tuple[Started, CycleResult], ...]

    @property
    def first(self) -> CycleResult:
        return self.cycles[0][1]

    @property
    def second(self) -> CycleResult:
        return self.cycles[1][1]

    def page(self, web_ui: WebUi, tab: str) -> str:
        """The address of the first one's page."""
        started = self.cycles[0][0]
        return web_ui.cycle(self.namespace, started.cycle_id, started.run_id, tab)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shown(
    request: pytest.FixtureRequest,
    browser: Browser,
    temporal_env: WorkflowEnvironment,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Shown]:
    """Two cycles by an engine whose jobs take no time; for the pictures of the documentation more, by the real one."""
    client, root = temporal_env.client, tmp_path_factory.mktemp("home")
    pictures = request.config.getoption("keep_screenshots")
    address = client.service_client.config.target_host
    settings = Settings(home=root, temporal_address=address, temporal_namespace=client.namespace)
    asked: list[dict[str, object]] = [{"symbol": "PLANTED", "brief": BRIEF}, {"thresholds": STRICT}]
    if pictures:
        asked += [{"symbol": "PLANTED-SHUFFLED"}, {"strategy": None}, {"strategy": None, "seed": 7}]
    async with AsyncExitStack() as house:
        usual: dict[str, object] = {"symbol": "EURUSD", "timeframe": "1h", "designer": DesignerKind.OFFLINE}
        usual |= {"seed": 1, "queue": True}
        if pictures:
            await house.enter_async_context(working(client, settings))
        else:
            pool = house.enter_context(JobPool(1, root / "compiled", warm=()))
            small = await house.enter_async_context(open_house(client, root, pool, engine=SMALL))
            settings = settings.model_copy(update={"task_queue": small.queue})
            usual["budget_scope"] = small.scope
        usual["strategy"] = StrategyFiles(settings.strategies).save(STRATEGY.stem, STRATEGY.read_text())
        cycles = []
        for each in asked:
            started = await start_cycle(client, settings, CycleRequest.model_validate(usual | each))
            ended = await client.get_workflow_handle(started.cycle_id, result_type=CycleResult).result()
            cycles.append((started, ended))
        yield Shown(client.namespace, tuple(cycles))


async def test_a_cycles_page_tells_what_was_asked_and_what_was_found(shown: Shown, web_ui: WebUi, browser: Browser):
    page = browser.page
    await page.goto(shown.page(web_ui, "user-metadata"))

    summary, asked, found = (page.frame_locator("iframe >> nth=" + str(place)).locator("body") for place in range(3))
    await expect(summary).to_contain_text(f"PLANTED 1h, strategy planted_edge, seed 1: {BRIEF}")
    await expect(asked).to_contain_text(BRIEF)
    await expect(asked.locator("table")).to_contain_text("backtest_min_trades")
    await expect(found).to_contain_text("completed. PLANTED 1h, designer offline, seed 1")
    await expect(found).to_contain_text(f"Verdict: {shown.first.verdict}")
    phases, training, backtest = (found.locator("table").nth(place) for place in range(3))
    for phase in ("queued", "designing", "training", "backtesting", "assessing"):
        await expect(phases.locator("tr", has_text=phase)).to_contain_text("done")
    await expect(found).to_contain_text("Gate training: passed")
    await expect(training.locator("tr", has_text="balanced accuracy")).to_contain_text("at least")
    await expect(backtest.locator("tr", has_text="max drawdown")).to_contain_text("at most 40.00 %")
    await expect(found).to_contain_text("Strategy: planted_edge")
    await browser.screenshot("web-ui-cycle")
    assert browser.elsewhere <= ITS_NEWS


async def test_the_timeline_says_of_each_activity_and_timer_what_it_was_for(
    shown: Shown, web_ui: WebUi, browser: Browser
):
    page = browser.page
    await page.goto(shown.page(web_ui, "timeline"))

    for told in (
        "train • planted_edge on PLANTED 1h",
        "backtest • planted_edge on PLANTED 1h",
        "assess • planted_edge, turn 1",
        "count_trials",
        "deliver_close",
        "waiting for the ledger's receipt",
    ):
        await expect(page.get_by_text(told)).to_be_visible()
    await browser.screenshot("web-ui-timeline", height=1180)


async def test_memo_and_search_attributes_stand_on_their_tabs(shown: Shown, web_ui: WebUi, browser: Browser):
    page = browser.page
    await page.goto(shown.page(web_ui, "memo"))
    await expect(page.locator("main")).to_contain_text(f'"brief": "{BRIEF}"')
    await expect(page.locator("main")).to_contain_text('"designer": "offline"')

    await page.get_by_role("tab", name="Search Attributes").click()
    await expect(page.locator("main")).to_contain_text('"StrategyName": "planted_edge"')
    await expect(page.locator("main")).to_contain_text(f'"Verdict": "{shown.first.verdict}"')


async def test_the_list_shows_the_columns_and_a_filter_by_verdict_only_those(
    shown: Shown, web_ui: WebUi, browser: Browser
):
    page = browser.page
    chosen = {shown.namespace: [{"label": label, "pinned": label in COLUMNS[:2]} for label in COLUMNS]}
    key, columns = json.dumps("namespace-workflow-table-columns"), json.dumps(json.dumps(chosen))
    await page.add_init_script(f"localStorage.setItem({key}, {columns})")
    await page.goto(web_ui.cycles(shown.namespace, ALL))
    await page.get_by_role("button", name="Configure Columns").click()
    await page.get_by_role("button", name=f"Add {ADDED} column").click()
    await page.get_by_role("button", name="Close Workflows Table configuration").click()

    rows = page.locator("tbody tr")
    header = page.locator("thead").last
    for label in (*COLUMNS, ADDED):
        await expect(header).to_contain_text(label)
    first = rows.filter(has_text=shown.first.cycle_id)
    for value in (
        "PLANTED",
        "completed",
        str(shown.first.verdict),
        f"{shown.first.sharpe_ratio:.4f}".rstrip("0").rstrip("."),
        "planted_edge",
    ):
        await expect(first).to_contain_text(value)
    await expect(rows.filter(has_text=shown.second.cycle_id)).to_contain_text(Outcome.REJECTED.value)
    await browser.screenshot("web-ui-list", height=500)

    await page.goto(web_ui.cycles(shown.namespace, f'Verdict="{shown.first.verdict}"'))
    await expect(rows.filter(has_text=shown.first.cycle_id)).to_be_visible()
    await expect(rows.filter(has_text=shown.second.cycle_id)).to_have_count(0)
    assert browser.elsewhere <= ITS_NEWS

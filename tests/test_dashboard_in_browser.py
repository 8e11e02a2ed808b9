"""The dashboard's page as people see it: in a real browser, during real runs."""

import json
import threading
import warnings

import numpy as np
import pytest
import xdas
from distributed import Client

import dasdist
from dasdist.block_events import BlockEvent
from dasdist.dashboard.board import CODES
from dasdist.dashboard.watch import _installer, watched
from dasdist.run.progress import Progress

from .browser import launched
from .forked import Forked
from .toys import Toy, noise, recording

pytestmark = pytest.mark.slow

OPTIONS = {"thresholds": 0.7, "blinding": (1, 1), "pbar": False, "max_failures": "any"}

MARKUP = "<b id='evil'>bold</b> $$x^2$$ @why"

CELLS = "Bokeh.documents[0].get_model_by_name('das-map').renderers[1].data_source"


class Picky(Toy):
    """Does not like loud samples, and says so in HTML."""

    def forward(self, x, argdict=None):
        if float(x.max()) > 1e6:
            raise ValueError(f"{MARKUP} is too loud")
        return super().forward(x)


@pytest.fixture(scope="module")
def browser():
    with launched() as browser:
        yield browser


@pytest.fixture(scope="module")
def local(make_cluster):
    """A cluster in this process, and a client of it."""
    address = {"dashboard_address": "127.0.0.1:0"}
    with (
        make_cluster(2, processes=False, **address, scheduler_kwargs=address) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


def url_of(client, page="das"):
    return client.dashboard_link.replace("/status", f"/{page}")


class Run:
    """A run in a thread, which stands still after some blocks until it may go on."""

    def __init__(self, client, values, stop_after):
        self._data = recording(values)
        self._client, self._left = client, stop_after
        self.paused, self.go_on = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._classify)
        self._thread.start()

    def _classify(self):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", dasdist.DataWarning)
            block = {"time": 125, "distance": 6}
            self.found = dasdist.classify(
                Picky(), self._data, client=self._client, block=block, on_event=self._heard,
                **OPTIONS,
            )  # fmt: skip

    def _heard(self, event):
        self._left -= event.state == "done"
        if not self._left:
            self.paused.set()
            self.go_on.wait()

    def end(self):
        self.go_on.set()
        self._thread.join()
        return self.found.report


def shades(page):
    return page.say(f"Array.from({CELLS}.data.shade)")


def shows(state, number):
    """Whether so many cells of the map show a state, in JavaScript."""
    code = CODES.index(state)
    return f"Array.from({CELLS}.data.shade).filter(x => x == {code}).length == {number}"


def loud(values):
    values[1900:2000] = 1e7
    return values


def test_a_run_is_seen_from_block_to_block_with_the_reason_of_one_that_failed(
    browser, local, tmp_path
):
    classify_nothing(local)
    with browser.page(url_of(local)) as page:  # of the run before
        run = Run(local, loud(noise(4000, 12)), stop_after=6)
        run.paused.wait()
        page.until(f"{CELLS}.data.shade.length == 16 && {shows('done', 6)}")
        assert CODES.index("waiting") in shades(page)
        page.shoot("das-during-a-run", tmp_path)
        with browser.page(url_of(local)) as late:  # opened in mid-run
            late.until(shows("done", 6))
        report = run.end()
        failed = {one.block for one in report.failures}
        assert 1 <= len(failed) < 16
        page.until(f"{shows('failed', len(failed))} && {shows('done', 16 - len(failed))}")
        block = min(failed)
        left, right, low, high = (
            page.say(f"{CELLS}.data.{edge}[{block}]") for edge in ("left", "right", "bottom", "top")
        )
        page.point_at("das-map", (left + right) / 2, (low + 3 * high) / 4)
        tooltip = page.tab.get_by_text(f"{MARKUP} is too loud")
        tooltip.wait_for()
        assert page.tab.locator("#evil").count() == 0
        page.shoot("das-failed-block", tmp_path)


def classify_nothing(client):
    dasdist.classify(Toy(), recording(noise(400, 4)), client=client, block={"time": 50}, **OPTIONS)


def test_a_scheduler_of_its_own_behind_a_prefix_shows_the_page(browser, tmp_path):
    file = tmp_path / "scheduler.json"
    processes = [
        Forked(tmp_path / "scheduler.log", scheduler, str(file)),
        Forked(tmp_path / "worker.log", worker, str(file)),
    ]
    try:
        with Client(scheduler_file=str(file), set_as_default=False, timeout=120) as client:
            port = client.scheduler_info()["services"]["dashboard"]
            address = f"http://127.0.0.1:{port}/proxy/das-4711"
            run = Run(client, noise(4000, 12), stop_after=4)
            run.paused.wait()
            with browser.page(f"{address}/das") as page:
                page.until(shows("done", 4))
                page.shoot("das-behind-a-prefix", tmp_path)
                run.end()
                page.until(shows("done", 16))
                listed = json.loads(page.tab.request.get(f"{address}/individual-plots.json").text())
                assert "/individual-das" in listed.values()
            with browser.page(f"{address}/individual-das-map") as page:  # as JupyterLab does
                page.until(shows("done", 16))
    finally:
        for process in processes:
            process.kill_all()


def scheduler(file):
    from distributed.cli.dask_scheduler import main

    address = ["--host", "127.0.0.1", "--port", "0", "--dashboard-address", "127.0.0.1:0"]
    prefix = ["--dashboard-prefix", "/proxy/das-4711"]
    main([*address, *prefix, "--scheduler-file", file])


def worker(file):
    from distributed.cli.dask_worker import main

    options = ["--no-nanny", "--nthreads", "1", "--no-dashboard", "--host", "127.0.0.1"]
    main([*options, "--scheduler-file", file])


def test_ten_thousand_blocks_are_patched_and_never_sent_again(browser, local, tmp_path):
    # 500 blocks along time and 20 along the fibre, with a gap in the middle
    values = np.broadcast_to(np.float32(0), (50_000 * 2, 4 * 20))
    half = recording(values[:50_000])
    later = recording(values[50_000:], start=np.datetime64("2024-01-01T00:20:00", "ns"))
    block = {"time": 50, "distance": 4}
    data = xdas.concatenate([half, later], "time")
    plan = dasdist.plan(Toy(), data, client=False, block=block, blinding=(1, 1), optimize=False)
    assert len(plan) == 10_000
    with (
        watched(local, "made", plan, "m", ("P", "S")) as watch,
        browser.page(url_of(local)) as page,
    ):
        page.until(f"{CELLS}.data.shade.length == 10000")
        page.say(
            f"""(() => {{
                window.replaced = 0; window.patched = 0;
                {CELLS}.properties.data.change.connect(() => window.replaced++);
                {CELLS}.patching.connect(() => window.patched++);
            }})()"""
        )
        for first in range(0, 8000, 1000):
            for number in range(first, first + 1000):
                watch(ended(number))
            watch.update(progress(first + 1000))
            page.until(
                f"Array.from({CELLS}.data.shade).filter(x => x >= 4).length == {first + 1000}"
            )
        assert page.say("window.patched") >= 8
        assert page.say("window.replaced") == 0
        page.settle()
        page.shoot("das-ten-thousand-blocks", tmp_path)


def ended(number):
    if number % 997 == 0:
        return BlockEvent(number, "failed", error="a file is missing: 2024/f.h5", worker="tcp://w")
    rush = 60 * np.exp(-(((number - 3000) / 600) ** 2))
    counts = {"P": int(2 + rush), "S": int(1 + rush / 2)}
    return BlockEvent(number, "done", seconds=1.0, counts=counts)


def progress(number):
    share = number / 10_000
    return Progress(
        10_000, number, number // 997, share, 1000.0, share * 60, 160.0, 60 - share * 60
    )


def test_before_any_run_the_page_says_what_will_be_seen(browser, make_cluster, tmp_path):
    pytest.importorskip("panel")  # as in a notebook that draws with HoloViews: it changes bokeh
    address = {"dashboard_address": "127.0.0.1:0"}
    with (
        make_cluster(0, processes=False, **address, scheduler_kwargs=address) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        assert client.run_on_scheduler(_installer()) == ""
        with browser.page(url_of(client)) as page:
            page.tab.get_by_text("No run yet").wait_for()
            page.shoot("das-before-a-run", tmp_path)

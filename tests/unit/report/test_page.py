"""The report says what was observed, what was done and with what, and works in a browser, on a small screen too."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest

from jwstsm.report import summary
from jwstsm.report.jobs import last_run, memory_steps, read_jobs, summarize, timeline
from jwstsm.report.pictures import dots
from tests.unit.report.program import make_report

CHROMIUM = next((c for c in ("chromium", "chromium-browser", "google-chrome") if shutil.which(c)), None)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return make_report(tmp_path_factory.mktemp("program"))


def words(page) -> str:
    """Return what a reader sees of a page, as one line."""
    text = re.sub(r"<(style|script)>.*?</\1>", "", page.read_text(), flags=re.S)
    return " ".join(re.sub(r"<[^>]+>", " ", text).split())


def test_the_overview_has_a_row_for_each_target_instrument_and_filter(page):
    text = words(page)
    assert "JWST program 1234" in text
    assert re.search(r"M-&lt;92&gt; NIRCAM F200W NRCB1 2 3\.3 min 2023-10-28 90 × 90", text)
    assert re.search(r"M-&lt;92&gt; NIRCAM F444W NRCB1 2 3\.3 min 2023-10-28 -", text)


def test_what_was_not_done_is_said_with_the_reason_and_how_often(page):
    text = words(page)
    assert "ipc no IPC reference 5" in text
    assert "persistence switched off 5" in text
    assert "is not a FITS file &lt;broken&gt;" in text


def test_provenance_names_context_lock_parameters_and_references_with_checksums(page):
    text = words(page)
    assert "CRDS context jwst_1.pmap, held to the lock references.lock.json" in text
    assert "jump rejection_threshold 5.0 4.0 5" in text
    assert f"gain g.fits {'d' * 40} 4" in text
    assert "software jwstsm" in text


def test_every_product_has_a_page_with_its_steps_parameters_and_inputs(page):
    pages = sorted((page.parent / "products").glob("*.html"))
    assert len(pages) == 5
    for link in re.findall(r'href="(products/[^"]+)"', page.read_text()):
        assert (page.parent / link).exists()
    text = words(next(p for p in pages if "00002" in p.name))
    assert "rejection_threshold 5.0 (default 4.0)" in text
    assert f"input x_uncal.fits {'c' * 40}" in text
    assert "previous" in text
    assert "next" in text
    mosaic = words(next(p for p in pages if "i2d" in p.name))
    assert "g2 relative success 3 of 3 50.0 3.60 1.5 × 2.0" in mosaic


def test_the_pages_ask_nothing_of_the_network(page):
    for each in [page, *(page.parent / "products").glob("*.html")]:
        assert not re.findall(r"(?:src|href)=\"(?:https?:)?//[^\"]+", each.read_text())


def test_jobs_are_read_with_their_times_and_memory(page):
    jobs = read_jobs(page.parents[1] / "benchmarks")
    assert [(j.rule, j.start - 1e9, j.end - 1e9, j.memory_mb) for j in jobs] == [
        ("references", -2, 0, 0),
        ("detector1", -1, 2, 100),
        ("detector1", 0, 4, 200),
        ("image2", 1, 6, 300),
    ]
    rows = {row["rule"]: row for row in summarize(jobs)}
    assert rows["detector1"]["count"] == 2
    assert rows["detector1"]["total"] == 7
    assert rows["detector1"]["memory"] == 200
    # all three overlap from 1 to 2
    assert max(mb for _, mb in memory_steps(jobs)) == 600
    drawn = timeline(jobs)
    assert drawn.count("<title>") == 4
    assert "4 jobs over 8 s" in drawn


def test_a_run_of_another_day_is_not_in_the_timeline(page):
    jobs = read_jobs(page.parents[1] / "benchmarks")
    later = [type(j)(j.rule, j.name, j.end + 90000, j.seconds, j.memory_mb, j.cpu_s) for j in jobs[2:]]
    assert last_run(jobs + later) == later
    assert last_run([]) == []
    assert timeline([]) == ""


def test_plots_survive_nothing_and_what_is_not_a_number():
    assert dots({}, label="x") == ""
    assert dots({"a": [(0, float("nan"), "p")]}, label="x") == ""
    drawn = dots({"a": [(0, 1.0, "p<q>"), (1, float("nan"), "r")]}, label="x", line=1.0)
    assert drawn.count("<title>") == 1
    assert "p&lt;q&gt;" in drawn


def test_versions_that_are_part_of_others_are_said_once():
    runs = [{"jwstsm": "1", "numpy": "2"}, {"jwstsm": "1"}, {"jwstsm": "2"}]
    assert summary.software([{"runs": [{"software": s} for s in runs]}]) == ["jwstsm 1, numpy 2", "jwstsm 2"]


PROBE = """
<script>
window.trouble = [];
addEventListener("error", e => trouble.push(e.message));
</script>
"""
ASK = """
<script>
addEventListener("load", () => {
  const say = {width: innerWidth, needs: document.documentElement.scrollWidth, trouble: window.trouble};
  const pictures = [...document.querySelectorAll("main img")];
  pictures.forEach(i => i.loading = "eager");
  Promise.all(pictures.map(i => i.decode().catch(() => 0))).then(() => {
    say.pictures = pictures.length;
    say.drawn = pictures.filter(i => i.naturalWidth > 0).length;
    pictures[0].click();
    setTimeout(() => {
      const view = document.querySelector("dialog");
      say.open = view.open;
      say.first = +view.dataset.scale;
      const turn = new WheelEvent("wheel", {deltaY: -400, clientX: 50, clientY: 50, cancelable: true});
      view.querySelector("img").dispatchEvent(turn);
      say.zoomed = +view.dataset.scale;
      view.querySelector("[data-do=out]").click(); view.querySelector("[data-do=out]").click();
      view.querySelector("[data-do=out]").click();
      say.back = +view.dataset.scale;
      view.querySelector("[data-do=close]").click();
      say.closed = !view.open;
      parent.postMessage(JSON.stringify(say), "*");
    }, 300);
  });
});
</script>
"""
HOST = """<!doctype html><iframe src="%s" width="%d" height="800" style="border:0"></iframe>
<script>addEventListener("message", e => { document.title = e.data; });</script>"""


def browse(page, width, tmp_path) -> dict:
    """Open a page in a frame of some width in a browser; return what it says of itself."""
    copy = page.with_name(f"probe-{page.name}")
    copy.write_text(page.read_text().replace("<head>", "<head>" + PROBE, 1).replace("</body>", ASK + "</body>", 1))
    host = tmp_path / "host.html"
    host.write_text(HOST % (copy.as_uri(), width))
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files"]
    command += [f"--user-data-dir={tmp_path / 'browser'}", "--virtual-time-budget=20000", "--timeout=20000", "--dump-dom"]
    title = None
    try:
        for _ in range(3):  # on a busy machine the browser's time may be up before the page has answered
            done = subprocess.run([*command, host.as_uri()], capture_output=True, text=True, timeout=120, check=False)
            if title := re.search(r"<title>(.*?)</title>", done.stdout):
                break
    finally:
        copy.unlink()
    assert title, done.stderr[-2000:]
    return json.loads(title[1].replace("&amp;", "&"))


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine: the report was not looked at in a browser")
@pytest.mark.parametrize("width", [390, 1200])
@pytest.mark.parametrize("which", ["index.html", "products"])
def test_in_a_browser_pictures_are_drawn_and_zoom_and_nothing_is_wider_than_the_window(page, width, which, tmp_path):
    each = page if which == "index.html" else next((page.parent / "products").glob("*i2d.html"))
    said = browse(each, width, tmp_path)
    assert said["trouble"] == []
    assert said["width"] == width
    assert said["needs"] <= width
    assert said["drawn"] == said["pictures"] == (5 if which == "index.html" else 1)
    assert said["open"]
    assert said["zoomed"] == pytest.approx(2.718 * said["first"], rel=1e-3)
    assert said["back"] == pytest.approx(said["first"])
    assert said["closed"]

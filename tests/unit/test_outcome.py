"""The last lines of a run name what failed, in one line each, with the cause."""

from __future__ import annotations

from jwstsm.core.progress import told
from jwstsm.outcome import cause, describe, failures, warnings_in

STAMP = "2026-01-01 10:00:00"


def block(rule, job, name):
    return (
        f"[Sat Jan  1 10:00:00 2026]\nError in rule {rule}:\n    message: None\n    jobid: {job}\n    input: a\n"
        f"    log: logs/{rule}/{name}.log (check log file(s) for error details)\n"
    )


def write(folder, rule, name, *lines):
    path = folder / "logs" / rule / f"{name}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


def test_each_failed_job_is_told_with_its_cause(tmp_path):
    write(tmp_path, "detector1", "jw1", f"{STAMP} INFO    dq_init", f"{STAMP} ERROR   jw1_uncal.fits: is truncated")
    text = "Finished jobid: 1 (Rule: associations)\n" + block("detector1", 4, "jw1")
    (found,) = failures(text, tmp_path)
    assert (found.rule, found.subject, found.cause) == ("detector1", "jw1", "jw1_uncal.fits: is truncated")
    said = describe(text, False, 1, tmp_path)
    assert "1 job failed, 1 were done" in said
    assert "detector1 jw1: jw1_uncal.fits: is truncated" in said
    assert "log: logs/detector1/jw1.log" in said


def test_a_job_that_succeeded_at_another_attempt_is_no_failure(tmp_path):
    text = block("detector1", 4, "jw1") + block("image2", 5, "jw1") + "Finished jobid: 4 (Rule: detector1)\n"
    assert [f.rule for f in failures(text, tmp_path)] == ["image2"]


def test_a_job_that_failed_twice_is_told_once(tmp_path):
    assert len(failures(block("detector1", 4, "jw1") * 2, tmp_path)) == 1


def test_causes(tmp_path):
    unexpected = write(
        tmp_path,
        "x",
        "a",
        f"{STAMP} ERROR   unexpected error in rule x",
        "Traceback (most recent call last):",
        "KeyError: 'Q'",
    )
    assert cause(unexpected) == "KeyError: 'Q' (unexpected; the log has the details)"
    several = write(tmp_path, "x", "b", f"{STAMP} ERROR   references are missing or wrong:", "  a: dark", "  b: flat")
    assert cause(several) == "references are missing or wrong:\n    a: dark\n    b: flat"
    silent = write(tmp_path, "x", "c", f"{STAMP} INFO    jump COMPLETE")
    assert "killed, or out of memory" in cause(silent)
    assert "killed, or out of memory" in cause(tmp_path / "absent.log")
    bare = write(tmp_path, "x", "d", "Traceback (most recent call last):", '  File "x"', "ImportError: no module")
    assert cause(bare) == "ImportError: no module"


def test_many_failures_are_counted(tmp_path):
    text = "".join(block("detector1", i, f"jw{i}") for i in range(33))
    said = describe(text, False, 1, tmp_path)
    assert "33 jobs failed" in said
    assert "... and 13 more" in said


def test_warnings_are_counted_over_the_logs_of_this_run(tmp_path):
    for i in range(3):
        write(tmp_path, "tweakreg", f"t{i}", f"{STAMP} WARNING jw01234001001_02101_0000{i}_nrcb1_cal.fits: few sources")
    assert warnings_in(tmp_path, 0) == {"<file>: few sources": 3}
    assert warnings_in(tmp_path, 4e9) == {}
    assert "warning in 3 logs: <file>: few sources" in describe("", True, 3, tmp_path)


def test_a_run_that_ended_well_names_the_report(tmp_path):
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "index.html").write_text("")
    page = tmp_path / "report" / "index.html"
    said = describe("Finished jobid: 0 (Rule: all)\n", True, 12, tmp_path, page=page)
    assert "all is done: 12 exposures; 1 jobs" in said
    assert said.endswith(f"report: {tmp_path}/report/index.html\n")


def test_a_long_loop_says_how_far_it_is_and_a_short_one_nothing(caplog):
    times = iter(range(0, 1000, 8))
    with caplog.at_level("INFO", logger="jwstsm.core.progress"):
        assert list(told(range(8), "tiles", clock=lambda: next(times))) == list(range(8))
        assert [r.getMessage() for r in caplog.records] == [
            "tiles: 2 of 8, about 72 s to go",
            "tiles: 5 of 8, about 29 s to go",
        ]
        caplog.clear()
        list(told(range(8), "tiles"))
        assert not caplog.records

"""`twinclock report`."""

import json

import pytest


@pytest.fixture
def simulated(here, scenario, run):
    assert run("simulate", scenario(), "--out", "simulated").exit_code == 0
    return "simulated"


def test_report_writes_the_page_of_a_run(here, run, simulated):
    result = run("report", simulated)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith(("Throughput ", "Exchange rate "))
    assert "\nwrote report/report.html\n" in result.stdout
    assert (here / "report/report.html").is_file()


def test_report_as_json(here, run, simulated):
    found = json.loads(run("report", simulated, "--out", "new/page", "--json").stdout)
    assert found["files"][0] == "new/page/report.html"
    assert found["caveats"] == []


def test_what_is_no_run_is_refused(here, run):
    (here / "nothing").mkdir()
    result = run("report", "nothing")
    assert result.exit_code == 2
    assert result.stderr.startswith("twinclock: nothing/run.json: expected a JSON file, found nothing")
    assert not (here / "report").exists()


@pytest.mark.parametrize("command", [("report", "simulated"), ("compare", "simulated", "simulated", "--force")])
def test_a_page_of_somebody_elses_is_kept(here, run, simulated, command):
    (here / "mine").mkdir()
    (here / "mine" / "report.html").write_text("mine")
    (here / "mine" / "summary.csv").write_text("mine")
    result = run(*command, "--out", "mine")
    assert result.exit_code == 2
    assert "report.html: expected no file, or an earlier report's, found something else" in result.stderr
    assert sorted((each.name, each.read_text()) for each in (here / "mine").iterdir()) == [
        ("report.html", "mine"),
        ("summary.csv", "mine"),
    ]

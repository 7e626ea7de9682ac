"""What the tables [[job]] say, and what is wrong with them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from executor import execute
from schedules.scenario import ScenarioError, load
from simulator import simulate, simulate_jobs
from simulator.jobs.merging import laid_over
from simulator.jobs.tables import has_jobs, load_jobs
from simulator.sweep import plan

NETWORK = {"kind": "racks", "hosts_per_rack": 2, "bandwidth": "10 Gbit/s"}


def tables() -> dict[str, Any]:
    return {
        "schedule": {"program": "gossip", "gradients": 3, "rate": 1.0},
        "topology": {"graph": "complete"},
        "platform": {"gradient": {"mean": "100 ms"}, "network": dict(NETWORK)},
        "workload": {"parameters": 1000, "batch_size": 8},
        "run": {"seed": 7},
        "job": [{"name": "a", "ranks": [0, 2]}, {"name": "b", "ranks": [1, 3], "start": "200 ms"}],
    }


def changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    found = tables()
    change(found)
    return found


# ---- what they say


def test_a_job_has_what_the_file_says_and_its_own_over_it() -> None:
    own = {"schedule": {"rate": 2.0}, "run": {"seed": 8}, "workload": {"problem": "quadratic"}}
    a, b = load_jobs(changed(lambda found: found["job"][1].update(own)))
    assert (a.scenario.schedule.rate, a.scenario.run.seed, a.scenario.workload.parameters) == (1.0, 7, 1000)
    assert (b.scenario.schedule.rate, b.scenario.schedule.gradients, b.scenario.run.seed) == (2.0, 3, 8)
    assert (b.scenario.workload.parameters, b.scenario.workload.batch_size) == (None, 8)
    assert [(each.name, each.start_s, each.ranks) for each in (a, b)] == [("a", 0.0, (0, 2)), ("b", 0.2, (1, 3))]
    assert [each.scenario.topology.workers for each in (a, b)] == [2, 2]
    assert a.scenario.platform.network is not None
    assert a.scenario.platform.network.hosts == 4  # as many as there are ranks, of all jobs


def test_another_program_takes_no_keys_of_the_first() -> None:
    own = {"schedule": {"program": "all-reduce", "gradients": 2}}
    _, b = load_jobs(changed(lambda found: found["job"][1].update(own)))
    assert (b.scenario.program, b.scenario.schedule.gradients) == ("all-reduce", 2)


def test_what_is_laid_over_another_choice() -> None:
    below = {"topology": {"graph": "torus", "rows": 2, "weights": "neighbour", "workers": 4}}
    assert laid_over(below, {"topology": {"graph": "ring"}}) == {
        "topology": {"graph": "ring", "weights": "neighbour", "workers": 4}
    }
    assert laid_over(below, {"topology": {"graph": "torus"}}) == below
    assert laid_over(below, {"run": {"seed": 1}}) == below | {"run": {"seed": 1}}


OTHER = """
[schedule]
program = "d-psgd"
gradients = 4
[topology]
file = "pair.json"
[platform.network]
kind = "torus"
[run]
seed = 3
[sweep]
"run.seed" = [1, 2]
"""


def test_a_job_may_be_another_file_whose_files_lie_beside_it(tmp_path: Path) -> None:
    """Its network and its sweep are left out; the job's own tables are over it."""
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "other.toml").write_text(OTHER)
    pair = '{"directed": false, "multigraph": false, "graph": {}, "nodes": [{"id": 0}, {"id": 1}], "edges": '
    (tmp_path / "there" / "pair.json").write_text(pair + '[{"source": 0, "target": 1}]}')
    file = tmp_path / "jobs.toml"
    file.write_text(
        '[platform]\ngradient = { mean = "1 ms" }\nnetwork = { kind = "racks", hosts = 4 }\n'
        "[workload]\nparameters = 9\n"
        '[[job]]\nname = "a"\nranks = [0, 1]\nscenario = "there/other.toml"\nschedule = { gradients = 5 }\n'
    )
    (a,) = load_jobs(file)
    assert (a.scenario.program, a.scenario.schedule.gradients, a.scenario.run.seed) == ("d-psgd", 5, 3)
    assert (a.scenario.topology.file, a.scenario.workload.parameters) == (str(tmp_path / "there" / "pair.json"), 9)
    assert a.scenario.platform.network is not None
    assert a.scenario.platform.network.kind == "racks"


def test_hosts_may_be_named_by_their_labels() -> None:
    a, _ = load_jobs(changed(lambda found: found["job"][0].update(ranks=["host 0", 2])))
    assert a.ranks == ("host 0", 2)
    assert a.scenario.platform.network is not None
    assert a.scenario.platform.network.placement == [0, 2]


def test_a_change_is_of_all_jobs_or_of_one() -> None:
    overrides = {"schedule.rate": 3.0, "job.b.schedule.rate": 4.0, "job.b.start": "1 s", "job.a.ranks": [0, 3]}
    a, b = load_jobs(changed(lambda found: found["job"][1].update(ranks=[1, 2])), overrides)
    assert (a.scenario.schedule.rate, b.scenario.schedule.rate) == (3.0, 4.0)
    assert (a.start_s, b.start_s, a.ranks) == (0.0, 1.0, (0, 3))


def test_the_callers_tables_stay_as_they_are() -> None:
    said = tables()
    kept = copy.deepcopy(said)
    load_jobs(said, {"schedule.rate": 3.0, "job.b.start": 1})
    assert said == kept


def test_whether_there_are_any() -> None:
    assert has_jobs(tables())
    assert not has_jobs({key: table for key, table in tables().items() if key != "job"})


# ---- what is kept


def test_a_run_says_beside_whom_it_was(tmp_path: Path) -> None:
    found = simulate_jobs(tables())
    assert found["b"].together.info["job"] == {"name": "b", "start_s": 0.2, "beside": ["a"]}
    written = [path.relative_to(tmp_path).as_posix() for path in found.save(tmp_path)]
    assert written == ["a", "b", "jobs.json", "jobs.csv"]
    assert len(found) == 2
    assert found.table()["job"].tolist() == ["a", "b"]
    assert repr(found).startswith("<2 jobs on one network: a +")
    assert "makespan_together_s" in found._repr_html_()


# ---- what is wrong


def job(**values: Any) -> Callable[[dict[str, Any]], object]:
    return lambda found: found["job"][1].update(values)


def network(**values: Any) -> Callable[[dict[str, Any]], object]:
    return lambda found: found["platform"]["network"].update(values)


WRONG: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (lambda found: found.update(job=[]), "scenario: job: expected tables [[job]], found none"),
    (lambda found: found.update(job={"name": "a"}), "scenario: job: expected tables [[job]], found a table"),
    (lambda found: found.update(job=["a"]), "scenario: job 1: expected a table [[job]], found 'a'"),
    (
        lambda found: found["job"][1].pop("name"),
        "scenario: job 2: name: expected text of letters, digits, - and _ (a directory is called so), found none",
    ),
    (
        job(name="../b"),
        "scenario: job 2: name: expected text of letters, digits, - and _ (a directory is called so), found '../b'",
    ),
    (job(name="A"), "scenario: job 2: name: expected another one than 'a', found 'A'"),
    (
        job(rank=[1]),
        "scenario: job b: unknown key rank (did you mean ranks?); accepted: name, ranks, start, scenario, schedule, "
        "topology, platform, workload, optimizer, run, execution",
    ),
    (job(run=3), "scenario: job b: run: expected a table [job.run], found 3"),
    (
        lambda found: found["job"][1].pop("ranks"),
        "scenario: job b: ranks: expected a list of hosts of [platform.network], a rank each, found none",
    ),
    (
        job(ranks=[]),
        "scenario: job b: ranks: expected a list of hosts of [platform.network], a rank each, found []",
    ),
    (
        job(ranks=2),
        "scenario: job b: ranks: expected a list of hosts of [platform.network], a rank each, found 2",
    ),
    (job(ranks=[1, 9]), "scenario: job b: ranks: expected hosts of the network (0, 1, 2, 3), found 9"),
    (
        job(ranks=[1, "host 33"]),
        "scenario: job b: ranks: expected hosts of the network (0, 1, 2, 3), found 'host 33'",
    ),
    (
        job(ranks=[1, 2]),
        "scenario: job b: ranks: expected hosts that no other job has, found 2, which job a has",
    ),
    (
        job(ranks=[1, "host 2"]),
        "scenario: job b: ranks: expected hosts that no other job has, found 'host 2', which job a has",
    ),
    (
        job(topology={"workers": 3}),
        "scenario: job b: ranks: expected 3, as topology.workers says, found 2",
    ),
    (job(start=-1), "scenario: job b: start: expected a time from 0 to 1e+09 s, found -1"),
    (job(start="-5 ms"), "scenario: job b: start: expected a time from 0 to 1e+09 s, found '-5 ms'"),
    (job(start=1e300), "scenario: job b: start: expected at most 1e+09 second, found 1e+300"),
    (job(scenario=3), "scenario: job b: scenario: expected the name of a file, found 3"),
    (
        job(scenario="none.toml"),
        "scenario: job b: scenario: none.toml: expected a scenario file, found none (No such file or directory)",
    ),
    (
        job(platform={"network": {"kind": "fabric"}}),
        "scenario: job b: platform.network: expected none, as all jobs share the [platform.network] of the file, found "
        "a table",
    ),
    (
        job(platform={"transport": "none"}),
        "scenario: job b: platform.transport: expected one under which links are as under 'ideal' (job a), found "
        "'none'",
    ),
    (
        job(platform={"collectives": {"form": "closed"}}),
        "scenario: job b: platform.collectives.form: expected 'flows', as formulas share no links with other jobs, "
        "found 'closed'",
    ),
    (
        job(run={"until": "precision"}),
        "scenario: job b: run.until: expected 'end', 'gradients' or 'time' of a job, found 'precision'",
    ),
    (job(schedule={"rates": 1}), "scenario: job b: schedule.rates: unknown key (did you mean rate?); accepted: "),
    (
        lambda found: found["platform"].pop("network"),
        "scenario: platform.network: expected a table, the physical network that all jobs are on, found none",
    ),
    (
        lambda found: found.pop("platform"),
        "scenario: platform.network: expected a table, the physical network that all jobs are on, found none",
    ),
    (
        network(kind="dedicated"),
        "scenario: platform.network.kind: expected a network whose links jobs can share, found 'dedicated'",
    ),
    (
        network(placement=[0, 1]),
        "scenario: platform.network.placement: expected none beside [[job]], where job.ranks says who is where, found "
        "[0, 1]",
    ),
    (network(hosts=1), "scenario: job a: ranks: expected hosts of the network (0), found 2"),
    (
        lambda found: found.update(sweep={"run.seed": [1]}),
        "scenario: sweep: expected none beside [[job]], found a table [sweep]",
    ),
    (lambda found: found.pop("workload"), "scenario: job a: expected a table [workload], found none"),
    (lambda found: found.update(jobs=[]), "scenario: job a: unknown table [jobs]"),
]


@pytest.mark.parametrize(("change", "told"), WRONG, ids=[told[10:60] for _, told in WRONG])
def test_one_clear_line_says_what_is_wrong(change: Callable[[dict[str, Any]], object], told: str) -> None:
    with pytest.raises(ScenarioError) as error:
        load_jobs(changed(change))
    assert str(error.value).startswith(told)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("job.c.start", "scenario: job.c.start: expected job.NAME.KEY of a, b, found 'c'"),
        ("job.a", "scenario: job.a: expected job.NAME.KEY of a, b, found 'a'"),
        ("job", "scenario: job: expected job.NAME.KEY of a, b, found ''"),
        ("job.a.platform.network.hosts", "scenario: job a: platform.network: expected none, as all jobs share"),
        ("job.a.seed", "scenario: job a: expected a dotted key such as schedule.rate, found 'seed'"),
    ],
)
def test_a_change_of_no_job_is_refused(key: str, told: str) -> None:
    with pytest.raises(ScenarioError) as error:
        load_jobs(tables(), {key: 1})
    assert str(error.value).startswith(told)


def test_a_file_of_jobs_is_no_scenario_of_one() -> None:
    told = "scenario: job: expected one scenario, found [[job]] tables: `twinclock simulate` "
    for refused in (load, simulate, execute):
        with pytest.raises(ScenarioError) as error:
            refused(tables())
        assert str(error.value).startswith(told)
    with pytest.raises(ScenarioError, match=r"job: expected one scenario, found \[\[job\]\] tables"):
        plan(tables() | {"sweep": {"run.seed": [1, 2]}})


def test_a_job_may_be_no_file_of_jobs(tmp_path: Path) -> None:
    inner = tmp_path / "inner.toml"
    inner.write_text('[[job]]\nname = "x"\n')
    with pytest.raises(ScenarioError, match=r"job b: scenario: expected a file of one scenario, found \[\[job\]\]"):
        load_jobs(changed(job(scenario=str(inner))))

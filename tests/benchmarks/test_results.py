"""Time until a quality: by a clock of the test's own, with competitors that are equal, and after an interruption."""

import json

import pytest
import torch
from torch.nn.functional import softplus

from bayesgan.benchmarks import results
from bayesgan.benchmarks.competitors import Competitor, obvious_loop, this_project
from bayesgan.benchmarks.plain import PlainGAN
from bayesgan.benchmarks.results import OURS, TASKS, Settings, Task, Way, against, in_words, race
from bayesgan.data import labelled_rows
from bayesgan.house import main
from bayesgan.options import load_data, resolve

SMALL = {"engine": "loop", "num_gen": 2, "num_mcmc": 1, "df_dim": 4, "num_layers": 2}


def test_seconds_are_those_of_training_until_the_goal(monkeypatch):
    """Each iteration takes a second and betters the quality by 1 or 2; measuring takes 100 seconds, selecting 5."""
    now = [0.0]
    monkeypatch.setattr("bayesgan.benchmarks.results.time.perf_counter", lambda: now[0])

    def wait(seconds):
        now[0] += seconds

    def way(pace, selecting=0):
        done = []
        competitor = Competitor(lambda: (wait(1), done.append(pace)), [], lambda data: None, 1)
        return Way({}, lambda options, data: (wait(3), competitor)[1],
                   lambda competitor, data, seed: (wait(selecting), torch.tensor(sum(done)))[1])

    task = Task({}, False, "points", (6, 10), True, None, {OURS: way(2), "slow": way(1), "selects": way(1, 5)})
    options = dict.fromkeys(task.ways, resolve({})[0])
    settings = Settings(limit=10, points=5)  # turns of two seconds
    rows = race(task, options, None, lambda competitor, samples: (wait(100), float(samples))[1], settings)
    assert rows[OURS]["reached"] == [7, 9] and rows[OURS]["seconds"] == [5, 7, 9]  # 3 to build, 2 points a second
    assert rows["slow"]["reached"] == [9, None] and rows["slow"]["quality"] == [2, 4, 6, 8]
    assert rows["selects"]["reached"] == [14, None] and rows["selects"]["spent"] == 11  # the limit is of training
    assert against(rows["slow"]["reached"][:1], [7], 10) == "1.3" and against([None], [8.0], 10) == "> 1.2"
    assert against([4.0], [None], 10) == "" and in_words([None, None], 10) == "not reached in 10 s"
    assert in_words([4.0, None], 10) == "4, 1 of 2 seeds"


def test_competitors_start_from_the_same_networks():
    options, _ = resolve({"dataset": "synthetic", **SMALL, "num_disc": 3})
    data, latent = load_data(options), torch.randn(5, options.z_dim)
    ours, loop = (build(options, data) for build in (this_project, obvious_loop))
    for one, other in zip(ours.generators, loop.generators, strict=True):
        assert (one(latent) - other(latent)).abs().max() < 1e-5
    assert (ours.logits(data.train[:7]) - loop.logits(data.train[:7])).abs().max() < 1e-5
    assert ours.scores(data.train[:7]).shape == (7, 3)


@pytest.mark.parametrize("semi", [False, True])
def test_the_plain_gans_first_step_is_adams(semi):
    """It moves the discriminator by lr against the sign of the gradient of Salimans et al. 2016's loss."""
    given = {"dataset": "digits", "network": "mlp", "df_dim": 8, "num_layers": 2, "num_gen": 1, "num_mcmc": 1}
    few = {"N": 20, "num_disc": 1, "noise": 0.0, "dropout": 0.0, "consistency": 0.0, "spread_labels": 0}
    options, _ = resolve(given | (few if semi else {}), semi)
    data = load_data(options)
    gan, twin = PlainGAN(options, data, lr=0.01), PlainGAN(options, data, lr=0.01)
    gan.step()
    real = data.train[torch.randint(len(data.train), (options.batch_size,), generator=twin.source)].float() / 127.5 - 1
    fake = twin.generator(torch.randn(options.gen_batch, options.z_dim, generator=twin.source)).detach()
    of_real, of_fake = (twin.discriminator(images)[0] for images in (real, fake))
    loss = softplus(-of_real.logsumexp(1)).mean() + softplus(of_fake.logsumexp(1)).mean()
    if semi:
        rows = labelled_rows(data)[torch.randint(20, (options.label_batch,), generator=twin.source)]
        logits, _ = twin.discriminator(data.train[rows].float() / 127.5 - 1)
        loss = loss - logits.log_softmax(1).gather(1, data.train_labels[rows][:, None]).mean()
    loss.backward()
    for own, moved in zip(twin.discriminator.parameters(), gan.discriminator.parameters(), strict=True):
        sure = own.grad.abs() > 1e-5
        assert (moved - own + 0.01 * own.grad.sign())[sure].abs().max() < 1e-4


@pytest.fixture
def small(monkeypatch):
    for name in ("synthetic", "gaussians25", "digits"):
        monkeypatch.setitem(TASKS, name, TASKS[name]._replace(flags={**TASKS[name].flags, **SMALL}))
    monkeypatch.setitem(TASKS, "digits", TASKS["digits"]._replace(quality=lambda data: lambda competitor, images: 7.5))
    for name, value in {"SAMPLES": 100, "FITTED": 200, "BUDGET": 5}.items():
        monkeypatch.setattr(f"bayesgan.benchmarks.qualities.{name}", value)


def test_every_task_is_raced_and_drawn(small, tmp_path, capsys):
    line = ["benchmark", "results", "--limit", "0.05", "--points", "2", "--out_dir", str(tmp_path)]
    assert main(line) == 0, capsys.readouterr().err
    content = json.loads((tmp_path / "results.json").read_text())
    assert [cell["made_of"]["task"] for cell in content["cells"]] == ["synthetic", "gaussians25", "digits"]
    for cell in content["cells"]:
        assert [*cell["rows"]] == [*TASKS[cell["made_of"]["task"]].ways]
        assert all(row["iterations"] > 0 and row["seconds"] for row in cell["rows"].values())
    table = capsys.readouterr().out
    assert table.count("not reached in 0.05 s") >= 3 and "| digits" in table
    assert (tmp_path / "results.png").read_bytes().startswith(b"\x89PNG")


def test_an_interrupted_benchmark_keeps_what_is_finished(small, tmp_path, monkeypatch, capsys):
    raced = []

    def one_race(task, options, data, measure, settings):
        raced.append(task.unit)
        if len(raced) == 2:
            raise KeyboardInterrupt
        row = {"seconds": [1.0], "quality": [10.0], "iterations": 1, "spent": 1.0, "reached": [1.0] * len(task.goals)}
        return dict.fromkeys(task.ways, row)

    monkeypatch.setattr(results, "race", one_race)
    line = ["benchmark", "results", "--tasks", "synthetic", "digits", "--out_dir", str(tmp_path)]
    assert main(line) == 130
    assert main(line) == 0 and raced == ["clusters of 10", "class score", "class score"]
    assert main([*line, "--limit", "50"]) == 0 and len(raced) == 5  # another limit is another result
    assert len(json.loads((tmp_path / "results.json").read_text())["cells"]) == 4
    (tmp_path / "results.json").write_text("{")
    capsys.readouterr()
    assert main(line) == 2 and "results.json is damaged" in capsys.readouterr().err

"""Does resampling help real images? Coverage, class score, Frechet distance and a two-sample test, before and after."""

from dataclasses import dataclass, replace
from pathlib import Path

from bayesgan.basics.devices import device_name
from bayesgan.basics.errors import InputError
from bayesgan.commands.resample import posterior_resampler
from bayesgan.data import DATA_SETS
from bayesgan.experiments.cells import Cells
from bayesgan.experiments.image_table import compare, report
from bayesgan.experiments.registry import EXPERIMENTS, Experiment, Report
from bayesgan.experiments.runs import device_of, trained
from bayesgan.options import load_data, option, resolve
from bayesgan.resampling import RATIOS, RULES
from bayesgan.store.run_folder import RunFolder

__all__ = ["Settings", "run"]

RUN = {"num_gen": 5, "num_mcmc": 1, "df_dim": 32, "z_dim": 64, "batch_size": 32, "keep": 3, "n_save": 1000}


@dataclass(frozen=True)
class Settings:
    run: Path | None = option(None, "an existing run on labelled images (default: one is trained)")
    dataset: str = option("mnist", "any labelled image set", choices=DATA_SETS)
    data_path: Path = option(Path("datasets"), "where the data is")
    train_iter: int = option(2500, "iterations of the run", least=1)
    samples: int = option(2000, "images behind each score", least=100)
    budget: int = option(20, "proposals an image", least=1)
    draws: int | None = option(None, "only so many of the run's newest draws (default: all)", least=1)
    methods: tuple[str, ...] = option(("obrs", "mh"), "selection rules", choices=RULES)
    ratios: tuple[str, ...] = option(("score", "auto"), "density ratios", choices=(*RATIOS, "auto"))
    refit_steps: int = option(0, "minibatches by which the discriminators are trained on first", least=0)
    judge_steps: int = option(1500, "training of the judging classifier", least=1)


def run(settings: Settings, cells: Cells) -> Report:
    """Trains what is missing, resamples with every ratio and rule, and has all judged."""
    given = {**RUN, "dataset": settings.dataset, "data_path": settings.data_path, "train_iter": settings.train_iter}
    options = resolve(given)[0] if settings.run is None else RunFolder.open(settings.run).options()
    # with all labels, also those that a semi-supervised run never read: the judge is not part of the run
    data = load_data(replace(options, N=None))
    if not data.is_images or data.test_labels is None:
        raise InputError(f"--dataset must be labelled images, {data.name} is not; for example mnist")
    folder = settings.run or trained(cells.folder / "run", given)
    cells.note_device(device_of(RunFolder.open(folder)))
    cells.note_device(device_name("cpu"))  # of the resampling and the scores
    sets = {}
    for ratio in settings.ratios:
        one = posterior_resampler(folder, settings.methods[0], settings.budget, ratio=ratio, draws=settings.draws,
                                  refit_steps=settings.refit_steps)
        if one.expected is not None:
            print(one.expected.words, flush=True)
        if "posterior" not in sets:
            sets["posterior"] = (one if one.plain else one.with_method("obrs", 1)).sample(settings.samples, seed=1)
        for method in settings.methods:
            chosen = one if one.plain else one.with_method(method)
            sets[f"{method}, {ratio}"] = after = chosen.sample(settings.samples, seed=1)
    pictures = {"before": sets["posterior"][:100], "after": after[:100]}
    return report([compare(sets, data, settings.judge_steps)], pictures)


EXPERIMENTS.register("mnist_resampling")(Experiment(Settings, run, __doc__))

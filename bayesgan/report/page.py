"""The page of one run, or of several side by side: what `python -m bayesgan report` writes."""

import math
import shlex
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from bayesgan.basics.errors import InputError
from bayesgan.basics.tables import several
from bayesgan.data import Dataset, some, to_float
from bayesgan.options import GROUPS, ROLES
from bayesgan.report.drawings import grid, lines, picture_file, row_pairs
from bayesgan.report.mixing import mixing, traces
from bayesgan.report.story import Story, command_of, read_any, told
from bayesgan.report.templates import template
from bayesgan.sampler import exponential_then_constant, ramp
from bayesgan.store import Posterior
from bayesgan.store.results import CLASSIFIERS, Curve, best_errors, error_curves

__all__ = ["page"]

SHOWN = 10  # members, and images of each
COMPARED = 5000  # real images that a nearest one is looked for among
NEAR = 256  # samples, and test images, whose distances to them are compared


@dataclass
class Section:
    """A headline with what stands under it.

    Attributes:
        words: Paragraphs.
        figures: Caption, data URI; a figure that could not be drawn is left out.
        table: Rows of column -> text.
        lines: What a user may copy.
    """

    title: str
    words: list[str] = field(default_factory=list)
    figures: list[tuple[str, str]] = field(default_factory=list)
    table: list[dict[str, str]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)


def page(paths: list[Path], device: torch.device | str = "cpu", data_path: Path | None = None) -> str:
    """HTML that needs no other file.

    Args:
        data_path: Where the data of the runs is now, if it has moved.

    Raises:
        ValueError: If one of them is no run, or of other data than the first.
    """
    stories = [told(path) for path in {path.resolve(): path for path in paths}.values()]
    names = [story.name for story in stories]
    for story in stories:
        if names.count(story.name) > 1:
            story.name = str(story.folder.path)
    shapes = [story.folder.config["data"]["shape"] for story in stories]
    for story, shape in zip(stories, shapes):
        if shape != shapes[0]:
            raise InputError(f"runs of one kind of data can be compared, {stories[0].name} has shape {shapes[0]} and "
                             f"{story.name} {shape}; report them one by one")
    sections = [comparison(stories)] if len(stories) > 1 else []
    chapters = [(story, of_run(story, device, data_path)) for story in stories]
    title = ", ".join(story.name for story in stories)
    return template("page.html").render(title=title, sections=sections, chapters=chapters)


def of_run(story: Story, device: torch.device | str, data_path: Path | None) -> list[Section]:
    """Every section of one run that there is something to say in."""
    data = story.attempt("the data", lambda: story.folder.load_data(data_path))
    posterior = story.attempt("the posterior", lambda: Posterior(story.folder, device))
    whole = not story.folder.exported
    options = story.folder.options()
    made = [what_was_run(story), progress(story) if whole else None]
    if options.generators:
        made.append(samples(story, posterior, data))
    if posterior is not None:
        made.append(at_work(story, posterior, data))
    if options.semi and whole:
        made.append(as_classifier(story, posterior, data))
    if options.generators and whole:
        made.append(scores(story, posterior))
    return [section for section in made if section is not None]


def what_was_run(story: Story) -> Section:
    options, config = story.folder.options(), story.folder.config
    data, versions = config["data"], config.get("versions") or {}
    kind = f"{several(options.generators, 'generator')} and {several(options.discriminators, 'discriminator')}"
    software = [f"{name} {version}" for name, version in versions.items()]
    labels = f" with {options.N} labels" if options.semi else ""
    script = command_of(options.semi)
    return Section(
        "What was run",
        [f"{options.dataset}{labels}: {data['train']} training data of shape {'x'.join(map(str, data['shape']))}; "
         f"{kind}; {story.done} of {options.train_iter} iterations"
         + (f", {story.minutes} minutes" if story.minutes else "" if story.seconds is None
            else f", {story.seconds / 60:.1f} minutes for the last command")
         + "; on " + ", ".join([config.get("device", "an unknown device"), *software,
                                f"commit {(config.get('git_commit') or 'unknown')[:12]}"]) + "."],
        lines=[f"{script} {shlex.join(one['command'])}    # {one['started']}" for one in config["commands"]]
        + ["", "# what is not a default", *story.settings],
    )


def progress(story: Story) -> Section:
    """Losses, errors, temperature and step size over the iterations."""
    options, results = story.folder.options(), story.results
    if not results:
        return Section("How it went", ["Nothing has been saved yet."])
    end = max(options.train_iter, 1)
    when = sorted({*(round(end * at / 200) for at in range(201)), options.burn_in, options.burn_in + options.ramp})
    temperature = ramp(options.temperature, options.burn_in, options.ramp)
    warmth = {"nominal": [(step, temperature(step)) for step in when]} | {
        f"kinetic, {group}": kinetic for group in GROUPS if (kinetic := kinetic_curve(results, group))
    }
    rates = {group: exponential_then_constant(options.lr_of(role), options.lr_decay, options.burn_in)
             for role, group in zip(ROLES, GROUPS) if getattr(options, group)}
    steps = {group: [(step, rate(step)) for step in when] for group, rate in rates.items()}
    pictures = [lines(loss_curves(story), "mean loss"), lines(warmth, "temperature"),
                lines(steps, "learning rate", from_zero=True)]
    if both := seen_and_new(results):
        pictures.append(lines(both, "discriminators' loss"))
    if errors := error_curves(results):
        pictures.append(lines(errors, "errors on all test data", from_zero=True))
    words = [] if options.ml or options.temperature == 0 else [
        "Losses that stay put are what a sampler should show: it does not optimise once burn-in is over."]
    if both:
        words.append("A discriminators' loss that is lower on training than on test data tells of data known by heart.")
    if options.temperature > 0:
        words.append("The kinetic temperature is read off the momenta. It should be the nominal one; where it is "
                     "higher, gradient noise heats the chain and the posterior is a broader one than asked for.")
    return Section("How it went", words, [("", picture) for picture in pictures])


def loss_curves(story: Story) -> dict[str, Curve]:
    """Of both groups, from the events, or from the results where these are gone."""
    keys = {"generators": "gen_losses", "discriminators": "disc_losses"}
    curves = {group: story.curves.get(f"loss/{group}") or [
        (one["iteration"], sum(one[key]) / len(one[key])) for one in story.results if one[key]
    ] for group, key in keys.items()}
    return {group: curve for group, curve in curves.items() if curve}


def seen_and_new(results: list[dict]) -> dict[str, Curve]:
    """The discriminators' loss on training and on test data, without anything random."""
    return {f"on {part} data": curve for part in ("train", "test") if (curve := [
        (one["iteration"], sum(losses) / len(losses)) for one in results if (losses := one.get(f"disc_losses_{part}"))
    ])}


def kinetic_curve(results: list[dict], group: str) -> Curve:
    found = [(one["iteration"], one.get("kinetic_temperature") or {}) for one in results]
    return [(iteration, values[group]["all"]) for iteration, values in found if group in values]


@torch.no_grad()
def samples(story: Story, posterior: Posterior | None, data: Dataset | None) -> Section:
    """What it makes: pictures of the run folder, the nearest training images, before and after resampling."""
    place = story.folder.path / "samples"
    kept = [("all that was collected", place / "posterior.png"),
            ("all that was collected", story.folder.path / "samples.png"),  # of an exported folder
            *((f"the mixture at iteration {int(path.stem[8:])}", path) for path in sorted(place.glob("mixture_*.png"))
              if path.stem[8:].isdecimal())]
    for folder in story.resampled:
        kept += [(f"{folder.name}, before", folder / "before.png"), (f"{folder.name}, after", folder / "after.png")]
    figures = [(caption, found) for caption, path in kept if (found := picture_file(path))]
    section = Section("Samples", [] if figures else ["There are no pictures yet."], figures)
    if posterior is not None and data is not None and data.is_images:
        made = posterior.sample(NEAR).cpu()
        real = to_float(some(data.train, COMPARED))
        distance, nearest = distances(made, real)
        held, _ = distances(to_float(some(data.test, NEAR)), real) if len(data.test) else (None, None)
        section.figures.append((f"{SHOWN} samples and, below, the nearest of {len(real)} training images",
                                row_pairs(made[:SHOWN], real[nearest[:SHOWN]])))
        if held is not None:
            section.words.append(
                f"Distance to the nearest of {len(real)} training images, median over {NEAR}: "
                f"{distance.median():.2f} for samples, {held.median():.2f} for test images. Samples much nearer than "
                "test images would be copies."
            )
    run = shlex.quote(str(story.folder.path))
    if posterior is not None and not story.resampled and not story.folder.exported:
        section.lines = [f"python -m bayesgan resample {run}    # samples corrected by the discriminators"]
    return section


def distances(images: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
    """Root mean square pixel difference to the nearest of `real`, and its row."""
    pixels = images.flatten(1)
    found, rows = torch.cdist(pixels, real.flatten(1)).min(1)
    return found / math.sqrt(pixels.shape[1]), rows


@torch.no_grad()
def at_work(story: Story, posterior: Posterior, data: Dataset | None) -> Section:
    """What differs between members and between draws."""
    options = story.folder.options()
    section = Section("What was collected" if options.ml else "The posterior at work", [
        f"{several(len(posterior.draws), 'draw')} of {several(options.generators, 'generator')} and "
        f"{several(options.discriminators, 'discriminator')}"
        + (": states late in training, no samples of a posterior." if options.ml else ".")
    ])
    if options.generators and len(posterior.shape) == 3:
        newest = next(iter(posterior.newest(1).each("generators")))
        latent = torch.randn(SHOWN, options.z_dim, generator=torch.Generator().manual_seed(0)).to(newest.device)
        rows = [newest.forward_member(member, latent).cpu() for member in range(min(SHOWN, newest.members))]
        section.figures.append(("one generator of the newest draw a row, the same noise in each column",
                                grid(torch.cat(rows), SHOWN)))
    if data is None:
        return section
    followed = traces(posterior, data)
    found = mixing(followed)
    section.table = [{
        "": group, "networks": str(values["networks"]), "independent (ESS)": f"{values['ess']:.0f}",
        **{f"R-hat, {name}": "they never change" if values[key] is None else f"{values[key]:.2f}"
           for name, key in (("median", "rhat"), ("worst", "rhat_max"))},
        "kinetic temperature": kinetic_words(story, group),
    } for group, values in found.items()]
    if found:
        section.words.append(
            "R-hat compares members, which are chains of their own: near 1 they visit the same functions, above 1.05 "
            "each stays in a place of its own, and the mixture over members covers more than any one does. ESS says "
            "how many independent networks all of them are worth.")
        for group, values in followed.items():
            series = values[:SHOWN, :, 0].tolist()
            each = {str(number): list(enumerate(values, 1)) for number, values in enumerate(series)}
            section.figures.append(("one function of the weights, a line a member",
                                    lines(each, group, "draw", legend=False)))
    return section


def kinetic_words(story: Story, group: str) -> str:
    values = (story.last.get("kinetic_temperature") or {}).get(group)
    return "not measured" if not values else f"{values['all']:.3g} (nominal {story.folder.options().temperature:g})"


@torch.no_grad()
def as_classifier(story: Story, posterior: Posterior | None, data: Dataset | None) -> Section:
    """Errors and calibration, and the test images it is least sure of or gets wrong."""
    place, run = story.folder.path / "evaluation", shlex.quote(str(story.folder.path))
    kept = [("reliability, and entropy on data of its own and of no class it knows", place / "uncertainty.png"),
            ("errors over the iterations", place / "errors.png")]
    about = read_any(place / "about.json")
    stale = about.get("newest_draw", story.folder.newest_step) != story.folder.newest_step
    section = Section("As a classifier", figures=[(caption, found) for caption, path in kept
                                                  if not stale and (found := picture_file(path))])
    figures = story.last.get("classification")
    if figures:
        named = {title: figures.get(name) for name, title in CLASSIFIERS.items()}  # older runs lack some
        section.table = [{
            "": name, f"errors of {figures['test_size']}": str(one["errors"]), "NLL": f"{one['nll']:.3f}",
            "ECE (its floor)": f"{one['ece']:.4f} ({one.get('ece_floor', float('nan')):.4f})",
            "entropy": ", ".join(f"{case} {value:.2f}" for case, value in one["entropy"].items()),
        } for name, one in named.items() if one]
        section.words.append("ECE: how far confidence is from accuracy; a perfectly calibrated classifier has the "
                             "floor on so few data. Entropy (nats) should be small on test data and large elsewhere.")
    if posterior is not None and not section.figures:
        section.lines = [f"python -m bayesgan evaluate {run}    # calibration, foreign data"
                         + stale * "; there are pictures of older draws"]
    if posterior is not None and data is not None and data.is_images:
        asked = posterior.predictive(data.test)
        sure, said = asked.probabilities.max(1)
        wrong = (said != data.test_labels).nonzero()[:, 0]
        for words, rows in (("least sure of", sure.argsort()[: 2 * SHOWN]), ("wrong about", wrong[: 2 * SHOWN])):
            if len(rows):
                answers = ", ".join(f"{data.classes[said[row]]} for {data.classes[data.test_labels[row]]}"
                                    for row in rows)
                section.figures.append((f"test images it is {words}: {answers}",
                                        grid(to_float(data.test[rows.to(data.test.device)]), SHOWN)))
    return section


def scores(story: Story, posterior: Posterior | None) -> Section | None:
    """The rows that `score` wrote; None where there are none and it has nothing to score."""
    rows = story.scores.get("rows")
    if not isinstance(rows, dict) or not rows:
        if posterior is None or len(posterior.shape) != 3:
            return None
        run = shlex.quote(str(story.folder.path))
        return Section("Scores", ["Not measured."], lines=[f"python -m bayesgan score {run}    # FID, coverage, ..."])
    shown = [{"images": name, **{key: f"{value:.4g}" for key, value in row.items() if isinstance(value, (int, float))}}
             for name, row in rows.items() if isinstance(row, dict)]
    names = list(dict.fromkeys(name for row in shown for name in row))
    return Section("Scores", table=[{name: row.get(name, "") for name in names} for row in shown])


def comparison(stories: list[Story]) -> Section:
    """Several runs: what differs in their options, their figures, their curves."""
    options = [vars(story.folder.options()) for story in stories]
    differing = [name for name in options[0] if name != "out_dir" and len({str(one[name]) for one in options}) > 1]
    table = []
    for story, own in zip(stories, options):
        errors, kinetic = best_errors(story.results), (story.last.get("kinetic_temperature") or {})
        table.append({
            "run": story.name, **{name: str(own[name]) for name in differing},
            "iterations": str(story.done), "minutes": story.minutes,
            "fewest errors": "" if errors is None else str(errors),
            "kinetic temperature": ", ".join(f"{values['all']:.3g}" for values in kinetic.values()),
        })
    losses = {story.name: loss_curves(story) for story in stories}
    panels = {f"mean loss, {group}": {name: own.get(group, []) for name, own in losses.items()} for group in GROUPS}
    panels["errors"] = {story.name: error_curves(story.results).get("posterior", []) for story in stories}
    shown = {title: {name: curve for name, curve in curves.items() if curve} for title, curves in panels.items()}
    figures = [("", lines(curves, title)) for title, curves in shown.items() if curves]
    return Section("Compared", [f"Options that differ: {', '.join(differing) or 'none'}."], figures, table)

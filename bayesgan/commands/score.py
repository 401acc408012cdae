"""How good a run's images are, one generator or all: `python -m bayesgan score RUN`."""

import argparse
import dataclasses
import shlex
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bayesgan.basics.devices import pick_device
from bayesgan.basics.errors import InputError, reason
from bayesgan.basics.files import write_json
from bayesgan.basics.locks import only_writer
from bayesgan.basics.progress import Progress
from bayesgan.basics.randomness import keyed_generator
from bayesgan.basics.tables import markdown
from bayesgan.commands.judge import judge_data, kept_judge, lacks
from bayesgan.data import DATA_SETS, Dataset, to_bytes, to_float
from bayesgan.ensemble import Ensemble
from bayesgan.evaluation.classification import CHUNK
from bayesgan.evaluation.extractors import WEIGHTS, Extractor, by_channel, inception, require_torch_fidelity
from bayesgan.evaluation.fidelity import COMPARED, class_figures, fidelity, looked_at
from bayesgan.report.story import read_any
from bayesgan.resampling.guard import MOST_KNOWN, Guard
from bayesgan.store import Posterior, RunFolder

__all__ = ["add_arguments", "extractor_of", "run", "score"]

IMAGES, MODES = 2000, 26_000  # behind a row; of a set with 1,000 modes as many as are usual (Metz et al. 2017)
LEAST = 50
FIGURES = {  # name -> heading and format
    "found": ("classes found", "d"), "covered": ("classes covered", "d"), "class_kl": ("class KL", ".3f"),
    "class_score": ("class score", ".2f"), "fid": ("FID", ".2f"), "kid": ("KID", ".4f"),
    "precision": ("precision", ".3f"), "recall": ("recall", ".3f"), "pixel_distance": ("pixel distance", ".2f"),
}
Sets = dict[str, Callable[[], Tensor]]  # row -> its images (n, C, H, W) uint8, made when they are scored


def extractor_of(
    posterior: Posterior, data: Dataset, weights: Path | None, data_path: Path | None, judges: Path | None,
    device: torch.device | str,
) -> tuple[Extractor | None, str]:
    """What looks at a run's images, or None, and then why, with the remedy.

    Raises:
        ValueError: If torch-fidelity is not installed, or weights are no Inception's.
    """
    options = posterior.options
    if weights is not None:
        return inception(weights, device), ""
    source = DATA_SETS[options.dataset]
    if source.channels is None and data.shape[0] != 1:
        return None, ("FID, KID, precision, recall and Inception score of images in colour need Inception's weights: "
                      f"--weights FILE, torch-fidelity's {WEIGHTS} from its releases page")
    taught = judge_data(dataclasses.replace(options, data_path=Path(data_path or options.data_path)))
    if why := lacks(taught):
        return None, why
    require_torch_fidelity()
    judge = kept_judge(taught, judges, command="python -m bayesgan score", device=device)
    return (by_channel(judge, data.classes) if source.channels else judge), ""


def score(
    run_folder: Path, n: int | None = None, weights: Path | None = None, *, data_path: Path | None = None,
    judges: Path | None = None, device: torch.device | str = "cpu", seed: int = 0, wait: bool = False,
) -> str:
    """Scores each generator of a run's newest draw, the mixture of all draws, what was resampled, and real images.

    Writes RUN/scores/scores.json. Real images are test images, scored against others of them.

    Args:
        n: Images a row; at most half of the test images. Default 2,000, of stacked_mnist 26,000.
        weights: Of Inception, torch-fidelity's file; without it a classifier of the data's labels looks at the images.
        data_path: Where the data is now, if it has moved.
        judges: Folder of classifiers; see `kept_judge`.
        wait: Until another scoring of the run has ended, rather than raise.

    Returns:
        A table for people.

    Raises:
        ValueError: If the run has no draws or no images, its data is absent, or torch-fidelity is not installed.
    """
    folder = RunFolder.open(run_folder)
    posterior = Posterior(folder, device)
    if len(posterior.shape) != 3:
        raise InputError(f"{run_folder} makes vectors and score is for images; look at its samples/posterior.png")
    if n is not None and n < LEAST:
        raise InputError(f"--n must be at least {LEAST}, got {n}; the default is {IMAGES}")
    data = folder.load_data(data_path)
    half = len(data.test) // 2
    if half < LEAST:
        raise InputError(f"score needs {2 * LEAST} test images, half of them to compare with, {data.name} has "
                         f"{len(data.test)}; give it a larger test part")
    n = min(n or (MODES if DATA_SETS[posterior.options.dataset].channels else IMAGES), half)
    place = folder.path / "scores"
    place.mkdir(exist_ok=True)
    with only_writer(place, "scored", wait):
        extractor, why = extractor_of(posterior, data, weights, data_path, judges, device)
        order = torch.randperm(len(data.test), generator=keyed_generator(seed, "reference"))
        sets, notes = sets_of(folder, posterior, n, seed, device)
        sets["real, held out"] = lambda: data.test[order[:n]]
        rows = scored(sets, data, data.test[order[half : half + n]], extractor, seed)
        content = {"n": n, "compared": min(n, COMPARED), "seed": seed, "newest_draw": posterior.draws[-1]["step"],
                   "extractor": extractor and {"name": extractor.name, **extractor.about}, "rows": rows}
        write_json(place / "scores.json", content)
    return in_words(posterior.options.dataset, content, [*notes, *([why] if why else [])])


def sets_of(
    folder: RunFolder, posterior: Posterior, n: int, seed: int, device: torch.device | str
) -> tuple[Sets, list[str]]:
    """The sets of n images that a run has to show, and what is left out, in words."""
    newest = next(posterior.newest(1).each("generators"))
    latent = torch.randn(n, posterior.options.z_dim, generator=keyed_generator(seed, "latent"))
    total = newest.members * len(posterior.draws)
    sets: Sets = {}
    if total > 1:
        sets = {f"generator {member + 1} of the newest draw": partial(made, newest, member, latent.to(device))
                for member in range(newest.members)}
    sets[f"mixture of {total} generators"] = lambda: to_bytes(posterior.sample(n, seed).cpu())
    notes = []
    again = f"python -m bayesgan resample {shlex.quote(str(folder.path))} --n {n}"
    newest = posterior.draws[-1]["step"]
    for file in sorted(folder.path.glob("resampled/[!.]*/samples.npz")):
        if read_any(file.with_name("diagnostics.json")).get("newest_draw", newest) != newest:
            notes.append(f"{file.parent} is of older draws and is left out; {again}")
            continue
        try:
            with np.load(file, allow_pickle=False) as stored:
                images = torch.from_numpy(stored["x"])
        except Exception as error:  # of many kinds, as bytes that were changed call for
            raise InputError(f"{file} cannot be read ({reason(error)}); resample again, or delete it") from None
        if len(images) < n:
            notes.append(f"{file.parent} holds {len(images)} images of {n} and is left out; {again}")
        else:
            sets[f"resampled, {file.parent.name}"] = lambda images=images[:n]: images
    return sets, notes


@torch.no_grad()
def made(generators: Ensemble, member: int, latent: Tensor) -> Tensor:
    """One generator's images (n, C, H, W) of latent vectors (n, Z)."""
    return torch.cat([to_bytes(generators.forward_member(member, part)).cpu() for part in latent.split(CHUNK)])


def scored(
    sets: Sets, data: Dataset, reference: Tensor, extractor: Extractor | None, seed: int
) -> dict[str, dict[str, float]]:
    """The figures of every set, the last of which are real images, against other real ones (n, C, H, W)."""
    rows = torch.randperm(len(data.train), generator=keyed_generator(seed, "known"))[:MOST_KNOWN]
    guard = Guard(*(to_float(part) for part in (data.train[rows], reference, reference)))
    n, figures = len(reference), {}
    with Progress(len(sets) * n, unit="image", every=10) as progress:

        def shown(before: int, name: str, done: int) -> None:
            progress.show(before + done, name)

        seen_reference = extractor and looked_at(extractor, reference[:COMPARED])
        for number, (name, images) in enumerate(sets.items()):
            images, row = images(), {}
            if extractor is None:
                shown(number * n, name, n)
            else:
                seen = looked_at(extractor, images, partial(shown, number * n, name))
                row = class_figures(seen.classes, extractor.shares) if extractor.shares is not None else {}
                row |= fidelity(seen, seen_reference)
            row["pixel_distance"] = guard.distance(to_float(images[: guard.count]), "measuring").distance
            figures[name] = row
    return figures


def in_words(dataset: str, content: dict, notes: list[str]) -> str:
    """The figures as a table, with what they were measured by."""
    lines = [f"{dataset}: {content['n']} images a row"]
    if extractor := content["extractor"]:
        lines[0] += f", seen by {extractor['name']}"
        if "accuracy" in extractor:
            lines[0] += f", right on {extractor['accuracy']:.2%} of {extractor['test_images']} test images"
    table = [{"images": name, **{FIGURES[key][0]: format(row[key], FIGURES[key][1]) for key in FIGURES if key in row}}
             for name, row in content["rows"].items()]
    return "\n".join([*lines, "", markdown(table), "", *notes])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="for example runs/bgan_mnist_1700000000")
    parser.add_argument("--n", type=int, help=f"images a row, at most half of the test images (default: {IMAGES}, of "
                                              f"stacked_mnist {MODES})")
    parser.add_argument("--weights", type=Path, metavar="FILE",
                        help=f"Inception's weights, for images in colour: torch-fidelity's {WEIGHTS}")
    parser.add_argument("--data_path", type=Path, help="where its data is now, if it has moved")
    parser.add_argument("--judges", type=Path, help="folder of classifiers (default: judges, in the user's cache)")
    parser.add_argument("--device", default="cpu", help="where to compute (default: cpu)")
    parser.add_argument("--seed", type=int, default=0, help="of the images and of which are compared (default: 0)")


def run(arguments: argparse.Namespace) -> None:
    """The command line's arguments to a table."""
    given = {name: value for name, value in vars(arguments).items() if name != "command"}
    print(score(given.pop("run"), **given | {"device": pick_device(given["device"])}))

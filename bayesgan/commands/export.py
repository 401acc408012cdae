"""A folder that others can use, ready for a model hub: `python -m bayesgan export RUN DIR`."""

import argparse
import os
import shlex
import shutil
import tempfile
import warnings
from pathlib import Path

import torch
from torch import nn

from bayesgan.basics.errors import InputError, reason
from bayesgan.basics.files import write_json, write_text
from bayesgan.basics.tables import several
from bayesgan.ensemble import Ensemble, SampleStore, StoredDraw, first_output
from bayesgan.evaluation.pictures import save_picture
from bayesgan.options import GROUPS
from bayesgan.report.mixing import kept_mixing
from bayesgan.report.story import Story, command_of, told
from bayesgan.report.templates import template
from bayesgan.store import Posterior
from bayesgan.store.config import as_json
from bayesgan.store.results import last_of_posterior
from bayesgan.store.sums import write_sums

__all__ = ["add_arguments", "export", "run"]

PLACES = {"out_dir": "runs", "data_path": "datasets", "cache_path": "datasets"}  # in place of those of this machine
SAME = 1e-4  # between images of an exported generator and its own


def export(run_folder: Path, target: Path) -> list[str]:
    """Writes the folder, whole or not at all.

    Returns:
        Lines about what it holds and what was left out.

    Raises:
        ValueError: If the run has no draws, or the target is there already.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InputError(f"DIR must be new or empty, got {target}; name another")
    target = target.resolve()
    if target == Path.cwd():
        raise InputError("DIR must be another folder than the one this runs in; name a new one")
    story = told(run_folder)
    if story.folder.exported:
        raise InputError(f"{run_folder} is exported already; copy the folder as it is")
    drawn = story.folder.store.opened()
    posterior = Posterior(story.folder, "cpu", drawn)
    target.parent.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".partial", dir=target.parent))
    try:
        lines = fill(place, target.name, story, posterior, drawn)
        mask = umask()
        place.chmod(0o777 & ~mask)
        for path in place.rglob("*.safetensors"):  # which that library keeps to its owner
            path.chmod(0o666 & ~mask)
        if target.exists():
            target.rmdir()
        place.rename(target)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return lines


def umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def fill(place: Path, name: str, story: Story, posterior: Posterior, drawn: list[StoredDraw]) -> list[str]:
    """Everything that is in the folder; lines about it."""
    folder, options = story.folder, posterior.options
    config = {**folder.config, "exported": True, "options": {**as_json(options), **PLACES},
              "commands": [{**folder.config["commands"][-1], "command": shlex.split(without_places(story.settings))}]}
    write_json(place / "config.json", config)
    store = SampleStore(place / "posterior")
    for stored in drawn:
        groups = {group: stored.load(group) for group in dict.fromkeys(g for file in stored.files for g in file.names)}
        entry = stored.entry
        store.add(groups, entry["step"], entry["temperature"], entry["kinetic_temperature"])
    lines = [f"{several(len(posterior.draws), 'draw')} in posterior/", *as_programs(place, posterior)]
    if options.generators:
        samples = posterior.sample(100 if len(posterior.shape) == 3 else 1000, units=False)
        save_picture(place / "samples.png", samples)
    write_text(place / "README.md", card(name, story, posterior))
    write_sums(place)
    return lines


def without_places(settings: list[str]) -> str:
    """Flags as typed, but for those that name places of this machine."""
    return " ".join(flag for flag in settings if flag.split(" ")[0].removeprefix("--") not in PLACES)


def as_programs(place: Path, posterior: Posterior) -> list[str]:
    """generator.pt2, of a run with labels classifier.pt2, and both as .onnx where that works; a line about each."""
    lines, newest = [], posterior.newest(1)
    if posterior.options.generators:
        latent = torch.randn(4, posterior.options.z_dim, generator=torch.Generator().manual_seed(0))
        what = "gives the images of the newest draw's first generator"
        lines.append(as_program(place, "generator", next(newest.each("generators")), latent, "latent", what))
    if posterior.options.semi:
        data = torch.rand(4, *posterior.shape, generator=torch.Generator().manual_seed(0))
        what = "gives the class logits of the newest draw's first discriminator"
        lines.append(as_program(place, "classifier", next(newest.each("discriminators")), data, "data", what))
    return lines


def as_program(place: Path, name: str, ensemble: Ensemble, inputs: torch.Tensor, called: str, what: str) -> str:
    """The first member as NAME.pt2 and NAME.onnx, compared with itself; the ensemble is used up."""
    expected = first_output(ensemble.forward_member(0, inputs))
    network = first_member(ensemble)
    shapes = ({0: torch.export.Dim("batch")},)
    program = torch.export.export(network, (inputs,), dynamic_shapes=shapes)
    torch.export.save(program, place / f"{name}.pt2")
    check(first_output(torch.export.load(place / f"{name}.pt2").module()(inputs)), expected, f"{name}.pt2")
    said, file = f"{name}.pt2 {what}", place / f"{name}.onnx"
    try:
        import onnxruntime

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(network, (inputs,), file, dynamo=True, verbose=False, external_data=False,
                              dynamic_shapes=shapes, input_names=[called])
        found, *_ = onnxruntime.InferenceSession(file).run(None, {called: inputs.numpy()})
        check(torch.from_numpy(found), expected, file.name)
        return f"{said}, and so does {file.name}"
    except ImportError as error:
        return f"{said}; {file.name} was left out ({reason(error)}): pip install onnxscript onnxruntime"
    except Exception as error:  # exporters raise many kinds
        file.unlink(missing_ok=True)
        return f"{said}; this one does not work as ONNX ({reason(error)})"


def first_member(ensemble: Ensemble) -> nn.Module:
    """A module of its own, ready to score; the ensemble's own network is used up."""
    network = ensemble.network.to_empty(device="cpu").eval().requires_grad_(False)
    network.load_state_dict({name: tensor[0] for name, tensor in ensemble.state().items()})
    return network


def check(found: torch.Tensor, expected: torch.Tensor, name: str) -> None:
    """Raises ArithmeticError if an exported network gives other outputs."""
    difference = (found - expected).abs().max().item()
    if not difference <= SAME * max(1.0, expected.abs().max().item()):
        raise ArithmeticError(f"{name} gives outputs that differ by {difference:.1e}")


def card(name: str, story: Story, posterior: Posterior) -> str:
    """The model card: README.md."""
    options, config = posterior.options, story.folder.config
    units = config.get("units") is not None
    scale = "images in [-1, 1]" if len(posterior.shape) == 3 else "vectors in the units of the data"
    shape = ", ".join(map(str, (64, *posterior.shape)))
    rows = [(f"errors of {config['data']['test']} test data", last_of_posterior(story.results).get("errors"))]
    rows += [(f"kinetic temperature of the {group}", f"{values['all']:.3g}")
             for group, values in (story.last.get("kinetic_temperature") or {}).items()]
    rows += [(f"{values['networks']} {group} are worth so many independent ones", f"{values['ess']:.0f}")
             for group, values in kept_mixing(story.folder).items()]
    scores = story.scores.get("rows")
    scores = {name: row for name, row in (scores if isinstance(scores, dict) else {}).items() if isinstance(row, dict)}
    rows += [(f"{name}: {key}", f"{value:.4g}") for name, row in scores.items() if name.startswith("mixture")
             for key, value in row.items() if isinstance(value, (int, float))]
    made, classified = (
        template("example.py.jinja").render(z_dim=options.z_dim, scale=scale, units=units, group=group,
                                            shape=", ".join(map(str, posterior.shape)))
        for group in GROUPS)
    return template("card.md").render(
        name=name, draws=several(len(posterior.draws), "draw"), generators=several(options.generators, "generator"),
        makes_samples=options.generators > 0,
        discriminators=several(options.discriminators, "discriminator"), ml=options.ml,
        dataset=options.dataset, data=config["data"], labels=options.N, script=command_of(options.semi),
        settings=without_places(story.settings), iterations=story.done,
        minutes=story.minutes, device=config.get("device", "unknown"),
        seed=options.random_seed, commit=(config.get("git_commit") or "unknown")[:12],
        versions=", ".join(f"{package} {version}" for package, version in (config.get("versions") or {}).items()),
        rows=[row for row in rows if row[1] is not None], temperature=f"{options.temperature:g}",
        images=f"({shape}): {scale}", example=made, classifier=classified,
        units=units,
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="for example runs/bgan_digits_1700000000")
    parser.add_argument("dir", type=Path, metavar="DIR", help="new, or empty")


def run(arguments: argparse.Namespace) -> None:
    """Writes the folder and says what is in it."""
    for line in export(arguments.run, arguments.dir):
        print(line)
    print(f"look at {arguments.dir / 'README.md'}; load_posterior({str(arguments.dir)!r}) reads the folder")

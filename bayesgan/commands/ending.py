"""The last of a run: the picture of the whole posterior, its figures, where everything is and how long it took."""

import json
import shlex

import torch

from bayesgan.basics.tables import several
from bayesgan.commands.evaluate import evaluate
from bayesgan.commands.resample import resample_run
from bayesgan.data import Dataset, some, to_float
from bayesgan.evaluation.pictures import save_picture
from bayesgan.evaluation.questions import Answers
from bayesgan.options import script_name
from bayesgan.report.mixing import keep_mixing, mixing, mixing_words, traces
from bayesgan.store import RunFolder, load_posterior
from bayesgan.training.loop import SHOWN

__all__ = ["summary", "time_in_words"]


def summary(
    folder: RunFolder, data: Dataset, device: torch.device, asked: dict[int, Answers] | None = None
) -> str:
    """What a user wants to know at the end; also makes the picture of the whole posterior.

    Args:
        asked: What a semi-supervised run's draws are known to answer, by step.
    """
    options, posterior = folder.options(), load_posterior(folder.path, device)
    picture = folder.path / "samples" / "posterior.png"
    if options.generators:
        count = 100 if data.is_images else 1000
        save_picture(picture, posterior.sample(count, units=False), to_float(some(data.train, SHOWN)).cpu())
    if options.resample is not None:
        resample_run(folder.path, 100, wait=True, method=options.resample, device=device)
    lines = []
    if options.semi:
        lines += ["", evaluate(folder.path, device, wait=True, asked=asked)]
    run = shlex.quote(str(folder.path))
    quoted = json.dumps(str(folder.path), ensure_ascii=False)  # double quotes, which a shell's single ones may hold
    sampling = f"from bayesgan import load_posterior; print(load_posterior({quoted}).sample(64).shape)"
    members = several(options.generators, "generator") if options.generators else (
        several(options.discriminators, "discriminator"))
    lines += ["", f"done: {several(len(posterior.draws), 'draw')} of {members}"]
    if options.generators:
        lines.append(f"  look at    {picture}   (mixture of everything collected; one grid per generator beside it)")
    lines.append(f"  follow     tensorboard --logdir {shlex.quote(str(folder.path / 'tensorboard'))}")
    if options.generators:
        lines.append(f"  sample     python -c {shlex.quote(sampling)}")
    if found := mixing(traces(posterior, data)):
        keep_mixing(folder, found)
        lines.append(f"  mixing     {mixing_words(found)}")
    if options.semi:
        lines += [f"  calibration {folder.path / 'evaluation' / 'uncertainty.png'}",
                  f"  new data   python -m bayesgan classify {run} PATH   (pictures, or an .npz with an array x)"]
    further = 2 * options.train_iter
    lines.append(f"  go on      python {script_name(options.semi)} --resume {run} --train_iter {further}")
    return "\n".join(lines)


def time_in_words(seconds: dict[str, float]) -> str:
    """One line: how long a command took, and what of it was no iteration."""
    total = sum(seconds.values())
    named = {"start": "to start", "supervised": "for the supervised network", "saving": "measuring and saving",
             "end": "at the end"}
    others = ", ".join(f"{seconds[key]:.1f} {words}" for key, words in named.items() if seconds[key] >= 0.05)
    return f"  time       {total:.0f} s, {seconds['iterations'] / total:.0%} in iterations; {others}"

"""From what a user gave to complete options: whose value wins, what is worked out from the rest, what is refused.

Precedence, the later wins: defaults < few labels < data set < its defaults with labels < recipe < given < --ml.
"""

import dataclasses
from pathlib import Path
from typing import NamedTuple

from bayesgan.basics.errors import InputError
from bayesgan.data import ALL, DATA_SETS
from bayesgan.options.flags import as_flag, check_value, check_values, kind_of
from bayesgan.options.options import Options, script_name
from bayesgan.options.recipes import FEW_LABELS, RECIPES, WITHOUT_LABELS

__all__ = ["check_given", "explain", "idle", "resolve", "usual_thin"]

ML_OVERRIDES = {"num_gen": 1, "num_disc": 1, "num_mcmc": 1, "temperature": 0.0, "keep": 1}
OF_A_LENGTH = ("burn_in", "ramp")  # a layer's schedule belongs to its own train_iter, and is as long in proportion
PATHS = {field.name for field in dataclasses.fields(Options) if kind_of(field)[0] is Path}
SEMI = {"N": 100, **FEW_LABELS}  # 128 labels, the reference's default, are no multiple of 10 classes


class Layer(NamedTuple):
    """Values from one source."""

    source: str
    values: dict


def resolve(given: dict, semi: bool = False) -> tuple[Options, list[str]]:
    """Options from what a user gave, in the precedence that stands at the top of this file.

    Args:
        given: Field name -> value, only what was really given; None is a value too: it keeps a data set's default away.
            Paths may be strings.
        semi: For run_bgan_semi.py.

    Returns:
        The options with every None that depends on another option filled in, and lines to tell the user.

    Raises:
        ValueError: Naming the flag, its rule, its value and the remedy.
    """
    given = {name: Path(value) if name in PATHS and isinstance(value, str) else value for name, value in given.items()}
    values = {name: value for layer in layers(given, semi) for name, value in layer.values.items()}
    options = Options(**values)
    check_values(options)
    refuse_without_generators(options)
    return with_schedule(options), notes(given, options)


def layers(given: dict, semi: bool) -> list[Layer]:
    """Every source of values, the weakest first; those of the data set and the recipe may be empty."""
    check_given(given)
    if given.get("data_path") is not None and not (given.get("dataset") or given.get("recipe")):
        raise InputError(f"--data_path {given['data_path']} needs the name of the data set that is there, without "
                         f"which it is the bundled {Options.dataset}; give --dataset image_folder, npz, mnist, ...")
    recipe = RECIPES[given["recipe"]] if given.get("recipe") else {}
    if recipe and (given["recipe"] in WITHOUT_LABELS) == semi:
        raise InputError(f"--recipe {given['recipe']} is for {script_name(not semi)}; use that, or another recipe")
    name = given.get("dataset", recipe.get("dataset", Options.dataset))
    source = DATA_SETS[name]
    found = [Layer(f"data set {name}", source.defaults)]
    if semi:
        few = {name: value for name, value in SEMI.items() if name != "normalise" or keeps_norms(given, recipe)}
        own = source.semi
        if callable(own):
            own = own(given.get("data_path", Options.data_path), given.get("image_size"))
        found = [Layer("run_bgan_semi.py", few), *found, Layer(f"data set {name} with labels", own)]
    if not keeps_norms(given, recipe):
        recipe = {name: value for name, value in recipe.items() if name != "normalise"}
    found.append(Layer(f"recipe {given.get('recipe')}", recipe))
    for number, (origin, values) in enumerate(found):
        lengths = [stronger.values["train_iter"] for stronger in found[number + 1:] if "train_iter" in stronger.values]
        if any(length != values.get("train_iter") for length in lengths):
            found[number] = Layer(origin, {name: value for name, value in values.items() if name not in OF_A_LENGTH})
    if "train_iter" in given:
        found = [Layer(origin, at_length(values, given["train_iter"])) for origin, values in found]
    found.append(Layer("given", given))
    merged = {name: value for layer in found for name, value in layer.values.items()}
    counted = semi and merged["N"] != ALL
    if counted and "label_batch_size" not in given and (merged.get("label_batch_size") or 0) > merged["N"]:
        found.append(Layer("at most N", {"label_batch_size": merged["N"]}))
    if merged.get("wasserstein"):
        found.append(Layer("--wasserstein", {"objective": "wasserstein"}))
    if merged.get("gpu_id") is not None:
        found.append(Layer("--gpu_id", {"device": "cuda"}))
    if merged.get("ml"):
        own = semi and "consistency" not in given  # a baseline has no teacher
        plain = {"consistency": 0.0, "spread_labels": 0, "settle": 0.0} if own else {}
        players = {"num_gen": min(merged.get("num_gen", 1), ML_OVERRIDES["num_gen"])}  # also none
        found.append(Layer("--ml", {**ML_OVERRIDES, **players, **plain}))
    return found


def at_length(values: dict, length: int) -> dict:
    """A layer's values for a run of so many iterations: its schedule in proportion, rounded down."""
    scaled = {name: values[name] * length // values["train_iter"] for name in OF_A_LENGTH if name in values}
    if "burn_in" in scaled:
        scaled["burn_in"] = max(1, scaled["burn_in"])
    return values | scaled


def keeps_norms(given: dict, recipe: dict) -> bool:
    """Whether the network has no normalisation of its own that it was made for."""
    return given.get("network", recipe.get("network")) != "noisy_mlp"


def check_given(given: dict) -> None:
    """Raises InputError for unknown names, values that a field cannot have, and flags that contradict each other."""
    fields = {field.name: field for field in dataclasses.fields(Options)}
    for name, value in given.items():
        if name not in fields:
            raise InputError(f"there is no option {name!r}; see run_bgan_semi.py --help for all")
        check_value(fields[name], value)
    if given.get("wasserstein") and given.get("objective", "wasserstein") != "wasserstein":
        raise InputError(f"--wasserstein is --objective wasserstein, got --objective {given['objective']}; give one")
    if given.get("gpu_id") is not None and given.get("device") == "cpu":
        raise InputError(f"--gpu_id {given['gpu_id']} asks for a GPU and --device cpu for none; give one of them")


def refuse_without_generators(options: Options) -> None:
    """Raises InputError where there are none and something needs them."""
    if options.generators == 0 and not options.semi:
        raise InputError(f"--num_gen must be at least 1 without labels, got {options.num_gen}: there would be nothing "
                         f"to learn; {script_name(True)} can do without generators")
    if options.generators == 0 and options.resample is not None:
        raise InputError(f"--resample {options.resample} corrects what generators make, got --num_gen "
                         f"{options.num_gen}; leave one of them out")


def with_schedule(options: Options) -> Options:
    """The options with burn_in, ramp and thin worked out where they were left open.

    Raises:
        ValueError: If no iteration would sample.
    """
    burn_in = max(1, options.train_iter // 2) if options.burn_in is None else options.burn_in
    ramp = max(0, options.train_iter - burn_in) // 10 if options.ramp is None else options.ramp
    ramp = ramp if options.temperature > 0 else 0  # there is nothing to rise
    if options.temperature > 0 and burn_in + ramp >= options.train_iter:
        raise InputError(
            f"--burn_in and --ramp must end before --train_iter {options.train_iter}, got {burn_in} + {ramp}: "
            "no iteration would sample; raise --train_iter, or set --temperature 0"
        )
    if options.temperature > 0 and options.optimizer == "adam" and burn_in == 0:
        raise InputError(
            "--burn_in must be at least 1 with --optimizer adam, got 0: its preconditioner adapts in burn-in"
        )
    options = dataclasses.replace(options, burn_in=burn_in, ramp=ramp)
    return dataclasses.replace(options, thin=options.thin or usual_thin(options))


def usual_thin(options: Options) -> int:
    """Iterations between draws where `keep` of them are spread over all that sample."""
    return max(1, (options.train_iter - options.burn_in - options.ramp) // options.keep)


def notes(given: dict, options: Options) -> list[str]:
    """What a user is told: what a recipe stands for, what --ml overrides, which flags change nothing here."""
    lines = []
    if options.recipe:
        flags = [as_flag(name, value) for name, value in RECIPES[options.recipe].items()
                 if name not in given and getattr(options, name) == value]
        lines.append(f"--recipe {options.recipe} stands for {' '.join(flags)}")
    if options.ml:
        overridden = [name for name, value in given.items()
                      if name == "prior_std" or (name in ML_OVERRIDES and value != getattr(options, name))]
        players = "one generator and one discriminator" if options.generators else "one discriminator"
        lines.append(f"--ml trains {players} at temperature 0 without a prior"
                     + "".join(f"; --{name} {given[name]} overridden" for name in overridden))
    if options.feature_matching and options.generators and "objective" in given:
        lines.append(f"--feature_matching: --objective {given['objective']} applies to the discriminators alone")
    if "lr" in given and options.g_lr is not None and options.d_lr is not None:
        lines.append("--lr changes nothing here: --g_lr and --d_lr are both given")
    return lines + idle(given, options)


def idle(given: dict, options: Options) -> list[str]:
    """Which of the given flags change nothing with these options, a line each."""
    lines = []
    for field in dataclasses.fields(Options):
        if given.get(field.name, field.default) != field.default and field.metadata["needs"] is not None:
            where, applies = field.metadata["needs"]
            if not applies(options):
                lines.append(f"--{field.name} changes nothing here: it is for {where}")
    return lines


def explain(options: Options, given: dict, semi: bool, resumed: bool = False) -> list[str]:
    """One line for each value that is not the flag's default, with the source that it comes from.

    Args:
        resumed: The run's own options stand where none is given now.
    """
    if resumed:
        sources, rest = dict.fromkeys(given, "given"), "the run's config.json"
    else:
        sources = {name: layer.source for layer in layers(given, semi) for name in layer.values}
        rest = "from the other flags"
    return [f"  {as_flag(name, value)}   ({sources.get(name, rest)})" for name, value in changed(options).items()]


def changed(options: Options) -> dict:
    """The values that are not the flags' defaults, and those that the data set or the recipe would change to others."""
    given = {"dataset": options.dataset, "recipe": options.recipe, "data_path": options.data_path}
    brought = {name for layer in layers(given, options.semi) for name in layer.values}
    return {field.name: value for field in dataclasses.fields(Options)
            if (value := getattr(options, field.name)) != field.default
            or (field.name in brought and field.name not in given and value is not None)}

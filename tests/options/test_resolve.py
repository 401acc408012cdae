"""Whose value wins, what is refused, and that a flag's rules all stand on its field."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from bayesgan.commands.train import parser
from bayesgan.data import DATA_SETS
from bayesgan.options import RECIPES, Options, explain, flag_words, given_flags, resolve


def test_precedence_is_as_stated():
    """Defaults < data set < its semi-supervised defaults < recipe < given < --ml, each over the one before."""
    assert resolve({"dataset": "mnist"})[0].df_dim == Options.df_dim
    source = DATA_SETS["digits"]
    assert resolve({})[0].df_dim == source.defaults["df_dim"] != Options.df_dim
    assert resolve({})[0].train_iter == source.defaults["train_iter"]
    assert resolve({}, semi=True)[0].train_iter == source.semi["train_iter"] != source.defaults["train_iter"]
    recipe = RECIPES["mnist-fast"]
    assert resolve({"recipe": "mnist-fast", "dataset": "digits"}, semi=True)[0].lr == recipe["lr"]
    given = {"recipe": "mnist-fast", "dataset": "digits", "lr": 0.007, "num_gen": 3}
    assert resolve(given, semi=True)[0].lr == 0.007
    assert resolve({**given, "ml": True}, semi=True)[0].num_gen == 1


@pytest.mark.parametrize("given, schedule", [
    ({}, (7000, 100)), ({"train_iter": 1500}, (1312, 18)), ({"train_iter": 2}, (1, 0)),
    ({"train_iter": 1500, "burn_in": 9}, (9, 18)), ({"train_iter": 16000}, (14000, 200)),
    ({"dataset": "digits", "train_iter": 1500}, (750, 75)),  # its own length has no schedule of its own
    ({"recipe": "mnist-paper", "train_iter": 1500}, (750, 75)),
])
def test_a_schedule_is_as_long_in_proportion_as_the_run(given, schedule):
    options, _ = resolve({"dataset": "mnist", **given}, semi=True)
    assert (options.burn_in, options.ramp) == schedule


def test_a_schedule_of_one_iteration_is_refused_for_what_it_is():
    with pytest.raises(ValueError, match="no iteration would sample; raise --train_iter"):
        resolve({"dataset": "mnist", "train_iter": 1}, semi=True)


@pytest.mark.parametrize("shape, given, found", [
    ((20, 28, 28), {}, ("vgg", "bf16")), ((20, 3, 16, 18), {}, ("vgg", "bf16")), ((20, 32, 32, 3), {}, ("vgg", "bf16")),
    ((20, 8, 8), {}, ("auto", "fp32")), ((20, 8, 8), {"image_size": 16}, ("vgg", "bf16")),
    ((20, 28, 28), {"image_size": 8}, ("auto", "fp32")), ((20, 7), {}, ("auto", "fp32")), (None, {}, ("auto", "fp32")),
    ((20, 28, 28), {"network": "dcgan"}, ("dcgan", "bf16")),
])
def test_arrays_of_images_take_what_images_take(tmp_path, shape, given, found):
    """With labels, by what the file's header says; `auto` is dcgan for images and mlp for vectors."""
    if shape is not None:
        np.savez(tmp_path / "mine.npz", train_images=np.zeros(shape))
    options, _ = resolve({"dataset": "npz", "data_path": tmp_path, **given}, semi=True)
    assert (options.network, options.precision) == found
    assert resolve({"dataset": "npz", "data_path": tmp_path})[0].network == "auto"


def test_paths_may_be_strings():
    options, _ = resolve({"dataset": "npz", "data_path": "here/data", "out_dir": "there"})
    assert (options.data_path, options.out_dir) == (Path("here/data"), Path("there"))


def test_every_value_that_is_no_default_is_explained_with_its_source():
    given = {"recipe": "mnist-fast", "dataset": "digits", "z_dim": 5, "ml": True}
    options, _ = resolve(given, semi=True)
    lines = explain(options, given, semi=True)
    named = {line.split()[0].removeprefix("--").removeprefix("no-") for line in lines}
    assert named > {f.name for f in dataclasses.fields(Options) if getattr(options, f.name) != f.default}
    assert named > {"consistency", "spread_labels"}  # defaults of the flags, and not of runs with labels
    text = "\n".join(lines)
    for part in ("--z_dim 5   (given)", "--num_layers 3   (recipe mnist-fast)", "--temperature 0.0   (--ml)",
                 "--gen_batch_size 32   (data set digits)", "--N 100   (run_bgan_semi.py)"):
        assert part in text


def test_a_resumed_runs_values_come_from_the_run():
    options, _ = resolve({"z_dim": 5, "n_save": 7})
    lines = explain(options, {"n_save": 7}, semi=False, resumed=True)
    assert "  --n_save 7   (given)" in lines and "  --z_dim 5   (the run's config.json)" in lines
    assert not any("data set" in line for line in lines)


@pytest.mark.parametrize("given, words", [
    ({"foo": 1}, "there is no option 'foo'"), ({"num_gen": "3"}, "--num_gen must be a number, got '3'"),
    ({"num_gen": True}, "--num_gen must be a number"), ({"friction": 0.0}, "--friction must be in (0, 1]"),
    ({"data_path": "here"}, "needs the name of the data set that is there, without which it is the bundled digits"),
    ({"lr": float("nan")}, "--lr must be in"), ({"coupling": "half"}, "--coupling must be one of: mixture, full"),
])
def test_bad_values_are_one_line(given, words):
    with pytest.raises(ValueError) as caught:
        resolve(given)
    assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("semi", [False, True])
def test_help_shows_one_spelling_and_both_are_taken(semi):
    text = parser(semi).format_help()
    assert "--num_gen" in text and "--num-gen" not in text
    for group in ("where and what:", "networks:", "posterior:", "schedule:", "running:"):
        assert group in text
    assert parser(semi).parse_args(["--value_range", "-1e3", "-.5"]).value_range == [-1000.0, -0.5]
    for spelling in ("--num-gen", "--num_gen"):
        assert parser(semi).parse_args([spelling, "3"]).num_gen == 3
        assert parser(semi).parse_args([f"{spelling}=4"]).num_gen == 4
    assert parser(semi).parse_args(["--no-feature-matching"]).feature_matching is False


def test_values_survive_the_command_line():
    given = {"classes": [0, 1], "value_range": [-1.0, 1.0], "data_path": Path("a folder"), "ml": True,
             "feature_matching": False, "lr": 1e-5, "N": "all", "no_supervised": True}
    parsed = parser(semi=True).parse_args(flag_words({**given, "image_size": None}))
    assert given_flags(parsed, Options) == given
    assert flag_words({"no_supervised": False}) == []  # argparse has no flag for it


def test_every_number_has_a_range_and_every_word_its_choices():
    """A new flag cannot forget its rules."""
    free = {"out_dir", "data_path", "cache_path", "classes", "value_range", "background", "attribute"}
    for field in dataclasses.fields(Options):
        rules, kind = field.metadata, str(field.type)
        if field.name in free or "bool" in kind:
            continue
        ranged = rules["most"] is not None and (rules["least"] is not None or rules["above"] is not None)
        assert ranged or rules["choices"] is not None, field.name


def test_a_recipe_is_for_one_of_the_scripts():
    with pytest.raises(ValueError, match="--recipe perceptron-zeros is for run_bgan.py; use that, or another recipe"):
        resolve({"recipe": "perceptron-zeros"}, semi=True)
    with pytest.raises(ValueError, match="--recipe mnist-fast is for run_bgan_semi.py"):
        resolve({"recipe": "mnist-fast"})
    options, _ = resolve({"recipe": "perceptron-zeros"})
    assert options.classes == [0] and options.network == "perceptron" and options.ml

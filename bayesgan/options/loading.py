"""The data set that options name, cut and labelled as they say, and checked to fit them."""

import dataclasses

from torch import Tensor

from bayesgan.basics.errors import InputError
from bayesgan.basics.out_of_memory import is_out_of_memory
from bayesgan.data import ALL, DATA_SETS, DataOptions, Dataset, choose_labels, labelled_rows, with_labels
from bayesgan.networks import NETWORKS
from bayesgan.options.options import Options
from bayesgan.resampling import LEAST_JUDGED

__all__ = ["check_data", "data_options", "load_data", "with_counted_labels"]


def data_options(options: Options) -> DataOptions:
    """What of the options concerns loading."""
    return DataOptions(**{field.name: getattr(options, field.name) for field in dataclasses.fields(DataOptions)})


def load_data(options: Options, rows: Tensor | None = None) -> Dataset:
    """The data set the options name, restricted to the classes asked for, its held-out part put aside, checked.

    Of a semi-supervised run all training labels but N are replaced by -1 here, before anything else sees them.

    Args:
        rows: The labelled rows of a run that goes on; by default they are chosen by N and label_seed.

    Raises:
        ValueError: If the data cannot be read, or does not fit the options.
    """
    try:
        data = DATA_SETS[options.dataset].load(data_options(options))
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise InputError(f"reading {options.dataset} needs more memory than there is; give fewer data, smaller images, "
                         "or bytes and floats in place of doubles") from error
    if options.classes is not None:
        data = data.only(options.classes)
    data = data.hold_out(options.calibration_fraction)
    if options.semi:
        data = with_labels(data, choose_labels(data, options.N, options.label_seed) if rows is None else rows)
    check_data(with_counted_labels(options, data), data)
    return data


def with_counted_labels(options: Options, data: Dataset) -> Options:
    """The options with the number of labels in place of --N all."""
    if options.N != ALL:
        return options
    count = len(labelled_rows(data))
    batch = options.label_batch_size
    return dataclasses.replace(options, N=count, label_batch_size=None if batch is None else min(batch, count))


def check_data(options: Options, data: Dataset) -> None:
    """Raises InputError where options and data do not fit together."""
    if data.is_images:
        check_images(data)
    else:
        check_vectors(options, data)
    network = options.network_name(data.shape)
    least = getattr(NETWORKS[network][0], "least_batch", 1)
    if options.generators and options.gen_batch < least:
        raise InputError(f"--gen_batch_size must be at least {least} with --network {network}, whose generator has "
                         f"batch norm, got {options.gen_batch}")
    if options.batch_size > len(data.train):
        raise InputError(
            f"--batch_size must be at most the {len(data.train)} training data, got {options.batch_size}"
        )
    if options.resample is not None and len(data.calibration) < LEAST_JUDGED:
        raise InputError(
            f"--resample needs at least {LEAST_JUDGED} held-out data, {data.name} leaves {len(data.calibration)} of "
            f"--calibration_fraction {options.calibration_fraction}; raise it or leave --resample out"
        )
    if options.unlabelled_batch and options.confidence <= 1 / len(data.classes):
        raise InputError(
            f"--confidence must be more than 1/{len(data.classes)} for {len(data.classes)} classes, which is chance, "
            f"got {options.confidence}; raise it"
        )
    if options.semi and (options.label_batch_size or 1) > options.N:
        raise InputError(
            f"--label_batch_size must be at most the {options.N} labels, got {options.label_batch_size}"
        )


def check_images(data: Dataset) -> None:
    """Raises InputError for pictures that are not square, or of a size no network is made for."""
    rules = {field.name: field.metadata for field in dataclasses.fields(Options)}["image_size"]
    height, width = data.shape[1:]
    if height != width or not rules["least"] <= height <= rules["most"]:
        raise InputError(
            f"images must be square, {rules['least']}..{rules['most']} pixels a side, {data.name} has "
            f"{width}x{height}; scale them with --image_size"
        )


def check_vectors(options: Options, data: Dataset) -> None:
    """Raises InputError for options that need images."""
    if options.network != "auto" and getattr(NETWORKS[options.network][0], "images_only", False):
        raise InputError(f"--network {options.network} needs images, {data.name} holds vectors; use --network mlp")
    if options.shift:
        raise InputError(f"--shift moves images, {data.name} holds vectors; leave it out")
    if options.image_size is not None:
        raise InputError(f"--image_size scales images, {data.name} holds vectors; leave it out")

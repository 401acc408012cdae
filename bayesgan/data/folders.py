"""The user's own pictures, in a folder or a zip: which are read, what class and what part each belongs to."""

import json
import os
import zipfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import takewhile
from pathlib import Path, PurePath
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from bayesgan.basics.errors import InputError, reason
from bayesgan.data.celeba import ATTRIBUTE_FILE, PART_FILE, attribute_labels, held_out_part
from bayesgan.data.class_labels import counted, in_order, read_labels
from bayesgan.data.dataset import (
    DATA_SETS,
    UNKNOWN,
    DataOptions,
    Dataset,
    DataSource,
    check_varied,
    images_tensor,
    in_parts,
)
from bayesgan.data.pictures import is_picture, read_pictures

__all__ = ["picture_source"]

NO_CLASS = ("unlabelled", "unlabeled")  # folders of pictures whose class nobody has said
TRAIN, VALIDATION, TEST = ("train", "training"), ("val", "valid", "validation"), ("test", "testing")
UNREAD_PICTURES = {".heic", ".heif", ".dng", ".cr2", ".nef", ".arw", ".svg"}
LABEL_FILE = "dataset.json"  # StyleGAN's
MOST_BYTES = 2**29  # of one packed file


class Source(NamedTuple):
    """Where pictures come from.

    Attributes:
        names: Relative paths of the pictures, in a stable order.
        read: The bytes of one file, pictures or not.
        others: Relative paths of the files that are no pictures.
    """

    names: list[str]
    read: Callable[[str], bytes]
    others: list[str]


class Sorted(NamedTuple):
    """What class and part each picture belongs to.

    Attributes:
        labels: (n,) int64, -1 for none; None where there are no classes.
        apart: (n,) bool, the test part; all False where the user has none.
        words: The classes with their counts, and the parts.
        parts: The parts alone.
        kept: (n,) bool, which are read; None for all.
    """

    labels: Tensor | None
    classes: tuple[str, ...]
    apart: Tensor
    words: str
    parts: str = ""
    kept: Tensor | None = None


def picture_source(path: Path, named: str = "--data_path") -> Source:
    """The pictures under a folder, links included, or in a zip.

    Args:
        named: What names the place on the command line.

    Raises:
        ValueError: If there is no such place, it holds no pictures, or the zip is damaged.
    """
    if path.is_dir():
        names, read = list(files_under(path)), lambda name: (path / name).read_bytes()
    elif not path.exists():
        raise InputError(f"{path} does not exist; {named} names a folder or zip of pictures")
    elif zipfile.is_zipfile(path):
        names, read = zipped(path)
    else:
        raise InputError(f"{path} is neither a folder of pictures nor a complete zip of them; download it again")
    pictures = sorted(name for name in names if is_picture(PurePath(name).suffix) and not is_hidden(PurePath(name)))
    if not pictures:
        remedy = f"{named} names where they are"
        if unread := sorted({PurePath(name).suffix.lower() for name in names} & UNREAD_PICTURES):
            remedy = f"convert those in {', '.join(unread)} to png or jpg"
        raise InputError(f"no pictures (png, jpg, tif, webp and so on) in {path}; {remedy}")
    return Source(pictures, read, sorted(set(names) - set(pictures)))


def is_hidden(path: PurePath) -> bool:
    """Whether a name on the way says so, or that it is a Mac's resource fork."""
    return any(part.startswith((".", "__MACOSX")) for part in path.parts)


def files_under(path: Path, place: str = "", above: tuple[str, ...] = ()) -> Iterable[str]:
    """Regular files below a folder, relative to it: no pipes, no sockets. Links are followed, but not in circles.

    Runs of this package are passed over, whose pictures are not the user's.
    """
    real = os.path.realpath(path / place)
    if real in above:
        return
    entries = sorted(os.scandir(path / place), key=lambda entry: entry.name)
    if place and {"config.json", "hypers.txt", "samples"} <= {entry.name for entry in entries}:
        return
    for entry in entries:
        name = f"{place}/{entry.name}" if place else entry.name
        if entry.is_dir():
            yield from files_under(path, name, (*above, real))
        elif entry.is_file():
            yield name
        elif entry.is_symlink() and is_picture(PurePath(name).suffix) and not is_hidden(PurePath(name)):
            raise InputError(f"{path / name} is a link to a file that is not there; fetch it, or remove the link")


def zipped(path: Path) -> tuple[list[str], Callable[[str], bytes]]:
    """Names of the files in a zip, whichever slash they were packed with, and how to read one."""
    try:
        archive = zipfile.ZipFile(path)  # its reads are safe from several threads
        found = {info.filename.replace("\\", "/"): info for info in archive.infolist() if not info.is_dir()}
    except Exception as error:  # of many kinds, as bytes that were changed call for
        raise InputError(f"{path} is a damaged zip ({reason(error)}); download it again") from None

    def read(name: str) -> bytes:
        if found[name].file_size > MOST_BYTES:
            raise InputError(f"{path} says that {name} has {found[name].file_size} bytes, which is no picture; remove "
                             "it")
        try:
            return archive.read(found[name])
        except Exception as error:  # every packing method has errors of its own
            raise InputError(
                f"{path} cannot be read at {name} ({reason(error)}); download it again, or unpack it") from None

    return list(found), read


def left_out(others: list[str]) -> str:
    """The files that are no pictures, counted by suffix."""
    counts = Counter(PurePath(name).suffix.lower() or "no suffix" for name in others)
    if not counts:
        return ""
    listed = ", ".join(f"{count} {suffix}" for suffix, count in sorted(counts.items()))
    return f"; left out: {listed}" + (" (convert pictures among them to png or jpg)" if counts.keys() & UNREAD_PICTURES
                                      else "")


def sorted_by_folder(paths: list[PurePath], root: Path) -> Sorted:
    """The folder right above a picture is its class.

    Where all folders at the top are named train, val, test and their like, these are parts: test is never trained on,
    val only beside it, and below each the next folder is the class. A folder test beside class folders that holds class
    folders itself is the test part too. Pictures beside folders, or in a folder `unlabelled`, have no class.

    Raises:
        ValueError: If there is nothing to train on, or pictures of the test part lack a class that others have.
    """
    while len({path.parts[0] for path in paths}) == 1 and all(len(path.parts) > 1 for path in paths):
        if paths[0].parts[0].lower() in TEST:
            break
        paths = [PurePath(*path.parts[1:]) for path in paths]  # one folder around all others says nothing
    tops = {path.parts[0].lower() for path in paths if len(path.parts) > 1}
    parted = bool(tops & {*TRAIN}) and bool(tops & {*TEST, *VALIDATION})
    if parted and (others := sorted(tops - {*TRAIN, *VALIDATION, *TEST, *NO_CLASS})):
        raise InputError(f"{root} has the parts {', '.join(sorted(tops - set(others)))} and {others[0]} beside them, "
                         "which is neither a part nor in one; move it into train, or out")
    while parted and (deep := [path for path in paths if has_class(path)]) and (
            all(len(path.parts) > 3 for path in deep) and len({path.parts[1] for path in deep}) == 1):
        paths = [PurePath(path.parts[0], *path.parts[2:]) if has_class(path) else path for path in paths]  # nor this
    held_out = TEST if tops & {*TEST} else VALIDATION if parted else TEST
    places, apart = [], []
    for path in paths:
        top, place = path.parts[0].lower(), path.parent.name
        way = [part.lower() for part in path.parts[:-1]]
        unlabelled = not has_class(path)
        below = {top} if parted else {*takewhile(lambda part: part not in NO_CLASS, way[:-1])}
        apart.append(len(path.parts) > 1 and bool(below & {*held_out}))
        if parted and len(path.parts) > 2:
            place = path.parts[1]
        elif tops and (len(path.parts) == 1 or parted):
            place = NO_CLASS[0]
        places.append(NO_CLASS[0] if unlabelled else place)
    known = [place.lower() not in NO_CLASS for place in places]
    for path, known_one, part in zip(paths, known, apart):
        below = path.parts[0].lower() in held_out and len(path.parts) == 2 and (parted or not all(known))
        if below and any(known) and (known_one or part):
            raise InputError(f"pictures in {path.parent} need a folder of their class, got {path}; move them into "
                             f"{path.parent}/CLASS, or rename {path.parent} if it is a class")
    if all(apart):
        raise InputError(f"{root} holds pictures in its folder {paths[0].parts[0]} alone; name the folder above it, or "
                         "add pictures to train on")
    apart = torch.tensor(apart)
    folders = sorted({up_to(path, held_out) for path, part in zip(paths, apart) if part})
    told = f"the test part is in {' and '.join(folders[:3])}{' and others' * (len(folders) > 3)}" if folders else ""
    if len(set(places)) < 2 or not any(known):
        return Sorted(None, (), apart, told)
    classes = sorted({place for place, known_one in zip(places, known) if known_one}, key=in_order)
    labels = torch.tensor([classes.index(place) if known_one else UNKNOWN for place, known_one in zip(places, known)])
    nameless = apart & (labels == UNKNOWN)
    cut = "the test part is cut off here"
    words = f"{counted(classes, labels[~nameless])}; {told or cut}"
    if nameless.any():
        words += f"; {int(nameless.sum())} pictures of it have no class and are left out"
    if told and not (apart & ~nameless).any():
        words += f"; {cut}"
    if not told and (named := [name for name in classes if name.lower() in TEST]):
        words += f"; warning: {named[0]} is taken for a class, put its pictures into {named[0]}/CLASS if it is none"
    above = defaultdict(dict)  # class -> folder, in any part, and how it is told
    for path, place, part in zip(paths, places, apart.tolist()):
        if not part and len(path.parts) > 1:
            folder = path.parent if parted else path.parents[1]
            above[place].setdefault(folder.parts[parted:], str(folder))
    for name in [name for name in classes if len(above[name]) > 1][:1]:
        one, other = sorted(above[name].values())[:2]
        words += (f"; warning: {one} and {other} are taken for one class, {name}; the folder right below a part is a "
                  "picture's class" if parted else
                  f"; warning: {name} in {one} and in {other} are taken for one class; the folder right above a "
                  "picture is its class")
    return Sorted(labels, tuple(classes), apart, words, told, ~nameless)


def has_class(path: PurePath) -> bool:
    """Whether no folder on the way says that nobody has said one."""
    return {part.lower() for part in path.parts[:-1]}.isdisjoint(NO_CLASS)


def up_to(path: PurePath, names: tuple[str, ...]) -> str:
    """The folder of one of these names on the way to a picture."""
    at = next(at for at, part in enumerate(path.parts[:-1]) if part.lower() in names)
    return str(PurePath(*path.parts[: at + 1]))


def sorted_by_file(content: bytes, paths: list[PurePath], place: PurePath) -> Sorted:
    """Classes as StyleGAN's dataset.json says: {"labels": [["00000/img00000000.png", 3], ...]}, or null for none.

    Raises:
        ValueError: If it says something else.
    """
    shape = f'{place} must hold {{"labels": [["{paths[0]}", 0], ...]}} or {{"labels": null}}'
    none = torch.zeros(len(paths), dtype=torch.bool)
    try:
        pairs = json.loads(content)["labels"]
        if pairs is None:
            return Sorted(None, (), none, f"{place} has no labels")
        given = {str(place.parent / name): label for name, label in pairs}
        values = np.array(list(given.values()))
    except (ValueError, TypeError, KeyError, RecursionError):
        raise InputError(f"{shape}, which it does not; repair or remove it") from None
    if absent := sorted(set(given) - set(map(str, paths))):
        raise InputError(f"{place} labels {absent[0]}, which is not there; add the picture or take it out")
    numbers, classes, words = read_labels([values], [len(given)], str(place))
    of_name = dict(zip(given, numbers.tolist()))
    labels = torch.tensor([of_name.get(str(path), UNKNOWN) for path in paths])
    return Sorted(labels, classes, none, f"{words}, from {place}; the test part is cut off here")


def content_of(source: Source, file: str) -> tuple[str, bytes] | None:
    """Where the file of this name is, and what it holds; None where there is none.

    Raises:
        ValueError: If there are several.
    """
    places = [name for name in source.others if PurePath(name).name == file and not is_hidden(PurePath(name))]
    if len(places) > 1:
        raise InputError(f"{file} must be there once, got {len(places)}: {places[0]} and {places[1]}; keep one")
    return (places[0], source.read(places[0])) if places else None


def in_classes(source: Source, paths: list[PurePath], options: DataOptions) -> Sorted:
    """As StyleGAN's dataset.json, CelebA's lists or the folders say."""
    names = [path.name for path in paths]
    if file := content_of(source, LABEL_FILE):
        found = sorted_by_file(file[1], paths, PurePath(file[0]))
    elif file := content_of(source, PART_FILE):
        found = Sorted(None, (), *held_out_part(file[1], names, file[0]))
    else:
        found = sorted_by_folder(paths, options.data_path)
    if options.attribute is None:
        return found
    file = content_of(source, ATTRIBUTE_FILE)
    if file is None:
        raise InputError(f"--attribute {options.attribute} needs CelebA's {ATTRIBUTE_FILE}, which is not in "
                         f"{options.data_path}; put it there, or leave the flag out")
    labels = attribute_labels(file[1], names, options.attribute, file[0])
    classes = (f"not {options.attribute}", options.attribute)
    words = "; ".join(filter(None, [counted(classes, labels), found.parts if found.classes else found.words]))
    return found._replace(labels=labels, classes=classes, words=words, kept=None)


def image_folder(options: DataOptions) -> Dataset:
    """The user's pictures under data_path; folders, StyleGAN's dataset.json or CelebA's lists say class and part.

    Where there is no test part, a tenth of all is, or a fifth of the labelled where others have no label.
    """
    source = picture_source(options.data_path)
    paths = [PurePath(name) for name in source.names]
    found, names = in_classes(source, paths, options), source.names
    if found.kept is not None:
        names = [name for name, kept in zip(names, found.kept.tolist()) if kept]
        found = found._replace(labels=found.labels[found.kept], apart=found.apart[found.kept])
    pictures, values, notes = read_pictures(names, source.read, options)
    notes = (f"read {len(names)} pictures{left_out(source.others)}", *notes, *([found.words] if found.words else []))
    data = images_tensor(pictures)
    check_varied(data, str(options.data_path))
    apart = found.apart if found.apart.any() else None
    return replace(in_parts("image_folder", data, found.labels, found.classes, apart), notes=notes, values=values)


DATA_SETS.register("image_folder")(DataSource(image_folder))

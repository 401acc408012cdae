"""Files of every kind that a user would have on disk, made small, and a data set loaded from them."""

import gzip
import io
import pickle
import struct
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

from bayesgan.data import DATA_SETS, DataOptions, svhn
from bayesgan.data.idx import PARTS

RANDOM = np.random.default_rng(0)


def write_idx(folder, sizes=(30, 10), pack=True):
    folder.mkdir(parents=True, exist_ok=True)
    for part, size in zip(PARTS, (sizes[0], sizes[0], sizes[1], sizes[1])):
        array = RANDOM.integers(0, 255, (size, 28, 28)) if "images" in part else np.arange(size) % 10
        content = (
            struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()
        )
        if pack:
            (folder / f"{part}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / part).write_bytes(content)


def picture(size=(12, 12), mode="L"):
    shape = (size[1], size[0]) if mode == "L" else (size[1], size[0], 3)
    file = io.BytesIO()
    Image.fromarray(RANDOM.integers(0, 255, shape).astype(np.uint8)).save(file, "png")
    return file.getvalue()


def write_pictures(folder, classes=("a", "b"), count=10, **kind):
    for name in classes:
        (folder / name).mkdir(parents=True)
        for n in range(count):
            (folder / name / f"{n}.png").write_bytes(picture(**kind))


def write_svhn(folder, sizes=(12, 5)):
    for part, size in zip(("train", "test"), sizes):
        savemat(folder / f"{part}_32x32.mat", {"X": RANDOM.integers(0, 255, (32, 32, 3, size)).astype(np.uint8),
                                               "y": (np.arange(size) % 10 + 1).astype(np.uint8)[:, None]})
    return {part: svhn.calculate_md5(folder / f"{part}_32x32.mat") for part in svhn.MD5}


def write_cifar(folder):
    for name in (*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"):
        rows = RANDOM.integers(0, 255, (4, 3073)).astype(np.uint8)
        rows[:, 0] = np.arange(4)
        rows.tofile(folder / f"{name}.bin")


def write_pickles(folder, name):
    """CIFAR as torchvision leaves it, pickled as by Python 2; the bytes of the test images."""
    root, key = folder / name, "fine_labels" if "100" in name else "labels"
    root.mkdir(parents=True)
    names = ("train", "test") if "100" in name else (*(f"data_batch_{n}" for n in range(1, 6)), "test_batch")
    for part in names:
        rows = RANDOM.integers(0, 255, (4, 3072)).astype(np.uint8)
        content = {"data": rows, key: list(range(4)), "filenames": ["a.png"] * 4}
        (root / part).write_bytes(pickle.dumps(content, protocol=2).replace(b"numpy._core", b"numpy.core"))
    classes = [f"name {number}" for number in range(100 if "100" in name else 10)]
    meta, of_classes = ("meta", "fine_label_names") if "100" in name else ("batches.meta", "label_names")
    (root / meta).write_bytes(pickle.dumps({of_classes: classes}, protocol=2))
    return rows


def load(name, folder, **options):
    return DATA_SETS[name].load(DataOptions(data_path=Path(folder), cache_path=Path(folder) / "cache", **options))


def write_photo(path, size, colour):
    """A JPEG as cameras leave it: smooth, with a disc of the colour in its middle."""
    path.parent.mkdir(parents=True, exist_ok=True)
    across, down = np.meshgrid(np.arange(size[0]) - size[0] / 2, np.arange(size[1]) - size[1] / 2)
    disc = np.hypot(across, down) < min(size) / 4
    pixels = np.where(disc[..., None], colour, np.array([40, 60, 90]) + RANDOM.integers(0, 60))
    Image.fromarray(pixels.astype(np.uint8)).save(path, "jpeg", quality=90)


def write_celeba(folder, count=40):
    """CelebA as torchvision lays it out, those with red discs smiling; the colours of the discs."""
    root, colours = folder / "celeba", RANDOM.integers(0, 256, (count, 3))
    for number, colour in enumerate(colours, 1):
        write_photo(root / "img_align_celeba" / f"{number:06d}.jpg", (178, 218), colour)
    parts = [0] * (count * 3 // 4) + [1] * (count // 8) + [2] * (count - count * 3 // 4 - count // 8)
    (root / "list_eval_partition.txt").write_text(
        "".join(f"{number:06d}.jpg {part}\n" for number, part in enumerate(parts, 1)))
    (root / "list_attr_celeba.txt").write_text("".join([f"{count}\nArched_Eyebrows Smiling Young\n", *(
        f"{number:06d}.jpg -1  {1 if colour[0] > 127 else -1}  1\n" for number, colour in enumerate(colours, 1))]))
    for name in ("identity_CelebA.txt", "list_bbox_celeba.txt"):
        (root / name).write_text(f"{count}\n000001.jpg 1\n")
    return colours


def write_imagenet(folder, classes=("n01440764", "n01443537", "n01484850"), count=14):
    """ImageNet as torchvision unpacks it: photographs of all sizes in train/<wnid> and val/<wnid>."""
    for number, name in enumerate(classes):
        for at in range(count):
            part, file = ("val", "ILSVRC2012_val") if at >= count - 4 else ("train", name)
            size = tuple(map(int, RANDOM.integers(90, 500, 2)))
            write_photo(folder / part / name / f"{file}_{at:08d}.JPEG", size, np.eye(3)[number % 3] * 255)
    first = folder / "train" / classes[0] / f"{classes[0]}_00000000.JPEG"
    Image.open(first).convert("CMYK").save(first, "jpeg")  # of which there are 22 in it
    Image.open(first).convert("RGB").save(first.with_name(f"{classes[0]}_00000001.JPEG"), "png")  # and one of these


def write_small_imagenet(folder, side=32, batches=2, rows=30):
    """Downsampled ImageNet as its zips unpack; the images of the first batch."""
    first = None
    for part, names in (("train", [f"train_data_batch_{n}" for n in range(1, batches + 1)]), ("val", ["val_data"])):
        (folder / f"Imagenet{side}_{part}_npz").mkdir(parents=True)
        for name in names:
            data = RANDOM.integers(0, 256, (rows, 3 * side * side)).astype(np.uint8)
            first = data if first is None else first
            more = {} if part == "val" else {"mean": data.mean(0)}
            np.savez(folder / f"Imagenet{side}_{part}_npz" / f"{name}.npz", data=data,
                     labels=np.arange(rows) * 33 % 1000 + 1, **more)
    return first

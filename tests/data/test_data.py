"""Every registered data set under one contract, on files made for it; then each way a file can be wrong."""

import gzip
import pickle
import shutil
import struct
import tarfile
import tracemalloc
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bayesgan.data import DATA_SETS, DataOptions, some, stacked, svhn, to_bytes, to_float
from bayesgan.data.bundled import gaussian_grid
from bayesgan.data.four_shapes import SHAPES
from bayesgan.data.idx import PARTS, read_idx
from tests.data.files import (
    RANDOM,
    load,
    picture,
    write_cifar,
    write_idx,
    write_pickles,
    write_pictures,
    write_small_imagenet,
    write_svhn,
)
from tests.paths import REAL_DATA, needs_real_data

# what the user would have on disk; a new data set fails the contract until it says so here
MAKE = {
    "digits": lambda folder: None, "synthetic": lambda folder: None, "gaussians25": lambda folder: None,
    "mnist": lambda folder: write_idx(folder), "fashion_mnist": lambda folder: write_idx(folder, pack=False),
    "four_shapes": lambda folder: write_pictures(folder, SHAPES), "image_folder": write_pictures,
    "npz": lambda folder: np.savez(folder / "mine.npz", x=RANDOM.random((20, 9, 9)), y=np.arange(20) % 3),
    "svhn": write_svhn, "cifar": write_cifar, "cifar100": partial(write_pickles, name="cifar-100-python"),
    "stacked_mnist": write_idx, "imagenet": write_small_imagenet,
}


@pytest.mark.parametrize("name", DATA_SETS)
def test_contract(name, tmp_path, monkeypatch):
    published = MAKE[name](tmp_path)
    monkeypatch.setattr(stacked, "SIZE", 600)  # its labels and its size: test_stacked.py
    if name == "svhn":
        monkeypatch.setattr(svhn, "MD5", published)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    data = load(name, tmp_path)
    assert len(data.train) > 0 and len(data.test) > 0 and data.train.shape[1:] == data.test.shape[1:]
    for part in (data.train, data.test):
        assert part.is_contiguous()
        if data.is_images:
            assert part.dtype == torch.uint8 and part.shape[1] in (1, 3)
        else:
            assert part.dtype == torch.float32
    values = to_float(data.train)
    if data.is_images:
        assert values.min() >= -1 and values.max() <= 1
        assert torch.equal(to_bytes(values), data.train)
    else:
        assert values.mean().abs() < 0.1 and 0.8 < values.std() < 1.2
    for labels, part in ((data.train_labels, data.train), (data.test_labels, data.test)):
        assert labels.dtype == torch.int64 and len(labels) == len(part) and labels.max() < len(data.classes)
    again = load(name, tmp_path)
    assert torch.equal(data.train, again.train) and torch.equal(data.test_labels, again.test_labels)
    assert all(path.read_bytes() == content for path, content in before.items()), "the source was written to"
    if data.is_images:
        assert load(name, tmp_path, image_size=16).shape == (data.shape[0], 16, 16)


def test_some_rows_are_of_all_classes_where_data_lie_in_their_order():
    data = torch.arange(3).repeat_interleave(1000)
    chosen = some(data, 300)
    assert len(chosen) == 300 and min(chosen.bincount()) > 70 and torch.equal(chosen, some(data, 300))
    assert torch.equal(some(data, 3000), data)


def test_only_some_classes():
    data = load("digits", ".")
    some = data.only([7, 2])
    assert some.classes == ("7", "2") and set(some.train_labels.tolist()) == {0, 1}
    assert len(some.train) == sum((data.train_labels == c).sum() for c in (2, 7))
    assert torch.equal(some.train[some.train_labels == 1], data.train[data.train_labels == 2])
    for classes, words in (([10], "classes of digits are 0, 1, .*9, got 10"), ([1, 1], "twice")):
        with pytest.raises(ValueError, match=words):
            data.only(classes)


def test_synthetic_has_the_papers_law():
    data = load("synthetic", ".", x_dim=30, cluster_dim=3)
    assert data.shape == (30,) and len(data.train) + len(data.test) == 10_000
    rows, labels = data.train.double(), data.train_labels
    assert rows.mean(0).abs().max() < 1e-5 and (rows.std(0) - 1).abs().max() < 1e-3
    assert torch.cat([labels, data.test_labels]).bincount().tolist() == [1000] * 10
    for cluster in range(10):
        own = rows[labels == cluster]
        spectrum = torch.linalg.svdvals(own - own.mean(0))
        assert spectrum[2] > 1 and spectrum[3] < 1e-3 * spectrum[0]  # three dimensions, no more
    with pytest.raises(ValueError, match="cluster_dim must be in 1..x_dim, got 5 with x_dim 4"):
        load("synthetic", ".", x_dim=4, cluster_dim=5)


def test_gaussians25_has_its_modes_and_spread():
    data = load("gaussians25", ".")
    assert len(data.train) == 64_000 and len(data.test) == 10_000
    points, labels = data.train.double() * 2**0.5, data.train_labels
    modes = torch.from_numpy(gaussian_grid())
    for mode in range(25):
        own = points[labels == mode]
        assert (own.mean(0) - modes[mode]).abs().max() < 5 * 0.05 / len(own) ** 0.5
        assert (own.std(0) - 0.05).abs().max() < 5 * 0.05 / (2 * len(own)) ** 0.5


@needs_real_data
@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_the_real_idx_files(name):
    data = load(name, REAL_DATA)
    assert data.train.shape == (60_000, 1, 28, 28) and data.test.shape == (10_000, 1, 28, 28)
    assert len(data.classes) == 10


@needs_real_data
def test_the_real_shapes_zip_through_its_cache(tmp_path):
    options = DataOptions(data_path=REAL_DATA / "shapes.zip", cache_path=tmp_path, image_size=32)
    data = DATA_SETS["four_shapes"].load(options)
    assert len(data.train) == 11_976 and len(data.test) == 2_994
    counts = torch.cat([data.train_labels, data.test_labels]).bincount().tolist()
    assert counts == [3720, 3765, 3765, 3720]
    assert to_float(data.train).mean() > 0  # black on white
    stamp = (tmp_path / "four_shapes_32.npz").stat().st_mtime_ns
    assert torch.equal(DATA_SETS["four_shapes"].load(options).train, data.train)
    assert (tmp_path / "four_shapes_32.npz").stat().st_mtime_ns == stamp


def test_a_damaged_or_stale_cache_is_made_again(tmp_path):
    write_pictures(tmp_path / "shapes", SHAPES)
    first = load("four_shapes", tmp_path)
    cache = tmp_path / "cache" / "four_shapes_full.npz"
    cache.write_bytes(cache.read_bytes()[:50])
    assert torch.equal(load("four_shapes", tmp_path).train, first.train)
    (tmp_path / "shapes" / "star" / "new.png").write_bytes(picture())
    assert len(load("four_shapes", tmp_path).train) + len(load("four_shapes", tmp_path).test) == 41


@pytest.mark.parametrize(
    "damage, words",
    [
        (lambda f: (f / f"{PARTS[0]}.gz").write_bytes(b"\x1f\x8b junk"), "train-images.* cannot be unpacked"),
        (
            lambda f: (f / f"{PARTS[2]}.gz").write_bytes(gzip.compress(b"\0\0\x08\x03" + bytes(20))),
            "t10k-images.*truncated",
        ),
        (lambda f: (f / f"{PARTS[1]}.gz").write_bytes(gzip.compress(b"P5 not idx")), "train-labels.*not an idx file"),
        (lambda f: (f / f"{PARTS[3]}.gz").unlink(), "lacks t10k-labels-idx1-ubyte"),
    ],
)
def test_damaged_idx_files_are_named(tmp_path, damage, words):
    write_idx(tmp_path)
    damage(tmp_path)
    with pytest.raises(ValueError, match=words):
        load("mnist", tmp_path)


def test_images_and_labels_of_different_length(tmp_path):
    write_idx(tmp_path)
    (tmp_path / f"{PARTS[1]}.gz").write_bytes(gzip.compress(struct.pack(">BBBBI", 0, 0, 8, 1, 3) + bytes(3)))
    with pytest.raises(ValueError, match="do not fit"):
        load("mnist", tmp_path)


def test_an_unpacked_idx_file_reads_as_the_packed_one(tmp_path):
    write_idx(tmp_path)
    packed = tmp_path / f"{PARTS[0]}.gz"
    (tmp_path / PARTS[0]).write_bytes(gzip.decompress(packed.read_bytes()))
    assert np.array_equal(read_idx(packed), read_idx(tmp_path / PARTS[0]))


def test_idx_files_by_all_names_in_use(tmp_path):
    """With dots as some archives unpack them, and called .gz though a browser has unpacked them."""
    write_idx(tmp_path / "mnist", pack=False)
    before = load("mnist", tmp_path)
    for number, part in enumerate(PARTS):
        stored = tmp_path / "mnist" / part
        stored.rename(stored.with_name(part.replace("-idx", ".idx") if number < 2 else f"{part}.gz"))
    after = load("mnist", tmp_path)
    assert torch.equal(before.train, after.train) and torch.equal(before.test_labels, after.test_labels)
    assert after.notes == (f"read from {tmp_path / 'mnist'}",)


@pytest.mark.parametrize("promise", [1, 2**40])
def test_no_more_is_unpacked_than_the_header_promises(tmp_path, promise):
    """300 MB of zeros in 300 kB: refused within a tenth of their size."""
    path = tmp_path / "train-images-idx3-ubyte.gz"
    with gzip.open(path, "wb") as file:
        file.write(struct.pack(">BBBBII", 0, 0, 8, 2, max(1, promise >> 32), min(promise, 2**32 - 1)))
        for _ in range(300):
            file.write(bytes(2**20))
    tracemalloc.start()
    with pytest.raises(ValueError, match="more than 1 bytes of data" if promise == 1 else "no such set is that large"):
        read_idx(path)
    assert tracemalloc.get_traced_memory()[1] < 30 * 2**20
    tracemalloc.stop()


@pytest.mark.parametrize("name", ["mnist", "svhn", "cifar", "cifar100"])
def test_missing_files_and_a_failing_download_are_one_line_and_leave_nothing(name, tmp_path, monkeypatch):
    def offline(url, root, *arguments, **options):
        Path(root, "partly").mkdir(parents=True)
        raise OSError("no route to host")

    monkeypatch.setattr("torchvision.datasets.mnist.download_and_extract_archive",
                        lambda url, download_root, **options: offline(url, download_root))
    monkeypatch.setattr("bayesgan.data.svhn.download_url", offline)
    monkeypatch.setattr("bayesgan.data.cifar.download_and_extract_archive", offline)
    with pytest.raises(ValueError, match=f"{name}.*the download failed.*no route to host.*--data_path"):
        load(name, tmp_path / "mine")
    assert list(tmp_path.iterdir()) == []


def test_a_download_is_used_when_nothing_is_there(tmp_path, monkeypatch):
    """CIFAR's archive, made small, through the same path as the real download."""
    source = tmp_path / "source"
    source.mkdir()
    write_cifar(source)
    archive = tmp_path / "cifar-10-binary.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(source, "cifar-10-batches-bin")

    def fetched(url, root, md5):
        shutil.unpack_archive(archive, root)  # tarfile's own filter is missing in the first Pythons 3.10 and 3.11

    monkeypatch.setattr("bayesgan.data.cifar.download_and_extract_archive", fetched)
    data = load("cifar", tmp_path / "target")
    assert data.train.shape == (20, 3, 32, 32) and len(data.test) == 4


def test_svhn_and_cifar_layouts(tmp_path, monkeypatch):
    monkeypatch.setattr(svhn, "MD5", write_svhn(tmp_path))
    write_cifar(tmp_path)
    assert load("svhn", tmp_path).train_labels.tolist()[:10] == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]
    raw = np.fromfile(tmp_path / "test_batch.bin", np.uint8).reshape(4, 3073)
    assert np.array_equal(load("cifar", tmp_path).test[2].numpy().ravel(), raw[2, 1:])
    (tmp_path / "data_batch_3.bin").write_bytes(b"x" * 100)
    with pytest.raises(ValueError, match="data_batch_3.bin has 100 bytes, expected a multiple of 3073"):
        load("cifar", tmp_path)
    (tmp_path / "train_32x32.mat").write_bytes(b"not a matrix")
    with pytest.raises(ValueError, match="train_32x32.mat is not the published file"):
        load("svhn", tmp_path)


@pytest.mark.parametrize("name, folder", [("cifar", "cifar-10-batches-py"), ("cifar100", "cifar-100-python")])
def test_cifar_as_torchvision_leaves_it(tmp_path, name, folder):
    rows = write_pickles(tmp_path, name=folder)
    data = load(name, tmp_path)
    assert np.array_equal(data.test[2].numpy().ravel(), rows[2])
    assert data.test_labels.tolist() == [0, 1, 2, 3] and data.classes[1] == "name 1"
    assert torch.equal(load(name, tmp_path / folder).train, data.train)


def test_cifar_100_binary(tmp_path):
    for part in ("train", "test"):
        rows = RANDOM.integers(0, 255, (4, 2 + 3072)).astype(np.uint8)
        rows[:, 1] = (99, 5, 0, 1)
        rows.tofile(tmp_path / f"{part}.bin")
    (tmp_path / "fine_label_names.txt").write_text("\n".join(f"thing{n}" for n in range(100)))
    data = load("cifar100", tmp_path)
    assert np.array_equal(data.test.numpy().reshape(4, -1), rows[:, 2:])
    assert [data.classes[label] for label in data.test_labels] == ["thing99", "thing5", "thing0", "thing1"]


class Harmful:
    """What a pickle that runs code looks like."""

    def __reduce__(self):
        return print, ("code has run",)


@pytest.mark.parametrize(
    "content, words",
    [
        (Harmful(), "asks for __builtin__.print"),
        ({"data": np.zeros((4, 3072), np.uint8), "fine_labels": [0, 1, Harmful(), 3]}, "asks for __builtin__.print"),
        ([1, 2], "holds list, not a dict"),
        ({"data": np.zeros((4, 3071), np.uint8)}, "no 'data' of"),
        ({"data": np.zeros((4, 3072), np.uint8), "fine_labels": [0, 1]}, "no 'fine_labels', a class number for each"),
        ({"data": np.zeros((2, 3072), np.uint8), "fine_labels": [0, 100]}, "labels 0..100, cifar100 has 0..99"),
        (b"cut short", "cannot be unpickled as plain arrays"),
    ],
)
def test_pickles_build_plain_data_alone(tmp_path, capsys, content, words):
    write_pickles(tmp_path, name="cifar-100-python")
    dumped = pickle.dumps(content, protocol=2)
    (tmp_path / "cifar-100-python" / "train").write_bytes(dumped[:20] if isinstance(content, bytes) else dumped)
    with pytest.raises(ValueError, match=words):
        load("cifar100", tmp_path)
    assert "code has run" not in capsys.readouterr().out


def test_pictures_of_mixed_size_or_colour(tmp_path):
    write_pictures(tmp_path)
    (tmp_path / "b" / "odd.png").write_bytes(picture((13, 12)))
    with pytest.raises(ValueError, match="12x12 grey, .*odd.png is 13x12 grey; --image_size"):
        load("image_folder", tmp_path)
    assert load("image_folder", tmp_path, image_size=10).shape == (1, 10, 10)
    (tmp_path / "b" / "odd.png").write_bytes(picture(mode="RGB"))
    assert load("image_folder", tmp_path).shape == (1, 12, 12)
    data = load("image_folder", tmp_path, channels=3)
    assert data.shape == (3, 12, 12) and "20 of 21 are grey" in " ".join(data.notes)
    grey = np.asarray(Image.open(tmp_path / "a" / "0.png"))
    everything = torch.cat([data.train, data.test])
    assert any(torch.equal(image, torch.from_numpy(grey.copy()).expand(3, 12, 12)) for image in everything)


@pytest.mark.parametrize("content, why", [
    (b"", "it has no bytes"), (b"mine", "it is of no known format"), (b"\x89PNG\r\n\x1a\n broken", ".+"),
    (picture()[:-30], ".+"),
])
def test_an_unreadable_picture_is_named(tmp_path, content, why):
    write_pictures(tmp_path)
    (tmp_path / "a" / "bad.png").write_bytes(content)
    with pytest.raises(ValueError, match=rf"cannot read the picture .*bad.png \({why}\); repair or"):
        load("image_folder", tmp_path)


def pictures_of(folder, make):
    folder.mkdir()
    for n in range(4):
        (make() if n < 3 else make().transpose(Image.Transpose.ROTATE_90)).save(folder / f"{n}.png")
    return load("image_folder", folder)


def test_deep_transparent_and_palette_pictures(tmp_path):
    ramp16 = np.arange(256, dtype=np.uint16).reshape(16, 16) * 257
    deep = pictures_of(tmp_path / "deep", lambda: Image.fromarray(ramp16))
    assert deep.shape == (1, 16, 16) and deep.train[0].flatten().tolist() == list(range(256))
    clear = np.zeros((9, 9, 4), np.uint8)
    clear[2:4, 2:4] = (200, 0, 0, 255)
    laid = pictures_of(tmp_path / "clear", lambda: Image.fromarray(clear)).train[0]
    assert laid[:, 0, 0].tolist() == [255, 255, 255] and laid[:, 2, 2].tolist() == [200, 0, 0]
    grey_alpha = pictures_of(tmp_path / "grey", lambda: Image.fromarray(clear).convert("LA"))
    assert grey_alpha.shape == (1, 9, 9) and grey_alpha.train[0, 0, 0, 0] == 255
    palette = pictures_of(tmp_path / "palette", lambda: Image.fromarray(np.eye(9, dtype=np.uint8) * 200).convert("P"))
    assert palette.shape == (1, 9, 9) and palette.train.max() == 200


def test_an_edited_or_moved_picture_is_noticed(tmp_path):
    write_pictures(tmp_path / "shapes", SHAPES)
    before = load("four_shapes", tmp_path)
    (tmp_path / "shapes" / "star" / "0.png").rename(tmp_path / "shapes" / "circle" / "10.png")
    after = load("four_shapes", tmp_path)
    assert torch.cat([after.train_labels, after.test_labels]).bincount().tolist() == [11, 10, 9, 10]
    assert not torch.equal(before.train, after.train)


def test_zips_that_cannot_be_read(tmp_path):
    path = tmp_path / "mine.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("0.png", picture())
    content = bytearray(path.read_bytes())
    path.write_bytes(content[:content.index(b"PK\x01\x02")] + b"junk" + content[content.index(b"PK\x01\x02") + 4:])
    with pytest.raises(ValueError, match="mine.zip is a damaged zip"):
        load("image_folder", path)
    content[content.index(b"PK\x01\x02") + 10] = 99  # a compression method nobody knows
    path.write_bytes(content)
    with pytest.raises(ValueError, match="mine.zip cannot be read at 0.png"):
        load("image_folder", path)


def test_an_incomplete_folder_does_not_hide_a_complete_one(tmp_path):
    write_idx(tmp_path)
    (tmp_path / "MNIST" / "raw").mkdir(parents=True)
    (tmp_path / "MNIST" / "raw" / PARTS[0]).write_bytes(b"cut short")
    assert len(load("mnist", tmp_path).train) == 30


def test_classes_whose_names_are_numbers_are_meant_by_name(tmp_path):
    np.savez(tmp_path / "mine.npz", x=np.random.default_rng(0).random((20, 8, 8)), y=np.arange(20) % 2 * 3)
    with pytest.raises(ValueError, match="classes of npz are 0, 3, got 2"):
        load("npz", tmp_path).only([2])
    some = load("npz", tmp_path).only([3])
    assert some.classes == ("3",) and "of these the classes 3" in some.notes


def test_oblong_empty_and_absent_folders(tmp_path):
    with pytest.raises(ValueError, match="no pictures"):
        load("image_folder", tmp_path)
    with pytest.raises(ValueError, match="does not exist"):
        load("image_folder", tmp_path / "nowhere")
    with pytest.raises(ValueError, match="does not exist|four_shapes needs"):
        load("four_shapes", tmp_path / "nowhere")
    write_pictures(tmp_path, size=(12, 10))
    with pytest.raises(ValueError, match="must be square"):
        load("image_folder", tmp_path)
    with pytest.raises(ValueError, match="four_shapes needs the folders"):
        load("four_shapes", tmp_path)


def test_a_zip_of_pictures_and_a_cut_one(tmp_path):
    path = tmp_path / "mine.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for n in range(10):
            archive.writestr(f"all/{n}.png", picture())
        archive.writestr("__MACOSX/._0.png", b"resource fork")
    data = load("image_folder", path)
    assert len(data.train) == 9 and len(data.test) == 1 and data.train_labels is None
    with pytest.raises(ValueError, match="--classes needs labels"):
        data.only([0])
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ValueError, match="nor a complete zip"):
        load("image_folder", path)


def test_unknown_name_lists_the_choices():
    with pytest.raises(ValueError, match="unknown data set 'mnits'; choose one of: .*mnist"):
        DATA_SETS["mnits"]

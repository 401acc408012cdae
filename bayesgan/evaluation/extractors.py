"""What looks at images for a score: a classifier that was trained here and is kept, or the user's Inception weights."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from bayesgan.basics.errors import InputError, reason
from bayesgan.basics.files import write_json
from bayesgan.basics.progress import Progress
from bayesgan.basics.schema import Number, checked, read_json
from bayesgan.data import Dataset
from bayesgan.data.dataset import UNKNOWN
from bayesgan.ensemble import Ensemble, TensorFile, checksum, write_tensors
from bayesgan.evaluation.image_scores import classifier_network, fit, outputs

__all__ = ["WEIGHTS", "Extractor", "by_channel", "data_checksum", "inception", "read_judge", "require_torch_fidelity",
           "train_judge"]

WEIGHTS = "weights-inception-2015-12-05-6726825d.pth"  # as torch-fidelity publishes them
ABOUT = {"classes": [str], "shape": [Number(int, 1)], "shares": [Number(float, 0)], "sha256": str}


@dataclass(frozen=True)
class Extractor:
    """Any network that makes features of images.

    Attributes:
        name: For people.
        shape: Channels, height and width of the images it takes; None for any.
        about: What is kept beside scores, as JSON has it: hash of the weights, accuracy.
        outputs: Images (n, C, H, W) uint8 -> features (n, F) and logits (n, Y), on the CPU.
        shares: (Y,) how much of the data belongs to each class; None where logits are not the data's classes.
    """

    name: str
    shape: tuple[int | None, int | None, int | None]
    about: dict
    outputs: Callable[[Tensor], tuple[Tensor, Tensor]]
    shares: Tensor | None = None

    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """`outputs`; raises ValueError for images of another kind, size or number of channels."""
        fits = all(own in (None, given) for own, given in zip(self.shape, images.shape[1:]))
        if images.dim() != 4 or images.dtype != torch.uint8 or not fits:
            wanted = ", ".join("any" if own is None else str(own) for own in self.shape)
            raise InputError(f"{self.name} takes bytes (n, {wanted}), got {images.dtype} {tuple(images.shape)}; give "
                             "images of that size and number of channels, or another extractor")
        return self.outputs(images)


def require_torch_fidelity() -> None:
    """Raises InputError where it is not installed."""
    try:
        import torch_fidelity  # noqa: F401
    except ImportError:
        raise InputError('FID, KID, precision and recall need torch-fidelity, which is not installed; install it with '
                         'pip install -e ".[metrics]"') from None


def train_judge(
    data: Dataset, path: Path, steps: int, seed: int, command: str, device: torch.device | str = "cpu"
) -> None:
    """Trains a classifier of all labelled training images, and keeps it.

    Args:
        path: Of the weights, .safetensors; what is told of them is beside it, .json.
        command: That makes it, to be kept with it.
    """
    known = data.train_labels != UNKNOWN
    labels = data.train_labels[known]
    with Progress(steps, unit="step", every=10) as progress:
        progress.say(f"training a classifier of {data.name} on {len(labels)} images, once; it is kept in {path}")
        network = fit(data.train[known], labels, len(data.classes), steps, seed, device=device, progress=progress)
    state = {name: tensor.detach().cpu() for name, tensor in network.state().items()}
    about = {
        "data": data.name, "classes": list(data.classes), "shape": list(data.shape),
        "shares": (labels.bincount(minlength=len(data.classes)).double() / len(labels)).tolist(),
        "sha256": checksum(state), "data_sha256": data_checksum(data),
        "steps": steps, "seed": seed, "command": command, "torch": torch.__version__,
    }
    write_json(path.with_suffix(".json"), about)
    write_tensors(path, {"": state})  # last: with it the judge is there


def data_checksum(data: Dataset) -> str:
    """SHA-256 of the training images and labels."""
    return checksum({"images": data.train.contiguous(), "labels": data.train_labels.contiguous()})


def read_judge(path: Path, data: Dataset, device: torch.device | str = "cpu") -> Extractor:
    """What `train_judge` kept, with its accuracy on the test images that there are now.

    Raises:
        FileNotFoundError: If there are no such weights.
        ValueError: If a file is damaged, or they do not belong together.
    """
    remedy = f"delete {path}, and it is trained anew"
    state = TensorFile(path).group("")
    about = checked(read_json(path.with_suffix(".json"), remedy), ABOUT, str(path.with_suffix(".json")), remedy)
    if checksum(state) != about["sha256"]:
        raise InputError(f"{path} is not what {path.with_suffix('.json').name} tells of; {remedy}")
    shape, classes = tuple(about["shape"]), about["classes"]
    network = Ensemble(classifier_network(shape, len(classes)), 1, device=device)
    network.load_state(state)
    tested = data.test_labels != UNKNOWN
    logits, _ = outputs(network, data.test[tested])
    right = (logits.argmax(1) == data.test_labels[tested]).double()
    shown = {name: about[name] for name in about if name not in ("classes", "shares")} | {
        "accuracy": right.mean().item(), "test_images": len(right)}
    return Extractor(f"the classifier of {about.get('data')}", shape, {"file": str(path), **shown},
                     lambda images: outputs(network, images)[::-1], torch.tensor(about["shares"], dtype=torch.float64))


def by_channel(judge: Extractor, classes: tuple[str, ...]) -> Extractor:
    """A judge of grey images on each channel: features side by side, a class the number that the digits make.

    Args:
        classes: The numbers that there are, as in "042", each equally likely.
    """
    kept = torch.tensor([int(name) for name in classes])
    channels = len(classes[0])

    def seen(images: Tensor) -> tuple[Tensor, Tensor]:
        features, logits = judge(images.flatten(0, 1)[:, None])  # of every channel, (nC, F) and (nC, 10)
        digits = logits.log_softmax(1).unflatten(0, (-1, channels))  # (n, C, 10)
        numbers = digits[:, 0]
        for channel in range(1, channels):
            numbers = (numbers[:, :, None] + digits[:, channel, None]).flatten(1)
        return features.unflatten(0, (-1, channels)).flatten(1), numbers[:, kept]

    return Extractor(f"{judge.name}, channel by channel", (channels, *judge.shape[1:]), judge.about, seen,
                     torch.full((len(classes),), 1 / len(classes), dtype=torch.float64))


def inception(path: Path, device: torch.device | str = "cpu") -> Extractor:
    """Inception v3 as torch-fidelity computes it, with the weights that it publishes.

    Raises:
        ValueError: If the file is absent, no plain weights, or weights of another network.
    """
    require_torch_fidelity()
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    remedy = f"--weights names torch-fidelity's {WEIGHTS}"
    if not path.is_file():
        raise InputError(f"{path} is not a file; {remedy}")
    try:
        state = torch.load(path, weights_only=True)  # torch-fidelity itself would run what a pickle says
        network = FeatureExtractorInceptionV3("inception", ["2048", "logits_unbiased"], str(path)).to(device)
    except Exception as error:  # of many kinds, as other files call for
        raise InputError(f"{path} holds no weights of Inception ({reason(error)}); {remedy}") from None
    return Extractor("Inception", (3, None, None), {"file": str(path), "sha256": checksum(state)},
                     lambda images: tuple(part.cpu() for part in network(images.to(device))))

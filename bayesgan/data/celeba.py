"""The two lists that come with CelebA's pictures: which part each is of, and its 40 attributes."""

import torch
from torch import Tensor

from bayesgan.basics.errors import InputError

__all__ = ["ATTRIBUTE_FILE", "PART_FILE", "attribute_labels", "held_out_part"]

PART_FILE = "list_eval_partition.txt"  # a line a picture: its name and 0 for training, 1 for validation, 2 for testing
ATTRIBUTE_FILE = "list_attr_celeba.txt"  # a number; the attributes; a line a picture: its name, 1 or -1 for each


def held_out_part(content: bytes, names: list[str], place: str) -> tuple[Tensor, str]:
    """(n,) bool, and which part it is, in words; validation data are trained on where there are test data.

    None is where none of these pictures is of another part than the training data.

    Args:
        names: Of the pictures, without their folder.
        place: Of the list, for messages.

    Raises:
        ValueError: If it says something else, or nothing of a picture.
    """
    parts = {}
    for line in lines_of(content):
        name, _, part = line.strip().rpartition(" ")
        if part not in ("0", "1", "2"):
            raise InputError(f"{place} has the line {line[:60]!r}, and it must be a picture's name and 0, 1 or 2; "
                             "repair or remove it")
        parts[name.strip()] = part
    refuse_absent(names, parts, place)
    held_out = max(parts[name] for name in names)
    apart = torch.tensor([parts[name] == held_out != "0" for name in names])
    if not apart.any():
        return apart, f"{place} calls all {len(names)} pictures 0; the test part is cut off here"
    if apart.all():
        raise InputError(f"{place} calls all {len(names)} pictures {held_out}, the test part, and there is nothing to "
                         "train on; add pictures that it calls 0")
    return apart, f"the test part is what {place} calls {held_out}"


def attribute_labels(content: bytes, names: list[str], attribute: str, place: str) -> Tensor:
    """(n,) int64: 1 of the pictures that have the attribute, 0 of the others.

    Raises:
        ValueError: If there is no such attribute, the list says something else, or nothing of a picture.
    """
    if len(listed := lines_of(content)) < 2:
        raise InputError(f"{place} is empty; download it again")
    head, *lines = [line.split() for line in listed[1:]]
    if attribute not in head:
        raise InputError(f"--attribute must be one of those in {place}, got {attribute!r}; it has {', '.join(head)}")
    column = head.index(attribute) + 1
    if bad := [line for line in lines if len(line) != len(head) + 1 or line[column] not in ("1", "-1")]:
        raise InputError(f"{place} has a line that begins with {bad[0][0]!r}, and it must be a picture's name and 1 or "
                         f"-1 for each of {len(head)} attributes; download it again")
    values = {line[0]: int(line[column] == "1") for line in lines}
    refuse_absent(names, values, place)
    return torch.tensor([values[name] for name in names])


def lines_of(content: bytes) -> list[str]:
    """Those that are not blank; editors may have put a mark before the first one."""
    return [line for line in content.decode("utf-8-sig", errors="replace").splitlines() if line.strip()]


def refuse_absent(names: list[str], listed: dict, place: str) -> None:
    if absent := [name for name in names if name not in listed]:
        raise InputError(f"{place} says nothing of {absent[0]}; add a line there, or move the picture out")

"""Random shifts against moving each image by hand."""

import torch

from bayesgan.data import shifted


def test_every_result_is_one_of_the_possible_moves_and_all_occur():
    image = torch.arange(2 * 5 * 5.0).view(2, 5, 5)
    padded = torch.nn.functional.pad(image, [1] * 4, mode="replicate")
    moves = torch.stack([padded[:, y:y + 5, x:x + 5] for y in range(3) for x in range(3)])
    batch = image.expand(3, 300, 2, 5, 5)
    result = shifted(batch, 1, torch.Generator().manual_seed(0))
    assert result.shape == batch.shape
    which = (result.flatten(0, 1)[:, None] == moves[None]).flatten(2).all(2)  # (900, 9)
    assert (which.sum(1) == 1).all()
    counts = which.sum(0).double()  # each 100 on average, |z| < 5
    assert ((counts - 100).abs() < 5 * (900 / 9 * 8 / 9) ** 0.5).all()

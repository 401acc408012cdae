"""Noise in blocks is the noise drawn at once, and the chain that moves block by block the one that moves at once."""

import pytest
import torch

from bayesgan.sampler import SGHMC, RMSprop
from bayesgan.sampler.noise import BLOCK, STREAM, NoiseBuffer
from tests.targets import LIMIT, law_z_scores

NOISE = NoiseBuffer.blocks


def seeded(rows: int, seed: int = 1) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed + row) for row in range(rows)]


def drawn(like: torch.Tensor, sources: list[torch.Generator], whole: bool) -> tuple[torch.Tensor, int]:
    """All noise, flat, and in how many blocks it came."""
    blocks = [(where, noise.flatten().clone()) for where, noise in NoiseBuffer().blocks(like, sources, whole)]
    places = [where for where, _ in blocks if where is not None]
    assert [place.start for place in places] == [0, *(place.stop for place in places)][: len(places)]
    return torch.cat([noise for _, noise in blocks]), len(blocks)


@pytest.mark.parametrize("rows, columns, blocks", [
    (1, 2 * BLOCK, 2), (1, 2 * BLOCK + 1, 2), (2, BLOCK + 40, 4), (1, STREAM + 40, 5), (1, 2 * STREAM + 3, 8),
    (5, BLOCK // 2, 3), (700, 999, 3), (3, BLOCK - 5, 3), (300_000, 1, 2),
])
def test_blocks_are_what_is_drawn_at_once(rows, columns, blocks):
    like = torch.empty(rows, columns)
    pieces, count = drawn(like, seeded(rows), whole=False)
    at_once, one = drawn(like, seeded(rows), whole=True)
    assert (count, one) == (blocks, 1) and torch.equal(pieces, at_once)


def test_numbers_that_cannot_be_shared_out_are_refused():
    with pytest.raises(ValueError, match="7 numbers cannot be shared out among 2 generators; give one for each"):
        next(NoiseBuffer().blocks(torch.empty(7), seeded(2)))


def test_a_members_noise_does_not_depend_on_its_companions():
    alone, _ = drawn(torch.empty(1, BLOCK + 7), seeded(1, seed=2), whole=False)
    beside, _ = drawn(torch.empty(2, BLOCK + 7), seeded(2, seed=1), whole=False)
    assert torch.equal(beside[BLOCK + 7 :], alone)


def test_blocks_have_streams_of_their_own_whatever_the_cores(monkeypatch):
    for name, value in (("BLOCK", 480), ("STREAM", 1000), ("LARGE", 1000)):
        monkeypatch.setattr(f"bayesgan.sampler.noise.{name}", value)
    like, source, draws = torch.empty(100_500, dtype=torch.float64), torch.Generator(), []
    source.seed()
    start = source.get_state()
    for cores, blocks in ((1, 302), (4, 1)):
        monkeypatch.setattr("torch.get_num_threads", lambda cores=cores: cores)
        source.set_state(start)
        steps = [drawn(like, [source], whole=False) for _ in range(2)]
        assert [count for _, count in steps] == [blocks, blocks]
        draws.append([noise for noise, _ in steps])
    assert all(torch.equal(a, b) for a, b in zip(*draws))
    blocks = torch.cat([draw[:100_000] for draw in draws[0]]).view(200, 1000)  # of two steps
    correlation = torch.corrcoef(blocks) - torch.eye(200, dtype=torch.float64)
    assert (correlation.abs() * 1000**0.5).max() < LIMIT + 1  # 19,900 pairs
    assert (
        abs(blocks.mean()) * blocks.numel() ** 0.5 < LIMIT
        and abs(blocks.var() - 1) * (blocks.numel() / 2) ** 0.5 < LIMIT
    )


@pytest.mark.parametrize("cores", [1, 4])
@pytest.mark.parametrize("preconditioner", [None, 3.0])
def test_the_law_holds_with_noise_in_blocks(preconditioner, cores, monkeypatch):
    for name, value in (("BLOCK", 3000), ("STREAM", 5000), ("LARGE", 5000)):
        monkeypatch.setattr(f"bayesgan.sampler.noise.{name}", value)
    monkeypatch.setattr("torch.get_num_threads", lambda: cores)
    z = law_z_scores(0.3, 0.1, 2.0, 1.0, preconditioner=preconditioner)
    assert max(map(abs, z)) < LIMIT, z


@pytest.mark.parametrize("scheme", ["symplectic", "baoa"])
@pytest.mark.parametrize("metric", ["none", "rmsprop", "transposed"])
@pytest.mark.parametrize("held", [False, True])
def test_a_chain_in_blocks_is_the_chain_at_once(monkeypatch, scheme, metric, held):
    """Positions and momenta, bit for bit, of a tensor of two blocks and a bit, against one block for all."""
    rows, columns = 3, 1001
    start = torch.randn(rows, columns, generator=torch.Generator().manual_seed(0))
    force = torch.randn(rows, columns, generator=torch.Generator().manual_seed(1))

    slices = []

    def noted(self, *given):
        for where, noise in NOISE(self, *given):
            slices.append(where)
            yield where, noise

    monkeypatch.setattr(NoiseBuffer, "blocks", noted)

    def moved(block: int) -> list[torch.Tensor]:
        monkeypatch.setattr("bayesgan.sampler.noise.BLOCK", block)
        theta = start.clone().requires_grad_()
        fixed = [torch.rand(columns, rows, generator=torch.Generator().manual_seed(2)).T + 0.5]
        chain = SGHMC([theta], 0.01, 0.1, scheme=scheme, temperature=lambda step: float(step > 0),
                      preconditioner={"none": None, "rmsprop": RMSprop(), "transposed": fixed}[metric],
                      generator=lambda step: seeded(rows, seed=10 * step))
        if held:
            chain.hold(theta, torch.arange(rows)[:, None] == 1)
        for step in range(3):
            theta.grad = force * (step + 1)
            chain.step()
            chain.freeze_preconditioner()
        return [theta.detach(), chain.state[theta]["momentum"]]

    for in_blocks, at_once in zip(moved(1200), moved(2**20)):
        assert torch.equal(in_blocks, at_once)
    in_rows = [slice(row * columns, (row + 1) * columns) for row in range(rows)]
    assert slices == (4 * [None] if metric == "transposed" else 2 * in_rows + 2 * [None])  # it is not contiguous
    if held:
        assert torch.equal(in_blocks[1], torch.zeros(columns)) and in_blocks[0].any()

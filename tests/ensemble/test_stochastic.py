"""Layers that are random while training: what they draw, and that a network is looked over once a shape."""

import torch

from bayesgan.basics.randomness import keyed_generator
from bayesgan.ensemble import stochastic
from bayesgan.networks.mlp import Discriminator
from bayesgan.networks.registry import NetworkSizes


def sources(members: int) -> list[torch.Generator]:
    return [keyed_generator(0, "noise", member) for member in range(members)]


def network() -> torch.nn.Module:
    with torch.device("meta"):
        return Discriminator(NetworkSizes((6,), latent=3, generator_width=8, discriminator_width=8, layers=2,
                                          noise=0.5, dropout=0.25))


def test_each_layer_draws_for_the_shape_it_sees_from_each_members_own_source() -> None:
    own = network()
    drawn = stochastic.drawn_for(own, torch.zeros(2, 1000, 6), sources(2), torch.float64)
    assert {name: (values.shape, values.dtype) for name, values in drawn.items()} == {
        "noise.drawn": ((2, 1000, 6), torch.float64), "dropout.drawn": ((2, 1000, 8), torch.float64)
    }
    assert abs(drawn["noise.drawn"].std() - 0.5) < 0.03
    assert drawn["dropout.drawn"].unique().tolist() == [0, 4 / 3]
    alone = stochastic.drawn_for(own, torch.zeros(1, 1000, 6), sources(2)[1:], torch.float64)
    assert all(torch.equal(drawn[name][1:], values) for name, values in alone.items())


def test_a_network_is_looked_over_once_a_shape(monkeypatch) -> None:
    own, looked, note_shapes = network(), [], stochastic.note_shapes
    monkeypatch.setattr(stochastic, "note_shapes", lambda *given: looked.append(given[2].shape) or note_shapes(*given))
    for rows in (4, 7, 4, 7, 4):
        drawn = stochastic.drawn_for(own, torch.zeros(1, rows, 6), sources(1), torch.float32)
        assert drawn["noise.drawn"].shape == (1, rows, 6)
    assert looked == [(4, 6), (7, 6)]


def test_a_network_without_noise_is_not_looked_over() -> None:
    assert stochastic.drawn_for(torch.nn.Linear(6, 2), torch.zeros(1, 4, 6), sources(1), torch.float32) == {}

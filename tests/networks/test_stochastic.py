"""Noise layers: their law, their silence when scoring, and whose random numbers they use."""

import pytest
import torch

from bayesgan.basics.randomness import keyed_generator
from bayesgan.ensemble import ENGINES, Ensemble
from bayesgan.networks import NETWORKS, NetworkSizes
from bayesgan.networks.stochastic import Dropout, Noise

SIZES = NetworkSizes((1, 8, 8), latent=3, generator_width=4, discriminator_width=8, layers=2, noise=0.3, dropout=0.5)


def test_noise_has_its_deviation_and_dropout_its_mean():
    noise, dropout = Noise(0.3), Dropout(0.25)
    n, source = 100_000, torch.Generator().manual_seed(0)
    noise.drawn, dropout.drawn = torch.empty(n), torch.empty(n)
    noise.draw(noise.drawn, source)
    dropout.draw(dropout.drawn, source)
    disturbed = noise(torch.zeros(n))
    assert abs(disturbed.mean()) < 5 * 0.3 / n**0.5 and abs(disturbed.std() - 0.3) < 5 * 0.3 / (2 * n) ** 0.5
    dropped = dropout(torch.ones(n))
    assert dropped.unique().tolist() == pytest.approx([0, 4 / 3])
    assert abs((dropped == 0).double().mean() - 0.25) < 5 * (0.25 * 0.75 / n) ** 0.5
    assert torch.equal(noise.eval()(torch.ones(3)), torch.ones(3))
    assert torch.equal(dropout.eval()(torch.ones(3)), torch.ones(3))
    with pytest.raises(ValueError, match="a torch.Generator a member"):
        Noise(0.1)(torch.ones(3))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("pair", NETWORKS)
def test_every_discriminator_is_noisy_in_training_alone(pair, engine):
    network = NETWORKS[pair][1]
    ensemble = Ensemble(lambda: network(SIZES), 2, lambda m: keyed_generator(0, m), engine=engine)
    data = torch.randn(2, 4, 1, 8, 8)
    score = lambda seed, train=True: ensemble.forward(  # noqa: E731
        data, train=train, noise=[keyed_generator(seed, member) for member in range(2)])[0]
    state = torch.get_rng_state()
    assert torch.equal(score(1), score(1)) and not torch.equal(score(1), score(2))
    assert torch.equal(state, torch.get_rng_state())  # the global generator is not touched
    assert torch.equal(score(1, train=False), score(2, train=False))
    data[1], weights = data[0], ensemble.state()
    ensemble.load_state({name: tensor[:1].expand_as(tensor) for name, tensor in weights.items()})
    assert not torch.equal(*score(1))  # members have noise of their own

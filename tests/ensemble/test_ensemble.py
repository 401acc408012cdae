"""Engines agree, members are independent, states travel."""

import pytest
import torch

from bayesgan.basics.randomness import keyed_generator
from bayesgan.ensemble import ENGINES, Ensemble, fan_in_scales, weights_of
from bayesgan.networks import NETWORKS, NetworkSizes

SIZES = NetworkSizes((1, 12, 12), latent=6, generator_width=8, discriminator_width=8, layers=2)


def make(role, engine="loop", members=3, pair="dcgan", dtype=torch.float64):
    network = NETWORKS[pair][role == "discriminator"]
    return Ensemble(lambda: network(SIZES), members, lambda m: keyed_generator(0, role, m), engine=engine, dtype=dtype)


def inputs(role, members=3):
    shape = (members, 5, *((6,) if role == "generator" else (1, 12, 12)))
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def flat(output):
    return torch.cat([part.flatten() for part in (output if isinstance(output, tuple) else (output,))])


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("pair", NETWORKS)
@pytest.mark.parametrize("role", ["generator", "discriminator"])
@pytest.mark.parametrize("train", [True, False])
def test_every_engine_equals_one_network_at_a_time(engine, pair, role, train):
    """Outputs, gradients and running statistics, against the module itself with each member's weights loaded."""
    ensemble, data = make(role, engine, pair=pair), inputs(role).requires_grad_()
    output = flat(ensemble.forward(data, train=train))
    (output**2).sum().backward()
    reference = make(role, pair=pair)
    singles = []
    for index in range(3):
        network = NETWORKS[pair][role == "discriminator"](SIZES).double().train(train)
        network.load_state_dict({name: tensor[index] for name, tensor in reference.state().items()})
        single = inputs(role)[index].requires_grad_()
        singles.append(network(single))
        (flat(singles[-1]) ** 2).sum().backward()
        assert (single.grad - data.grad[index]).abs().max() < 1e-10
        for name, parameter in network.named_parameters():
            assert (parameter.grad - ensemble.parameters[name].grad[index]).abs().max() < 1e-10, name
        for name, buffer in network.named_buffers():
            assert (buffer - ensemble.buffers[name][index]).abs().max() < 1e-10, name
    if isinstance(singles[0], tuple):
        singles = [torch.stack(part) for part in zip(*singles)]
        singles = tuple(singles)
    else:
        singles = torch.stack(singles)
    assert (flat(singles) - output).abs().max() < 1e-10


def test_gains_and_biases_of_several_axes_are_no_weights():
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.LayerNorm((4, 8, 8)),
                                  torch.nn.ConvTranspose2d(4, 8, 4, 2, 1, groups=4))
    assert weights_of(network) == {"0.weight", "2.weight"}
    scales = fan_in_scales(network)
    assert scales["1.weight"] == scales["1.bias"] == 1
    assert scales["2.weight"] == pytest.approx(2**0.5 / 4**0.5)  # 4x4 taps, stride 2: 4 of one channel reach an output
    made = Ensemble(lambda: network.to("meta"), 2, lambda m: keyed_generator(0, m))
    assert (made.parameters["1.bias"] == 0).all() and made.parameters["0.weight"].std() > 0.1


def test_members_start_different_and_reproducibly():
    weights = make("generator").parameters["project.weight"]
    assert not torch.equal(weights[0], weights[1])
    assert torch.equal(weights, make("generator").parameters["project.weight"])
    assert torch.equal(weights[:2], make("generator", members=2).parameters["project.weight"])


def test_initial_weights_have_the_priors_scale():
    ensemble = make("discriminator", members=200)
    for name, parameter in ensemble.parameters.items():
        spread = parameter.detach().std().item()
        expected = ensemble.scales[name] if parameter.dim() > 2 else 0.0  # biases start at 0
        assert abs(spread - expected) <= 5 * expected / (2 * parameter.numel()) ** 0.5, name


def test_building_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    make("generator")
    assert torch.equal(before, torch.get_rng_state())


def test_frozen_weights_get_no_gradient():
    ensemble, data = make("discriminator"), inputs("discriminator").requires_grad_()
    flat(ensemble.forward(data, train=False, freeze=True)).sum().backward()
    assert data.grad is not None
    assert all(parameter.grad is None for parameter in ensemble.parameters.values())


def test_scoring_mode_judges_each_datum_alone():
    generator, data = make("generator"), inputs("generator")
    generator.forward(data, train=True)
    alone = generator.forward(data[:, :1], train=False)
    assert (generator.forward(data, train=False)[:, :1] - alone).abs().max() < 1e-12


def test_forward_member_is_the_row_of_forward():
    generator, data = make("generator"), inputs("generator")
    assert torch.equal(generator.forward(data, train=False)[1], generator.forward_member(1, data[1]))


def test_state_round_trip_and_mismatch():
    source, target = make("generator"), make("generator", members=2)
    with pytest.raises(ValueError, match="do not fit this ensemble"):
        target.load_state(source.state())
    other = make("generator")
    with torch.no_grad():
        for parameter in other.parameters.values():
            parameter.zero_()
    other.load_state(source.state())
    assert all(torch.equal(a, other.state()[name]) for name, a in source.state().items())


def test_bad_members_engine_and_inputs():
    with pytest.raises(ValueError, match="unknown engine 'fast'; choose one of: loop, vmap, patches"):
        make("generator", engine="fast")
    with pytest.raises(ValueError, match="with 3 members"):
        make("generator").forward(torch.zeros(2, 5, 6, dtype=torch.float64), train=False)

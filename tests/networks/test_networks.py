"""The contract of every registered pair, and the published layer sizes."""

import pytest
import torch

from bayesgan.ensemble import fan_in_scales
from bayesgan.networks import NETWORKS, NetworkSizes


def pair(name, **sizes):
    sizes = NetworkSizes(**{"data_shape": (1, 8, 8), "latent": 5, "generator_width": 4, "discriminator_width": 4,
                            "layers": 3, **sizes})
    return [network(sizes) for network in NETWORKS[name]]


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 9), (1, 28, 28), (3, 32, 32), (1, 63, 63), (3, 200, 200), (7,)])
@pytest.mark.parametrize("name", NETWORKS)
def test_contract(name, shape):
    if NETWORKS[name][0].images_only and len(shape) == 1:
        return
    generator, discriminator = pair(name, data_shape=shape, outputs=3)
    images = generator(torch.randn(2, 5))
    assert images.shape == (2, *shape)
    if len(shape) == 3:
        assert images.abs().max() <= 1
    logits, features = discriminator(images)
    assert logits.shape == (2, 3) and features.dim() == 2 and len(features) == 2
    logits.sum().backward()
    for network in (generator, discriminator):
        assert all(p.grad is not None for p in network.parameters())
        assert set(fan_in_scales(network)) == {n for n, _ in network.named_parameters()}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("change", [{"generator_width": 8}, {"discriminator_width": 8}, {"layers": 2}, {"latent": 9}])
def test_every_size_changes_a_network(name, change):
    count = lambda networks: [sum(p.numel() for p in n.parameters()) for n in networks]  # noqa: E731
    assert count(pair(name, data_shape=(1, 28, 28), **change)) != count(pair(name, data_shape=(1, 28, 28)))


def test_published_sizes_at_28_pixels():
    """3.65 M and 2.81 M weights, widths 96-192-384-512, kernels 5, 3, 3, 3, 512 features."""
    generator, discriminator = pair("dcgan", data_shape=(1, 28, 28), latent=100, generator_width=96,
                                    discriminator_width=96, layers=4, outputs=10)
    shapes = [tuple(c.weight.shape) for c in discriminator.convolutions]
    assert shapes == [(96, 1, 5, 5), (192, 96, 3, 3), (384, 192, 3, 3), (512, 384, 3, 3)]
    assert discriminator.features.weight.shape == (512, 2048)
    weights = lambda n: sum(p.numel() for p in n.parameters() if p.dim() > 1)  # noqa: E731
    assert weights(discriminator) == 3_655_008
    assert weights(generator) == 2_806_112


def test_a_deep_generator_listens_to_its_input():
    """At initialisation most of the variance of four layers' output must come from z, not from a fixed pattern."""
    torch.manual_seed(0)
    generator, _ = pair("dcgan", data_shape=(1, 28, 28), latent=64, generator_width=32, layers=4)
    images = torch.atanh(generator(torch.randn(64, 64)).double().clamp(-1 + 1e-12, 1 - 1e-12))
    between = images.var(0).mean()
    assert between / (between + images.mean(0).var()) > 0.8


def test_vgg_sees_every_pixel_before_it_pools():
    """At 28 pixels and width 32: 16 maps of 28x28, 32 of 14x14, 64 of 7x7, halved to 3x3."""
    _, discriminator = pair("vgg", data_shape=(1, 28, 28), discriminator_width=32, layers=3)
    shapes = [tuple(c.weight.shape[:2]) for c in discriminator.convolutions]
    assert shapes == [(16, 1), (32, 16), (32, 32), (64, 32), (64, 64)]
    assert discriminator.features.weight.shape == (512, 64 * 3 * 3)
    sides = []
    for convolution in discriminator.convolutions:
        assert convolution.stride == (1, 1)
        convolution.register_forward_hook(lambda _, inputs, maps: sides.append((inputs[0].shape[-1], maps.shape[-1])))
    discriminator(torch.zeros(1, 1, 28, 28))
    assert sides == [(28, 14), (14, 14), (14, 7), (7, 7), (7, 3)]
    with torch.no_grad():  # any pixel's neighbour is another image
        images = torch.zeros(1, 1, 28, 28)
        moved = images.clone()
        moved[..., 13, 12] = 1
        other = images.clone()
        other[..., 13, 13] = 1
        assert len({discriminator(one)[0].item() for one in (images, moved, other)}) == 3


def test_vgg_in_bfloat16_is_the_same_function():
    """It pools maps in another layout there."""
    torch.manual_seed(0)
    _, discriminator = pair("vgg", data_shape=(3, 15, 15), discriminator_width=16)
    images = torch.randn(4, 3, 15, 15)
    plain, features = discriminator(images)
    with torch.autocast("cpu", torch.bfloat16):
        rounded, of_rounded = discriminator(images)
    assert (rounded - plain).abs().max() < 0.03 and (of_rounded - features).abs().max() < 0.1 * features.abs().max()


def test_fan_in_of_each_kind_of_layer():
    module = torch.nn.Sequential(torch.nn.Linear(8, 3), torch.nn.Conv2d(2, 5, 3),
                                 torch.nn.ConvTranspose2d(6, 7, 4, stride=2))
    scales = fan_in_scales(module)
    assert scales["0.weight"] == pytest.approx((2 / 8) ** 0.5)
    assert scales["1.weight"] == pytest.approx((2 / 18) ** 0.5)
    assert scales["2.weight"] == pytest.approx((2 / 24) ** 0.5)  # 6 maps · 16 taps / 4 at a time
    assert scales["0.bias"] == 1.0


@pytest.mark.parametrize("width", [8, 37, 64])
def test_group_norm_leaves_vectors_their_information(width):
    """A group of one unit would have mean itself and variance 0, and every datum the same features."""
    torch.manual_seed(0)
    _, discriminator = pair("mlp", data_shape=(7,), discriminator_width=width, normalise="group")
    _, features = discriminator(torch.randn(50, 7))
    assert features.std(0).mean() > 0.1


def test_the_perceptron_has_the_widths_of_the_tutorials():
    """Generator 64-128-512-784, discriminator 784-256-1, as the recipe perceptron-zeros asks for."""
    sizes = NetworkSizes((1, 28, 28), latent=64, generator_width=512, discriminator_width=256, layers=2)
    generator, discriminator = (build(sizes) for build in NETWORKS["perceptron"])
    assert [tuple(p.shape) for p in generator.parameters() if p.dim() == 2] == [(128, 64), (512, 128), (784, 512)]
    assert [tuple(p.shape) for p in discriminator.parameters() if p.dim() == 2] == [(256, 784), (1, 256)]
    with torch.no_grad():
        units = discriminator(-torch.ones(1, 1, 28, 28))[1]
    assert (units < 0).any()  # leaky

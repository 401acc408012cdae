"""How near images are to real ones, by torch-fidelity, in the features of any extractor; and which classes they show.

The ladder: images -> `looked_at` -> `fidelity` and `class_figures`. Extractors are in extractors.py.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from scipy.stats import entropy
from torch import Tensor

from bayesgan.evaluation.extractors import Extractor, require_torch_fidelity

__all__ = ["COMPARED", "Seen", "class_figures", "fidelity", "looked_at"]

CHUNK = 500  # images at a time
COMPARED = 5000  # images, at most, behind a distance: more cost much and change little; whole chunks
SUBSETS, SUBSET = 20, 1000  # of KID
NEIGHBOUR = 3  # whose distance is the radius around a datum (Kynkäänniemi et al. 2019)


class Seen(NamedTuple):
    """What an extractor sees in n images.

    Attributes:
        features: (m, F) float64 of the first m = min(n, COMPARED).
        logits: (m, Y) float64.
        classes: (n,) the class with the largest logit.
    """

    features: Tensor
    logits: Tensor
    classes: Tensor


def looked_at(extractor: Extractor, images: Tensor, tell: Callable[[int], None] = lambda done: None) -> Seen:
    """Of images (n, C, H, W) uint8.

    Args:
        tell: Is told how many are done.

    Raises:
        ValueError: For images that are not the extractor's.
    """
    features, logits, classes = [], [], []
    for start in range(0, len(images), CHUNK):
        part = extractor(images[start : start + CHUNK])
        classes.append(part[1].argmax(1))
        if start < COMPARED:
            features.append(part[0].double())
            logits.append(part[1].double())
        tell(start + len(part[0]))
    return Seen(torch.cat(features), torch.cat(logits), torch.cat(classes))


def fidelity(images: Seen, reference: Seen) -> dict[str, float]:
    """torch-fidelity's figures of as many images as real ones; which of them there are must not overlap.

    Returns:
        fid: Distance of Gaussians fitted to the features (Heusel et al. 2017). It falls with the number of images.
        kid: Squared distance of means under a cubic kernel, unbiased (Bińkowski et al. 2018), so below 0 at times.
        precision, recall: Share of images among the real ones' neighbours, and the other way round.
        class_score: The Inception score, exp(mean KL(p(y|x), p(y))), of this extractor's logits, of all images at once
            (Barratt & Sharma 2018).

    Raises:
        ValueError: If torch-fidelity is not installed.
    """
    require_torch_fidelity()
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
    from torch_fidelity.metric_isc import isc_features_to_metric
    from torch_fidelity.metric_kid import kid_features_to_metric
    from torch_fidelity.metric_prc import prc_features_to_metric

    both = images.features, reference.features
    fid = fid_statistics_to_metric(*map(fid_features_to_statistics, both), verbose=False)
    kid = kid_features_to_metric(*both, kid_subsets=SUBSETS, kid_subset_size=min(SUBSET, min(map(len, both)) // 2),
                                 verbose=False)
    neighbours = prc_features_to_metric(*both, prc_neighborhood=NEIGHBOUR, verbose=False)
    score = isc_features_to_metric(images.logits, splits=1, shuffle=False)
    return {
        "fid": fid["frechet_inception_distance"], "kid": kid["kernel_inception_distance_mean"],
        "precision": neighbours["precision"], "recall": neighbours["recall"],
        "class_score": score["inception_score_mean"],
    }


def class_figures(classes: Tensor, shares: Tensor) -> dict[str, float]:
    """Which classes images belong to.

    Args:
        classes: (n,) of the images, 0..Y-1.
        shares: (Y,) how much of the data belongs to each class, adding up to 1.

    Returns:
        found: How many classes have an image at all.
        covered: How many have at least a quarter of their share of the data.
        class_kl: KL of the images' class histogram from `shares`, in nats. Real images have about (Y - 1)/(2n).
    """
    counts = classes.bincount(minlength=len(shares)).double()
    own = counts / counts.sum()
    return {"found": int((counts > 0).sum()), "covered": int(((shares > 0) & (own >= shares / 4)).sum()),
            "class_kl": float(entropy(own, shares))}

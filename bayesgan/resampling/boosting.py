"""A sharp density ratio for data of few dimensions: gradient boosting on the data and the discriminators' scores.

Trees follow edges that a small network smears, and beyond the data they stay constant where a network's log odds grow.
"""

from collections.abc import Callable

import numpy as np
import torch
from sklearn.ensemble import HistGradientBoostingClassifier
from torch import Tensor

from bayesgan.basics.errors import InputError
from bayesgan.basics.randomness import keyed_generator

__all__ = ["boosted_score"]


@torch.no_grad()
def boosted_score(
    features: Callable[[Tensor], Tensor],
    real: Tensor,
    generate: Callable[[int, torch.Generator], Tensor],
    *,
    generated_per_real: int = 10,
    iterations: int = 300,
    leaves: int = 63,
    seed: int = 0,
) -> Callable[[Tensor], Tensor]:
    """Log odds of real against generated from scikit-learn's histogram boosting (Friedman 2001; Ke et al. 2017).

    Args:
        features: features(data (n, ...)) -> (n, F), for example the data itself beside its discriminator scores.
        real: (N, ...) training data.
        generate: generate(n, generator) -> data of the frozen mixture.
        generated_per_real: Generated data for each real one: they show where the generator strays.
        iterations: Trees.
        leaves: Of each tree.
        seed: Of the generated data.

    Returns:
        score(data (n, ...)) -> (n,) float64, the log density ratio up to calibration; without gradients.

    Raises:
        ValueError: If there is less than one generated datum for each real one, tree or pair of leaves.
    """
    if generated_per_real < 1 or iterations < 1 or leaves < 2:
        raise InputError("boosting needs generated_per_real >= 1, iterations >= 1 and leaves >= 2, got "
                         f"{generated_per_real}, {iterations} and {leaves}")
    chunks = [features(part).cpu() for part in real.split(4096)]
    for chunk in range(generated_per_real * len(chunks)):
        fake = generate(len(chunks[chunk % len(chunks)]), keyed_generator(seed, "boosting", chunk))
        chunks.append(features(fake).cpu())
    table = torch.cat(chunks).numpy()
    labels = np.arange(len(table)) < len(real)
    # scikit-learn's bins are cut at quantiles of 200,000 random rows: its own seed fixes them
    model = HistGradientBoostingClassifier(
        max_iter=iterations, max_leaf_nodes=leaves, learning_rate=0.1, random_state=seed, early_stopping=False,
        min_samples_leaf=50, l2_regularization=1.0,
    )
    model.fit(table, labels)
    balance = np.log(generated_per_real)

    def score(data: Tensor) -> Tensor:
        odds = model.decision_function(features(data).detach().cpu().numpy())
        return torch.from_numpy(odds + balance).to(data.device)

    return score

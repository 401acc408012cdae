"""Every way to a density ratio; importing this registers them."""

from bayesgan.resampling.ratios import boosting, coarse, components, features, score

__all__ = ["boosting", "coarse", "components", "features", "score"]

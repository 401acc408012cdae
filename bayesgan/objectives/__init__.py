"""Log-likelihoods from discriminator outputs, as mean losses (the training loop multiplies by N). One registry."""

from bayesgan.objectives.gan import OBJECTIVES, Objective, feature_matching, real_score

__all__ = ["OBJECTIVES", "Objective", "feature_matching", "real_score"]

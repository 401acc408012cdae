"""Log-likelihoods from discriminator outputs, as mean losses (the training loop multiplies by N). One registry."""

from bayesgan.objectives.gan import OBJECTIVES, Objective, feature_matching, real_score
from bayesgan.objectives.labelled import consistency_loss, labelled_loss

__all__ = ["OBJECTIVES", "Objective", "consistency_loss", "feature_matching", "labelled_loss", "real_score"]

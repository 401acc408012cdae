"""Named settings known to work: `--recipe NAME` stands for the flags below, and says so when a run starts."""

__all__ = ["RECIPES"]

# what keeps 100 labels from being learnt by heart
NOISY = {"feature_matching": True, "noise": 0.3, "dropout": 0.5, "shift": 2}

# name -> flags; what each reaches is in the README
RECIPES: dict[str, dict] = {
    # one generator and one discriminator, small enough for 20 minutes on two CPU cores
    "mnist-fast": {"dataset": "mnist", "df_dim": 32, "num_layers": 3, "label_batch_size": 50, **NOISY, "lr": 0.001,
                   "lr_decay": 4.0, "temperature": 0.01, "train_iter": 10000, "burn_in": 8000, "ramp": 100, "keep": 18,
                   "n_save": 500},
    # an ensemble of wider networks, for a GPU
    "mnist-best": {"dataset": "mnist", "num_gen": 2, "num_mcmc": 2, "num_disc": 2, "df_dim": 64, "num_layers": 3,
                   **NOISY, "lr": 0.001, "lr_decay": 3.0, "temperature": 0.01, "train_iter": 60000, "n_save": 5000,
                   "keep": 20},
    # the reference's networks at the reference's settings
    "mnist-paper": {"dataset": "mnist", "num_gen": 10, "num_mcmc": 2, "train_iter": 10000},
}

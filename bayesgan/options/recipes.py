"""Named settings known to work: `--recipe NAME` stands for the flags below, and says so when a run starts."""

__all__ = ["FEW_LABELS", "RECIPES", "WITHOUT_LABELS"]

# of every run with labels whose data set or recipe knows nothing better: one generator and one discriminator, small
# enough for half an hour on one CPU core, and a teacher
FEW_LABELS = {"network": "vgg", "df_dim": 32, "num_layers": 3, "normalise": "group", "label_batch_size": 50,
              "feature_matching": True, "noise": 0.1, "dropout": 0.5, "lr": 0.003, "lr_decay": 3.0,
              "temperature": 0.01, "train_iter": 8000, "burn_in": 7000, "ramp": 100, "keep": 18, "n_save": 1000,
              "consistency": 1.0, "spread_labels": 8, "settle": 0.25, "precision": "bf16"}

WITHOUT_LABELS = ("perceptron-zeros",)  # for run_bgan.py; the others are for run_bgan_semi.py

# name -> flags; what each reaches is in docs/results.md
RECIPES: dict[str, dict] = {
    "mnist-fast": {"dataset": "mnist", **FEW_LABELS, "shift": 2},
    # MNIST's settings, unchanged
    "fashion": {"dataset": "fashion_mnist", **FEW_LABELS, "shift": 2},
    # an ensemble of wider networks, for a GPU
    "mnist-best": {"dataset": "mnist", **FEW_LABELS, "shift": 2, "num_gen": 2, "num_mcmc": 2, "num_disc": 2,
                   "df_dim": 64, "train_iter": 30000, "burn_in": 25000, "ramp": 1000, "n_save": 5000, "keep": 20},
    # the reference's networks at the reference's settings, with its likelihood alone
    "mnist-paper": {"dataset": "mnist", "num_gen": 10, "num_mcmc": 2, "train_iter": 10000, "network": "dcgan",
                    "df_dim": 96, "num_layers": 4, "normalise": "layer", "noise": 0.0, "dropout": 0.0,
                    "feature_matching": False, "lr": 0.0005, "lr_decay": 1.0, "temperature": 1.0,
                    "label_batch_size": 64, "keep": 10, "consistency": 0.0, "spread_labels": 0, "settle": 0.0,
                    "precision": "fp32"},
    # the fully connected GAN of first tutorials
    "perceptron-zeros": {"dataset": "mnist", "classes": [0], "network": "perceptron", "ml": True, "z_dim": 64,
                         "gf_dim": 512, "df_dim": 256, "num_layers": 2, "batch_size": 16, "optimizer": "sgd",
                         "lr": 0.05, "train_iter": 5000, "n_save": 1000, "log_every": 500},
}

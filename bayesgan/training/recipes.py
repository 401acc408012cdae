"""Named settings known to work: `--recipe NAME` stands for the flags below, and says so when a run starts."""

__all__ = ["RECIPES"]

# name -> flags; what each reaches is in the README
RECIPES: dict[str, dict] = {
    "mnist-fast": {"dataset": "mnist"},
}

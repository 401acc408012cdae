"""What every test shares: one thread a process, and a cache folder of the session's own, not the user's."""

import os

import pytest

# before torch is imported: the networks here are too small for two threads, which on a busy machine wait for each other
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def short_fits(request, monkeypatch):
    """Ratios are fitted in earnest where what they find is the question."""
    if request.path.name not in ("test_guard.py", "test_ratios.py"):
        monkeypatch.setattr("bayesgan.resampling.ratios.network.STEPS", 100)

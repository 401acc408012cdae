"""Every setting of a run. Start with options.py."""

#!/usr/bin/env python3
"""Unsupervised Bayesian GAN: `python run_bgan.py --help`."""

import sys

from bayesgan.commands.train import main

if __name__ == "__main__":
    sys.exit(main())

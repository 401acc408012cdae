#!/usr/bin/env python3
"""Unsupervised Bayesian GAN: `python run_bgan.py --help`."""

import sys

from bayesgan.basics.stopping import start

if __name__ == "__main__":
    sys.exit(start("bayesgan.commands.train"))

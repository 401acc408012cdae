#!/usr/bin/env python3
"""Semi-supervised Bayesian GAN: `python run_bgan_semi.py --help`."""

import sys

from bayesgan.commands.train import main

if __name__ == "__main__":
    sys.exit(main(semi=True))

#!/usr/bin/env python3
"""Semi-supervised Bayesian GAN: `python run_bgan_semi.py --help`."""

import sys

from bayesgan.basics.stopping import start

if __name__ == "__main__":
    sys.exit(start("bayesgan.commands.train", semi=True))

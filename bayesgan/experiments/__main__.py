"""`python -m bayesgan.experiments NAME`: each published figure or table as one command."""

import sys

from bayesgan.basics.stopping import start

if __name__ == "__main__":
    sys.exit(start("bayesgan.experiments.command"))

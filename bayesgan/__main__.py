"""`python -m bayesgan COMMAND`; see house.py."""

import sys

from bayesgan.basics.stopping import start

if __name__ == "__main__":
    sys.exit(start("bayesgan.house"))

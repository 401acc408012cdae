"""Algorithm 1, its options, its run folder and its command line. Start with algorithm.py."""

"""Algorithm 1: the game, its teacher and the loop around them. Start with algorithm.py."""

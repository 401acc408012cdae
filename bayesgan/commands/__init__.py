"""The command lines: the only room that knows everything. Start with train.py."""

"""What every room may use: errors, files, randomness, devices, names, timing. Imports nothing of the package."""

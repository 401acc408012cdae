"""Each published figure or table as one command. Nothing slow is imported here: a command listens to signals first."""

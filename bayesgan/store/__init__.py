"""What a run leaves on disk, written and read back; trains nothing. Start with run_folder.py."""

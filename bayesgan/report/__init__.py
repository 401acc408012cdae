"""What a run tells its user: one page with everything that was kept of it, and tables of several."""

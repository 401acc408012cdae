"""Figures and pictures made from samples."""

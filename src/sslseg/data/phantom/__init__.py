"""Simulated hearts of a population, through a simulated scanner, as an ACDC tree."""

"""The promises of this package, measured on stores with planted answers: `python -m analysis.statistics.known_answers`."""

"""The promises of `analysis.statistics`, measured on stores with planted answers: `python -m benchmarks.statistics`."""

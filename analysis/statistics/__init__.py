"""Pure statistics of repeated training runs: arrays and small records in, records out.

Nothing here knows where the numbers were stored; floor 3, numpy, scipy, statsmodels and lifelines only.
"""

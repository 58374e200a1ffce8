"""Pure statistics of repeated training runs: arrays and small records in, records out.

Nothing here knows where the numbers were stored; numpy, scipy and tqdm only.
"""

"""Reading of the tracking store: statistics, figures, decisions and the page they make.

`python -m analysis --out docs/results` makes everything; `mlflow run . -e analyse` the same, into a run.
"""

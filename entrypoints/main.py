"""mlflow run . --env-manager local: says what there is to run."""

import sys

from sslseg.config import flags, params
from sslseg.config.mlproject import overview

if __name__ == "__main__":
    flags.parse(params.Overview, sys.argv[1:], "sslseg main")
    print(overview())

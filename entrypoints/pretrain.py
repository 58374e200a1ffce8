"""mlflow run . -e pretrain --env-manager local -P method=… -P …"""

import sys

from sslseg.start import main

if __name__ == "__main__":
    first, *rest = sys.argv[1:] or ["--help"]
    main("pretrain", *((sys.argv[1:] or [first], None) if first.startswith("-") else (rest, first)))

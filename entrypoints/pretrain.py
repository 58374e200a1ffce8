"""mlflow run . -e pretrain --env-manager local -P method=… -P …"""

import sys

from sslseg.config import early

early.keep()  # what is imported takes tenths of a second

from sslseg.launch import main  # noqa: E402

if __name__ == "__main__":
    first, *rest = sys.argv[1:] or ["--help"]
    main("pretrain", *((sys.argv[1:] or [first], None) if first.startswith("-") else (rest, first)))

"""mlflow run . -e pretrain_<method> --env-manager local -P …"""

import sys

from sslseg.launch import main

if __name__ == "__main__":
    method, *argv = sys.argv[1:] or ["--help"]
    main("pretrain", *(([method], None) if method in ("-h", "--help") else (argv, method)))

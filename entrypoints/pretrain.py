"""mlflow run . -e pretrain_<method> --env-manager local -P …"""

import sys

from sslseg.launch import main

if __name__ == "__main__":
    main("pretrain", sys.argv[2:], method=sys.argv[1])

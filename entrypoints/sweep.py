"""mlflow run . -e sweep --env-manager local -P …"""

from sslseg.start import main

if __name__ == "__main__":
    main("sweep")

"""mlflow run . -e probe --env-manager local -P …"""

from sslseg.start import main

if __name__ == "__main__":
    main("probe")

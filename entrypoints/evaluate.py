"""mlflow run . -e evaluate --env-manager local -P …"""

from sslseg.start import main

if __name__ == "__main__":
    main("evaluate")

"""mlflow run . -e import_encoder --env-manager local -P …"""

from sslseg.start import main

if __name__ == "__main__":
    main("import_encoder")

"""mlflow run . -e export --env-manager local -P …"""

from sslseg.launch import main

if __name__ == "__main__":
    main("export")

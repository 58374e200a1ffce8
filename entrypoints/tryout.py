"""mlflow run . -e tryout --env-manager local -P …"""

from sslseg.launch import main

if __name__ == "__main__":
    main("tryout")

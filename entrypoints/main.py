"""mlflow run . --env-manager local: says what there is to run."""

from sslseg.launch import main

if __name__ == "__main__":
    main("main")

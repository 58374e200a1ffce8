"""mlflow run . --env-manager local: says what there is to run."""

from sslseg.start import main

if __name__ == "__main__":
    main("main")

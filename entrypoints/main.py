"""mlflow run . --env-manager local: says what there is to run."""

from sslseg.config import early

early.keep()  # what is imported takes tenths of a second

from sslseg.launch import main  # noqa: E402

if __name__ == "__main__":
    main("main")

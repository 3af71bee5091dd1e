"""``python -m buildonce``."""

from buildonce.cli.main import run

if __name__ == "__main__":
    run()

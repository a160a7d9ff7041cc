"""`python -m farmgate.cli` is `farmgate`."""

from farmgate.cli import main

if __name__ == "__main__":
    main()

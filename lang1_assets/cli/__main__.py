"""`python -m lang1_assets.cli`."""

from lang1_assets.cli import main

if __name__ == "__main__":
    main()

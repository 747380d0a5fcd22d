"""Makes `python -m cli` the same as `nivisco`; holds no command itself."""

from cli.main import main

if __name__ == "__main__":
    main(prog_name="nivisco")

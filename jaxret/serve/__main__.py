"""`python -m jaxret.serve INDEX ...`: a page and an HTTP API, to search indexes from a browser."""

from __future__ import annotations

import dataclasses
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from jaxret.cli.compilation_cache import programs_folder
from jaxret.cli.flags import parse
from jaxret.cli.option_names import as_typed
from jaxret.cli.run import run_command
from jaxret.errors import ConfigError
from jaxret.ranges import at_least, check_ranges


@dataclasses.dataclass(frozen=True)
class Serve:
    """Open a page on this machine on which indexes are searched, and the same as an HTTP API (docs/serve).

    It listens on the loopback address, which no other machine reaches. Ctrl-C ends it.

    Attributes:
      index: index folders, one or more, or run folders that hold one.
      port: of the address; 0 for one that is free.
      media_root: a folder whose media may be searched with by path, and indexed from the page.
      host: another address to listen on, which needs a token.
      name: the name that browsers know it by, where a server with TLS stands before it; it needs a token, too.
      token: what every request must bring, at least 16 letters and digits. The variable JAXRET_TOKEN of the environment
        says it, too, and is not shown in lists of programs.
    """

    index: tuple[Path, ...]
    port: Annotated[int, at_least(0, most=65535)] = 8000
    media_root: Path | None = None
    host: str = "127.0.0.1"
    name: str | None = None
    token: str | None = None

    def __post_init__(self) -> None:
        check_ranges(self)
        if not self.index:
            raise ConfigError("name what to search in: an index or a run folder")
        if self.media_root is not None and not self.media_root.is_dir():
            raise ConfigError(f"--media-root {self.media_root} is not a folder")
        if self.secret is not None and re.fullmatch(r"[A-Za-z0-9_.~-]{16,}", self.secret) is None:
            raise ConfigError("--token must be at least 16 letters and digits, as `openssl rand -hex 16` prints them")

    @property
    def secret(self) -> str | None:
        """The token; None for none."""
        return self.token or os.environ.get("JAXRET_TOKEN") or None


@as_typed([Serve])
def main(argv: Sequence[str]) -> int:
    """Parse, open, listen."""
    args, _ = parse(argv, Serve, prog="jaxret serve")
    try:
        from jaxret.models.kept_function import keep_programs_in
        from jaxret.serve.app import make_app
        from jaxret.serve.guard import is_loopback
        from jaxret.serve.limits import Limits
        from jaxret.serve.listening import bound_socket, server_of
        from jaxret.serve.parts import open_parts
    except ModuleNotFoundError as error:
        if error.name not in ("starlette", "uvicorn", "python_multipart"):
            raise
        raise ConfigError(f"serving needs {error.name}: pip install 'jaxret[serve]'") from error
    if args.secret is None and not is_loopback(args.host):
        raise ConfigError(f"--host {args.host} can be reached by other machines: it needs a --token, too")
    if args.secret is None and args.name is not None:
        raise ConfigError(f"--name {args.name} is how other machines reach it: it needs a --token, too")

    with bound_socket(args.host, args.port) as listening:
        programs = programs_folder()
        parts = open_parts(args.index, args.media_root, Limits(), programs)
        host = f"[{args.host}]" if ":" in args.host else args.host
        secret = "" if args.secret is None else f"?token={args.secret}"
        print(f"http://{host}:{listening.getsockname()[1]}/{secret}", flush=True)
        print("Ctrl-C ends it.", flush=True)
        try:
            with keep_programs_in(programs):
                server_of(make_app(parts, host=args.host, name=args.name, token=args.secret)).run(sockets=[listening])
        except KeyboardInterrupt:
            pass
        finally:
            parts.close()
    if parts.busy:
        # A kernel or decoder under way would hold up the end of the program, and is of no use any more.
        sys.stdout.flush()
        os._exit(0)
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))

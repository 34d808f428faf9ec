"""Run the command line: in this process, or as the `flask` program in a process of its own."""

import subprocess

from click.testing import Result
from flask import Flask

from tests.support import programs
from tests.support.environment import SECRET


def run(app: Flask, *arguments: str, stdin: str | bytes = "") -> Result:
    """Run a command of the application in this process."""
    return app.test_cli_runner().invoke(args=list(arguments), input=stdin)


def done(result: Result) -> str:
    """Return the standard output of a command that succeeded."""
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(result: Result) -> str:
    """Return the one line of error of a command that failed."""
    assert (result.exit_code, result.stdout) == (1, ""), result.output
    return refusal(result.stderr)


def refusal(stderr: str) -> str:
    """Return the message of the one line of error."""
    (line,) = stderr.splitlines()
    return line.removeprefix("Error: ")


def flask(url: str, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run the `flask` program on a database."""
    environment = {"DATABASE_URL": url.replace("+psycopg", ""), "JWT_SECRET_KEY": SECRET}
    return programs.run("flask", "--app", "wsgi", *arguments, environment=environment, stdin=stdin)

"""The settings of the service: for each its environment variable, its default and its description.

`Config.from_env` reads the environment once and rejects bad values with a `ConfigError` that names the variable. It
also applies the rules of hosting platforms: SQLite needs a permanent disk, and the secret must be set instead of
generated. Tests create a `Config` directly.
"""

import difflib
import errno
import fcntl
import ipaddress
import logging
import os
import re
import secrets
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import urlsplit

from limits import parse_many
from limits.errors import ConfigurationError
from limits.storage import storage_from_string
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

_FROM_FILES = ("JWT_SECRET_KEY", "DATABASE_URL")  # may be read from files
_SECRETS = (*_FROM_FILES, "RATELIMIT_STORAGE_URI")  # not part of the repr, nor quoted in messages
_ORIGIN = (
    r"(?P<scheme>https?|chrome-extension|moz-extension)://(?:[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])"
    r"(?::(?P<port>[1-9][0-9]{0,4}))?"
)
PREFIX_MAX = 200  # characters
MIN_SECRET_BYTES = 32  # RFC 7518 §3.2: an HS256 key is at least as long as the hash
_QUOTED_MAX = 100  # characters of a bad value
_NAME_MAX = 64  # characters of a variable that may be a misspelt setting
_MISSPELT = 0.9  # similarity from which on it is one, by the measure of difflib
_NOT_COMPARED = ("HOST", "PORT")  # too similar to variables of shells, containers and other programs
_ALIASES = {
    "JWTSECRET": "JWT_SECRET_KEY",
    "TRUSTEDPROXY": "TRUSTED_PROXIES",
    "WORKERS": "WEB_CONCURRENCY",
    "WEBWORKERS": "WEB_CONCURRENCY",
}
_STORES = ("memory", "redis", "rediss", "redis+unix", "redis+sentinel", "valkey", "valkeys", "valkey+unix")

_log = logging.getLogger(__name__)


class ConfigError(ValueError):
    """A setting is missing or invalid."""


def _integer(minimum: int, maximum: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not re.fullmatch("[0-9]{1,20}", text) or not minimum <= int(text) <= maximum:
            raise ValueError(f"must be a whole number from {minimum} to {maximum}")
        return int(text)

    return read


def _choice(*allowed: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text.lower() not in allowed:
            raise ValueError("must be " + " or ".join(allowed))
        return text.lower()

    return read


def _switch(text: str) -> bool:
    if text.lower() in ("on", "true", "yes", "1"):
        return True
    if text.lower() in ("off", "false", "no", "0"):
        return False
    raise ValueError("must be on or off")


def _rate(text: str) -> str:
    try:
        parse_many(text)
    except ValueError as error:
        raise ValueError("must be one or more rates such as 20 per hour") from error
    return text


def _host(text: str) -> str:
    """Return an address or host name, an IPv6 address without brackets. A name is not looked up."""
    host = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        if ":" in host or host != text:
            ipaddress.IPv6Address(host)
        elif re.fullmatch("[0-9.]+", host):
            socket.inet_aton(host)
        elif not re.fullmatch("[A-Za-z0-9._-]{1,253}", host):
            raise ValueError(host)
    except (ValueError, OSError) as error:
        raise ValueError("must be an IPv4 address, an IPv6 address or a host name, without a port") from error
    return host


def format_address(host: str, port: int) -> str:
    """Return the address as in a URL, with an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _is_every_address(host: str) -> bool:
    """Return whether a host means all addresses of the machine, in any spelling, such as `0.0.0.0`, `0` or `::`."""
    try:
        return not int(ipaddress.IPv6Address(host)) if ":" in host else not any(socket.inet_aton(host))
    except (ValueError, OSError):
        return False


def _store(text: str) -> str:
    """Return the URI of a store of rate limits. It is not connected to."""
    scheme, separator, _ = text.partition("://")
    if not separator or scheme not in _STORES or (scheme == "memory" and text != "memory://"):
        raise ValueError("must be memory:// or begin with redis:// or rediss://")
    if scheme == "memory":
        return text
    try:
        address = urlsplit(text)
        is_encoded = re.search("%(?![0-9A-Fa-f]{2})", text) is None
        # redis ignores a path that is not the number of a database; for a socket or a sentinel it is a name
        if not is_encoded or not (scheme.endswith(("unix", "sentinel")) or re.fullmatch("/?[0-9]{0,9}", address.path)):
            raise ValueError(text)
        storage_from_string(text)
    except (ValueError, ConfigurationError) as error:
        raise ValueError("must be a URL such as redis://:password@host:6379/0") from error
    return text


def _origins(text: str) -> str:
    """Return origins in the form in which browsers send them, separated by commas, or `*`."""
    origins = [entry.strip().lower() for entry in text.split(",") if entry.strip()]
    for origin in origins:
        if not _is_origin(origin) and origins != ["*"]:
            raise ValueError(
                "must be * or origins such as https://app.example.com, without a slash at the end, separated by "
                f"commas; {origin!r} is none"
            )
    return ",".join(origins)


def read_prefix(text: str) -> str:
    """Return a path before all others, such as `/promptcrafter`, without a slash at the end; `/` is `""`.

    Only characters that need no escaping are allowed, so that it can neither name another host nor end a header.
    Raises ValueError with a text that continues a sentence beginning with the variable's name.
    """
    if len(text) > PREFIX_MAX or not re.fullmatch(r"(?:/(?!\.\.?(?:/|\Z))[A-Za-z0-9._~-]+)*/?", text):
        raise ValueError(
            f"must be a path such as /promptcrafter, of at most {PREFIX_MAX} letters, digits and characters of -._~/"
        )
    return text.removesuffix("/")


def _is_origin(text: str) -> bool:
    """Return whether a browser could send this text as the origin of a page: it leaves out the scheme's own port."""
    parts = re.fullmatch(_ORIGIN, text)
    default_port = {"http": "80", "https": "443"}
    return (
        parts is not None and int(parts["port"] or 0) < 65536 and parts["port"] != default_port.get(parts["scheme"], "")
    )


def _setting(env: str, default: Any, doc: str, read: Callable[[str], Any] = str) -> Any:
    return field(default=default, repr=env not in _SECRETS, metadata={"env": env, "doc": doc, "read": read})


@dataclass(frozen=True, kw_only=True)
class Config:
    """The settings of a service; immutable."""

    host: str = _setting(
        "HOST",
        "127.0.0.1",
        "Address to listen on. Default `0.0.0.0` when `PORT` is set, as hosting platforms need",
        _host,
    )
    port: int = _setting("PORT", 8000, "Port to listen on", _integer(1, 65535))
    database_url: str = _setting(
        "DATABASE_URL",
        "sqlite:///instance/promptcrafter.db",
        "`sqlite:///path`, `postgres://…` or `postgresql://…`, also with several hosts. The default is a file in "
        "`INSTANCE_PATH`, or on Railway's volume",
    )
    jwt_secret_key: str = _setting(
        "JWT_SECRET_KEY",
        "",
        "Signs tokens, at least 32 bytes. Unset: created once and kept in `instance/jwt_secret_key`; "
        "hosting platforms must set it",
    )
    instance_path: str = _setting("INSTANCE_PATH", "instance", "Folder for files that the service creates for itself")
    token_days: int = _setting("TOKEN_DAYS", 7, "Days until a token expires", _integer(1, 3650))
    signup: str = _setting(
        "SIGNUP",
        "open",
        "`open`, `invited` or `closed`: who may create an account",
        _choice("open", "invited", "closed"),
    )
    web_concurrency: int = _setting("WEB_CONCURRENCY", 2, "Worker processes", _integer(1, 64))
    web_threads: int = _setting(
        "WEB_THREADS", 4, "Requests that a worker answers at the same time; 2 or more on SQLite", _integer(1, 64)
    )
    client_timeout_s: int = _setting(
        "CLIENT_TIMEOUT_S",
        15,
        "Seconds that a client has for the head of a request, and after which one that sends or reads "
        "[too slowly](docs/self-hosting.md#slow-clients) is disconnected",
        _integer(1, 3600),
    )
    worker: str = _setting(
        "WORKER",
        "inline",
        "`inline`: collect requests whole and hold answers, so that slow clients occupy no thread. `gthread`: "
        "Gunicorn's own worker, which needs a buffering proxy in front, as a few slow clients block it",
        _choice("inline", "gthread"),
    )
    max_body_bytes: int = _setting(
        "MAX_BODY_BYTES", 2 * 1024 * 1024, "Largest request body, in bytes", _integer(1024, 1024**3)
    )
    max_output_bytes: int = _setting(
        "MAX_OUTPUT_BYTES",
        1024 * 1024,
        "Largest `output` of a log, in bytes of UTF-8, and largest text of `render`",
        _integer(1, 1024**3),
    )
    max_import_bytes: int = _setting(
        "MAX_IMPORT_BYTES", 1024**3, "Largest file that `POST /import` takes, in bytes", _integer(1024, 1024**4)
    )
    max_otlp_bytes: int = _setting(
        "MAX_OTLP_BYTES",
        20 * 1024**2,
        "Largest request of an [OpenTelemetry exporter](docs/api/opentelemetry.md), in bytes, also decompressed",
        _integer(1024, 1024**3),
    )
    otlp_media: str = _setting(
        "OTLP_MEDIA",
        "describe",
        "What is kept of pictures, sounds and files in the messages of an OpenTelemetry exporter. `describe`: media "
        "type, size and SHA-256. `keep`: their base64 as well, as far as `MAX_OUTPUT_BYTES` allows",
        _choice("describe", "keep"),
    )
    max_workspace_bytes: int = _setting(
        "MAX_WORKSPACE_BYTES",
        0,
        "How many bytes a workspace may [store](docs/self-hosting.md#limiting-what-a-workspace-stores); `0`: no limit",
        _integer(0, 1024**5),
    )
    index_input: bool = _setting(
        "INDEX_INPUT",
        False,
        "Whether the search index has the inputs of logs, too. After a change, `flask reindex` indexes stored logs",
        _switch,
    )
    token_counting: bool = _setting(
        "TOKEN_COUNTING",
        True,
        "`on` or `off`: count the tokens of logs that are sent without counts. Takes 64 MB once, for all workers",
        _switch,
    )
    prices_file: str = _setting(
        "PRICES_FILE", "", "A JSON file with [prices of your own models](docs/guide.md#give-your-own-models-a-price)"
    )
    ratelimit_enabled: bool = _setting(
        "RATELIMIT_ENABLED", True, "`on` or `off`: limit the rate of sign-ups, log-ins and new keys", _switch
    )
    ratelimit_storage_uri: str = _setting(
        "RATELIMIT_STORAGE_URI",
        "memory://",
        "Where rate limits are counted: `memory://` for the workers of this host, `redis://…` for all hosts",
        _store,
    )
    signup_rate: str = _setting(
        "SIGNUP_RATE", "20 per hour", "Sign-ups from one address (IPv6: one /64 network)", _rate
    )
    login_rate: str = _setting(
        "LOGIN_RATE", "20 per minute", "Log-in attempts from one address (IPv6: one /64 network)", _rate
    )
    login_failure_rate: str = _setting(
        "LOGIN_FAILURE_RATE", "20 per hour", "Wrong passwords for one account from one address (IPv6: /64)", _rate
    )
    login_failure_total_rate: str = _setting(
        "LOGIN_FAILURE_TOTAL_RATE",
        "500 per hour",
        "Wrong passwords for one account, from all addresses together",
        _rate,
    )
    key_rate: str = _setting("KEY_RATE", "60 per hour", "New API keys of one account", _rate)
    trusted_proxies: int = _setting(
        "TRUSTED_PROXIES",
        0,
        "How many proxies in front set `X-Forwarded-*`. Default 1 on Heroku and Railway",
        _integer(0, 10),
    )
    script_name: str = _setting(
        "SCRIPT_NAME",
        "",
        "Path below which a proxy serves the service, such as `/promptcrafter`. Unset: the proxy's "
        "`X-Forwarded-Prefix` with `TRUSTED_PROXIES`, else none",
        read_prefix,
    )
    cors_origins: str = _setting(
        "CORS_ORIGINS",
        "",
        "Origins whose pages may call the API from a browser, such as `https://app.example.com`, separated by commas; "
        "`*` for all. Unset: none",
        _origins,
    )
    sqlite_synchronous: str = _setting(
        "SQLITE_SYNCHRONOUS",
        "full",
        "`full`: a 201 survives a power cut. `normal`: faster, but a power cut may lose the last moments",
        _choice("full", "normal"),
    )
    database_timeout_ms: int = _setting(
        "DATABASE_TIMEOUT_MS",
        5000,
        "How long a request waits for a database that is busy, locked or silent, in total, before it answers 503",
        _integer(1, 600_000),
    )
    allow_ephemeral: bool = _setting(
        "ALLOW_EPHEMERAL", False, "`on`: run on a SQLite file that the platform erases at a restart", _switch
    )
    log_format: str = _setting(
        "LOG_FORMAT", "json", "`json`: one object a line. `text`: for people", _choice("json", "text")
    )
    metrics: bool = _setting(
        "METRICS",
        False,
        "`on` or `off`: count requests and logs, and serve the counts to Prometheus at `GET /metrics`",
        _switch,
    )

    @property
    def absolute_instance_path(self) -> Path:
        """`instance_path`, relative to the current directory, as an absolute path."""
        return Path(self.instance_path).absolute()

    @property
    def own_url(self) -> str:
        """The URL of the service on the machine that it runs on, without a slash at the end."""
        host = self.host
        if _is_every_address(host):
            host = "::1" if ":" in host else "127.0.0.1"
        return f"http://{format_address(host, self.port)}{self.script_name}"

    @property
    def database_variable(self) -> str:
        """The variable that decides where the database is: `INSTANCE_PATH`, if the database is in that folder."""
        is_default = self.database_url == f"sqlite:///{os.path.abspath(self.instance_path)}/promptcrafter.db"
        return "INSTANCE_PATH" if is_default else "DATABASE_URL"

    def database_error(self, error: Exception) -> ConfigError:
        """Return the error that says why the SQLite file cannot be used."""
        path = _shorten(Path(self.database_url.removeprefix("sqlite:///")))
        reason = _reason(error)
        return ConfigError(f"{self.database_variable} names the SQLite file {path!r}, which cannot be used: {reason}.")

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> "Config":
        """Build the configuration from environment variables.

        Secrets may come from a file: `JWT_SECRET_KEY_FILE` and `DATABASE_URL_FILE` name it.

        Raises ConfigError if a value is malformed, a secret is missing on a hosting platform, or the database would be
        a file on a disk that the platform erases.
        """
        platform = _platform(environ)
        values: dict[str, Any] = {}
        if environ.get("PORT"):
            values["host"] = "0.0.0.0"  # noqa: S104 - the platform's router connects from another host
        if platform:
            values["trusted_proxies"] = 1
        volume = environ.get("RAILWAY_VOLUME_MOUNT_PATH")
        folder = volume or environ.get("INSTANCE_PATH")
        if folder:
            values["database_url"] = f"sqlite:///{folder}/promptcrafter.db"
        for setting in fields(cls):
            text = _read_variable(environ, setting.metadata["env"])
            if text:
                try:
                    values[setting.name] = setting.metadata["read"](text)
                except ValueError as error:
                    name = setting.metadata["env"]
                    raise ConfigError(f"{name} {error}{_quote(name, text)}.") from error
        config = cls(**values)
        try:
            values["database_url"] = read_database_url(config.database_url)
        except ValueError as error:
            raise ConfigError(f"DATABASE_URL {error}.") from error
        if values["database_url"].startswith("sqlite") and config.web_threads < 2:
            raise ConfigError("WEB_THREADS must be 2 or more on SQLite (it is '1').")
        if values["database_url"].startswith("sqlite") and platform and not config.allow_ephemeral:
            _refuse_ephemeral_disk(values["database_url"], platform, volume)
        values["jwt_secret_key"] = _secret(config, platform)
        return cls(**values)


def find_misspelt(environ: Mapping[str, str] = os.environ) -> list[tuple[str, str]]:
    """Return the variables that are probably misspelt settings, each with the setting that is probably meant.

    It is the one with the same letters, in any case and with underscores anywhere, or the most similar one, or what
    other services call it; the latter only if the setting itself is not set.
    """
    settings = {setting.metadata["env"] for setting in fields(Config)} | {f"{name}_FILE" for name in _FROM_FILES}
    compared = sorted(settings.difference(_NOT_COMPARED))
    by_letters = {_letters(name): name for name in compared}
    found = []
    for name in sorted(environ):
        if name in settings or len(name) > _NAME_MAX:
            continue
        nearest = by_letters.get(_letters(name)) or _find_alias(name, environ)
        if nearest is None and _letters(name) not in _ALIASES:
            nearest = next(iter(difflib.get_close_matches(name.upper(), compared, n=1, cutoff=_MISSPELT)), None)
        if nearest is not None:
            found.append((name, nearest))
    return found


def describe_misspelt(environ: Mapping[str, str] = os.environ) -> list[str]:
    """Return a line for each variable that is probably a misspelt setting."""
    return [
        f"The environment has {name}, which is no setting. Is {setting} meant?"
        for name, setting in find_misspelt(environ)
    ]


def _letters(name: str) -> str:
    return name.upper().replace("_", "")


def _find_alias(name: str, environ: Mapping[str, str]) -> str | None:
    setting = _ALIASES.get(_letters(name))
    return None if setting is None or setting in environ or f"{setting}_FILE" in environ else setting


def _quote(name: str, text: str) -> str:
    """Return the end of a message that quotes a bad value, unless it may hold a password."""
    if name in _SECRETS:
        return ""
    return f" (it is {text if len(text) <= _QUOTED_MAX else text[:_QUOTED_MAX] + '…'!r})"


def _read_variable(environ: Mapping[str, str], name: str) -> str:
    if name in _FROM_FILES and not environ.get(name) and environ.get(f"{name}_FILE"):
        path = environ[f"{name}_FILE"]
        try:
            return Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"{name}_FILE names {_shorten(Path(path))!r}, which cannot be read: {_reason(error)}."
            ) from error
    return environ.get(name, "").strip()


def _platform(environ: Mapping[str, str]) -> str:
    if environ.get("DYNO"):
        return "Heroku"
    if any(environ.get(name) for name in ("RAILWAY_ENVIRONMENT", "RAILWAY_ENVIRONMENT_ID", "RAILWAY_PROJECT_ID")):
        return "Railway"
    return ""


def read_database_url(url: str) -> str:
    """Return the URL in SQLAlchemy's form: an absolute SQLite path, psycopg 3 for PostgreSQL.

    Raises ValueError with a text that continues a sentence beginning with the variable's name.
    """
    scheme, separator, address = url.partition("://")
    if not separator or scheme not in ("sqlite", "postgres", "postgresql", "postgresql+psycopg"):
        raise ValueError("must begin with sqlite:///, postgres:// or postgresql://")
    if scheme != "sqlite":
        try:
            return _postgresql_url(address)
        except ValueError as error:
            raise ValueError(f"is malformed: {error}") from error
    path, _, options = address.partition("?")
    if options or not path.startswith("/") or path in ("/", "/:memory:"):
        raise ValueError("must name a file: sqlite:///relative/path or sqlite:////absolute/path")
    return f"sqlite:///{os.path.abspath(path[1:])}"


def _postgresql_url(address: str) -> str:
    """Return SQLAlchemy's URL for the part after `postgresql://`: libpq's list of hosts moves to the query.

    With several hosts, connect to the one that accepts writes, unless the URL sets `target_session_attrs`.
    """
    authority = re.split("[/?]", address, maxsplit=1)[0]
    userinfo, at, hosts = authority.rpartition("@")
    host_options: dict[str, str] = {}
    if "," in hosts:
        names, ports = zip(*(_host_and_port(host) for host in hosts.split(",")), strict=True)
        host_options = {"host": ",".join(names), "port": ",".join(ports)}
        address = userinfo + at + address.removeprefix(authority)
    try:
        url = make_url(f"postgresql+psycopg://{address}").update_query_dict(host_options)
    except (ValueError, ArgumentError) as error:  # its text may quote a part of the password
        raise ValueError("it must look like postgresql://user:password@host:5432/database") from error
    if _has_shifted_password(url):
        raise ValueError("characters such as @, / and : in the password must be percent-encoded")
    if url.port is not None and not 0 < url.port < 65536:
        raise ValueError("the port must be a number from 1 to 65535")
    host = url.query.get("host", "")
    if (isinstance(host, tuple) or "," in host) and "target_session_attrs" not in url.query:
        url = url.update_query_dict({"target_session_attrs": "read-write"})
    return url.render_as_string(hide_password=False)


def _has_shifted_password(url: URL) -> bool:
    """Return whether a part of the password was read as something else, because of an `@` in it.

    It would be shown then, in errors about the host, the database or an option of that name.
    """
    return (
        "@" in (url.host or "") or bool(re.search("@.*/", url.database or "")) or any("@" in key for key in url.query)
    )


def _host_and_port(text: str) -> tuple[str, str]:
    parts = re.fullmatch(r"(?:\[(.+)\]|([^:]+))(?::(\d*))?", text)
    if parts is None:
        # without a quotation: of a password with a slash and a comma it is a part
        raise ValueError("each of several hosts must look like host:5432")
    return parts[1] or parts[2], parts[3] or ""


def _refuse_ephemeral_disk(url: str, platform: str, volume: str | None) -> None:
    if platform == "Railway" and volume and Path(urlsplit(url).path[1:]).is_relative_to(volume):
        return
    remedy = "add a PostgreSQL database" if platform == "Heroku" else "attach a volume or add a PostgreSQL database"
    raise ConfigError(
        f"DATABASE_URL is a SQLite file on {platform}'s disk, which is erased at every restart: {remedy} and set "
        "DATABASE_URL, or set ALLOW_EPHEMERAL=on to run on it all the same."
    )


def _secret(config: Config, platform: str) -> str:
    secret = config.jwt_secret_key
    if not secret and platform:
        raise ConfigError(
            f"JWT_SECRET_KEY is not set. {platform} does not keep files, so set it to a random text of at least "
            f"{MIN_SECRET_BYTES} bytes: python3 -c 'import secrets; print(secrets.token_urlsafe(48))'"
        )
    if not secret:
        folder = config.absolute_instance_path
        try:
            return _stored_secret(folder / "jwt_secret_key")
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"INSTANCE_PATH names the folder {_shorten(folder)!r}, where the file jwt_secret_key cannot be created "
                f"or read: {_reason(error)}."
            ) from error
    if len(secret.encode()) < MIN_SECRET_BYTES:
        raise ConfigError(
            f"JWT_SECRET_KEY must have at least {MIN_SECRET_BYTES} bytes (it has {len(secret.encode())})."
        )
    return secret


def _stored_secret(path: Path) -> str:
    """Return the secret stored in the file `path`; create the file (mode 0600) if it does not exist.

    The secret is written to a temporary file, synced and then linked to `path`, so that processes that start at the
    same time use the same secret, and a power cut leaves either no file or a whole one. Raises OSError, and ValueError
    for a file that holds no secret.
    """
    if not path.parent.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        _sync_folder(path.parent.parent)
    if not path.exists():
        draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        try:
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
                _write_secret(file)
            with suppress(FileExistsError):
                os.link(draft, path)
        finally:
            draft.unlink(missing_ok=True)
        _sync_folder(path.parent)
    secret = _read_secret(path.read_bytes())
    if not secret:
        secret = _renew_lost_secret(path)
    if len(secret) < MIN_SECRET_BYTES:
        raise ValueError(f"it must have at least {MIN_SECRET_BYTES} bytes")
    return secret


def _read_secret(content: bytes) -> str:
    """Return the secret in the content of the file, `""` if it was lost: a power cut may leave nothing or zeros."""
    return content.strip(b"\0 \t\r\n").decode("ascii")


def _renew_lost_secret(path: Path) -> str:
    """Write a new secret to a file whose secret was lost, and log it; return what another process has written before.

    Nobody can have the old secret any more, so no token of it can be verified in any case.
    """
    with path.open("r+", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if not (secret := _read_secret(path.read_bytes())):
            file.truncate(0)
            secret = _write_secret(file)
            _log.warning("%s was empty, as after a power cut: a new secret was made, all users log in again", path.name)
    return secret


def _write_secret(file: TextIO) -> str:
    """Write a new secret to a file, sync it to the disk, and return the secret."""
    secret = secrets.token_urlsafe(48)
    file.write(secret)
    file.flush()
    os.fsync(file.fileno())
    return secret


def _sync_folder(folder: Path) -> None:
    """Sync the names of the files in a folder to the disk, where the system allows that."""
    with suppress(PermissionError):  # a folder that may be written but not read cannot be opened
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno != errno.EINVAL:  # some file systems cannot sync a folder
                raise
        finally:
            os.close(descriptor)


def _reason(error: Exception) -> str:
    """Return the text of an error without the path, which the message has already."""
    return getattr(error, "strerror", None) or str(error)


def _shorten(path: Path) -> str:
    return str(path) if len(str(path)) <= _QUOTED_MAX else f"{str(path)[:_QUOTED_MAX]}…"

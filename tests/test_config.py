"""Settings: read from the environment, refused if invalid, and listed in the README."""

import os
import re
import stat
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from sqlalchemy import make_url

from config import Config, ConfigError, find_misspelt
from promptcrafter.version import VERSION
from tests.support.environment import ROOT, bin_path

SECRET = "x" * 32
HEROKU = {"DYNO": "web.1", "JWT_SECRET_KEY": SECRET, "DATABASE_URL": "postgres://u:p@h/d"}
RAILWAY = {"RAILWAY_ENVIRONMENT": "production", "JWT_SECRET_KEY": SECRET, "RAILWAY_VOLUME_MOUNT_PATH": "/data"}


def read(tmp_path: Path, **environ: str) -> Config:
    return Config.from_env({"INSTANCE_PATH": str(tmp_path), **environ})


def test_every_setting_is_in_the_readme_with_its_default_and_no_other() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \|$", readme, re.MULTILINE)
    switches = {True: "on", False: "off"}
    expected = [
        (
            setting.metadata["env"],
            f"`{switches[setting.default] if isinstance(setting.default, bool) else setting.default}`"
            if setting.default != ""
            else "",
            setting.metadata["doc"],
        )
        for setting in fields(Config)
    ]
    assert rows == expected


def test_the_version_is_the_newest_of_the_changelog_or_with_unreleased_changes_a_later_development_version() -> None:
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    newest = next(heading for heading in headings if heading != "Unreleased")
    number, dot, rest = VERSION.partition(".dev")
    if headings[0] == "Unreleased":
        assert (dot, rest) == (".dev", "0")
        assert [int(part) for part in number.split(".")] > [int(part) for part in newest.split(".")]
    else:
        assert newest == VERSION


def test_an_empty_environment_gives_the_defaults_and_one_generated_secret(tmp_path: Path) -> None:
    first = read(tmp_path)
    kept = tmp_path / "jwt_secret_key"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert first.jwt_secret_key == kept.read_text() == read(tmp_path).jwt_secret_key
    assert len(first.jwt_secret_key) >= 43
    assert first.database_url == f"sqlite:///{tmp_path}/promptcrafter.db"
    assert (first.host, first.port, first.trusted_proxies) == ("127.0.0.1", 8000, 0)
    assert list(tmp_path.iterdir()) == [kept]


def test_a_secret_is_synced_before_its_name_and_the_name_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, steps = tmp_path / "new", []
    fsync, link = os.fsync, os.link

    def watch_sync(file: int) -> None:
        steps.append(("sync", Path(os.readlink(f"/proc/self/fd/{file}")), os.fstat(file).st_size >= 43))
        fsync(file)

    def watch_link(source: Path, target: Path) -> None:
        steps.append(("link", target, True))
        link(source, target)

    monkeypatch.setattr("os.fsync", watch_sync)
    monkeypatch.setattr("os.link", watch_link)
    read(folder)
    (draft,) = [path for step, path, is_whole in steps if step == "sync" and path.name.startswith(".") and is_whole]
    assert [(step, path) for step, path, _ in steps] == [
        ("sync", tmp_path),
        ("sync", draft),
        ("link", folder / "jwt_secret_key"),
        ("sync", folder),
    ]


@pytest.mark.parametrize(
    "content", [b"", b"\n", bytes(64), bytes(4096)], ids=["nothing", "a line end", "zeros", "a block"]
)
def test_a_secret_that_a_power_cut_has_lost_is_made_anew_with_a_line_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    kept = tmp_path / "jwt_secret_key"
    kept.write_bytes(content)
    kept.chmod(0o600)
    secret = read(tmp_path).jwt_secret_key
    assert len(secret) >= 43
    assert kept.read_text() == secret == read(tmp_path).jwt_secret_key
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert caplog.messages[0].startswith("jwt_secret_key was empty")
    assert secret not in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize("is_lost", [False, True], ids=["without a file", "with an empty file"])
def test_processes_that_start_concurrently_use_the_same_secret(tmp_path: Path, is_lost: bool) -> None:
    if is_lost:
        (tmp_path / "new").mkdir()
        (tmp_path / "new" / "jwt_secret_key").touch()
    code = "from config import Config; print(Config.from_env().jwt_secret_key)"
    environment = {"INSTANCE_PATH": str(tmp_path / "new")}
    started = [
        subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    secrets = {process.communicate(timeout=30)[0] for process in started}
    assert len(secrets) == 1
    assert len(secrets.pop().strip()) >= 43


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("postgres://u:p@h:5/d?sslmode=require", "postgresql+psycopg://u:p@h:5/d?sslmode=require"),
        ("postgresql://h/d", "postgresql+psycopg://h/d"),
        ("postgresql://u:p,q@h/d?sslmode=require", "postgresql+psycopg://u:p%2Cq@h/d?sslmode=require"),
        ("sqlite:////var/lib/x.db", "sqlite:////var/lib/x.db"),
        ("sqlite:///data/x.db", f"sqlite:///{Path.cwd()}/data/x.db"),
    ],
)
def test_a_database_url_is_converted_to_sqlalchemys_form(tmp_path: Path, given: str, kept: str) -> None:
    assert read(tmp_path, DATABASE_URL=given).database_url == kept


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p%40,@one:5433,two:5434/d?sslmode=require",
        "postgres://u:p%40,@/d?host=one,two&port=5433,5434&sslmode=require",
        "postgresql://u:p%40,@/d?sslmode=require&host=one:5433&host=two:5434",
    ],
)
def test_with_several_hosts_the_one_that_accepts_writes_is_the_default(tmp_path: Path, url: str) -> None:
    known = {
        "user": "u",
        "password": "p@,",
        "host": "one,two",
        "port": "5433,5434",
        "dbname": "d",
        "sslmode": "require",
    }
    assert connection_parameters(tmp_path, url) == {**known, "target_session_attrs": "read-write"}
    assert connection_parameters(tmp_path, f"{url}&target_session_attrs=any") == {
        **known,
        "target_session_attrs": "any",
    }


def test_each_of_several_hosts_may_lack_a_port_or_be_an_ipv6_address(tmp_path: Path) -> None:
    found = connection_parameters(tmp_path, "postgresql://[fd00::1]:5433,two,[fd00::3]?dbname=d")
    assert found == {
        "host": "fd00::1,two,fd00::3",
        "port": "5433,,",
        "dbname": "d",
        "target_session_attrs": "read-write",
    }


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:hu@sh@h:5432/d",
        "postgresql://u:hu@sh@h1:5432,h2:5432/d",
        "postgres://u:hu@sh/hush@h/d",
        "postgres://u:hu@sh?hush@h/d=1",
        "postgres://hu@sh:hu@sh@h/d",
    ],
)
def test_a_password_with_an_unescaped_at_sign_is_refused_and_not_shown(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigError) as raised:
        read(tmp_path, DATABASE_URL=url)
    encode = "characters such as @, / and : in the password must be percent-encoded"
    assert str(raised.value) == f"DATABASE_URL is malformed: {encode}."
    with pytest.raises(ConfigError) as raised:
        read(tmp_path, DATABASE_URL="postgresql://u:hu,sh/hush@h/d")
    assert str(raised.value) == "DATABASE_URL is malformed: each of several hosts must look like host:5432."
    assert connection_parameters(tmp_path, "postgresql://u:hu%40s%2Fh@h/d@e")["password"] == "hu@s/h"


def connection_parameters(tmp_path: Path, url: str) -> dict[str, str]:
    """Return what the driver hands to libpq."""
    kept = make_url(read(tmp_path, DATABASE_URL=url).database_url)
    return dict(kept.get_dialect()().create_connect_args(kept)[1])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "mysql://h/d"),
        ("DATABASE_URL", "data.db"),
        ("DATABASE_URL", "postgres://host:port/d"),
        ("DATABASE_URL", "postgres://one:5432,two:port/d"),
        ("DATABASE_URL", "postgres://one,,two/d"),
        ("DATABASE_URL", "sqlite://"),
        ("DATABASE_URL", "sqlite:///:memory:"),
        ("PORT", "0"),
        ("PORT", "http"),
        ("PORT", "65536"),
        ("WEB_CONCURRENCY", "-1"),
        ("TOKEN_DAYS", "7.5"),
        ("SIGNUP", "close"),
        ("RATELIMIT_ENABLED", "perhaps"),
        ("SIGNUP_RATE", "often"),
        ("SQLITE_SYNCHRONOUS", "off"),
        ("MAX_BODY_BYTES", "2M"),
        ("LOG_FORMAT", "xml"),
        ("JWT_SECRET_KEY", "short"),
        ("JWT_SECRET_KEY_FILE", "/nowhere/at/all"),
    ],
)
def test_a_bad_value_stops_the_start_and_is_named(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=name):
        read(tmp_path, **{name: value})


def test_a_variable_that_is_nearly_a_setting_is_found_and_those_of_other_programs_are_not() -> None:
    misspelt = {
        **{"MAX_OUTPUT_BYTE": "MAX_OUTPUT_BYTES", "CORS_ORIGIN": "CORS_ORIGINS", "WEB_THREAD": "WEB_THREADS"},
        **{"database_url": "DATABASE_URL", "RATELIMIT_STORAGE_URL": "RATELIMIT_STORAGE_URI"},
        **{"JWT_SECRET_KEY_FIL": "JWT_SECRET_KEY_FILE", "DATABSE_URL": "DATABASE_URL"},
        **{"SIGNUPS": "SIGNUP", "SIGN_UP": "SIGNUP", "signup": "SIGNUP", "METRIC": "METRICS", "Metrics": "METRICS"},
        **{"WEBTHREADS": "WEB_THREADS", "MAX_BODYBYTES": "MAX_BODY_BYTES", "LOG__FORMAT": "LOG_FORMAT"},
    }
    others = [
        *(
            "PATH",
            "HOME",
            "USER",
            "LANG",
            "TERM",
            "SHELL",
            "PWD",
            "TZ",
            "HOSTNAME",
            "HOSTS",
            "HOSTTYPE",
            "PORTS",
            "DYNO",
        ),
        *("LOG_LEVEL", "LOGNAME", "LC_ALL", "HTTP_PROXY", "https_proxy", "NO_PROXY", "SECRET_KEY"),
        *("DATABASE_PUBLIC_URL", "DATABASE_PRIVATE_URL", "POSTGRES_URL", "POSTGRES_USER", "PGDATABASE", "REDIS_URL"),
        *(
            "PYTHONPATH",
            "PYTHONUNBUFFERED",
            "VIRTUAL_ENV",
            "FLASK_APP",
            "FLASK_ENV",
            "FLASK_DEBUG",
            "GUNICORN_CMD_ARGS",
        ),
        *("OMP_NUM_THREADS", "WEB_PORT", "WEB_SERVICE_HOST", "KUBERNETES_SERVICE_HOST", "INVOCATION_ID"),
        *("RAILWAY_ENVIRONMENT", "RAILWAY_VOLUME_MOUNT_PATH", "RAILWAY_PROJECT_ID", "SCRIPT_FILENAME", "METRICS_PORT"),
        *(
            "host",
            "port",
            "HOST_IP",
            "EDITOR",
            "PAGER",
            "LS_COLORS",
            "SUDO_USER",
            "WORKER_ID",
            "WORKER_PORT",
            "RO_DATABASE_URL",
        ),
        *("TEST_DATABASE_URL", "DATABASE_HOST", "DATABASE_PORT", "DATABASE_NAME", "DATABASE_USER", "DATABASE_PASSWORD"),
        *("GITHUB_WORKFLOW", "GITHUB_SHA", "GITHUB_REF_NAME", "RUNNER_OS", "RUNNER_TEMP", "CI_JOB_ID", "CI_JOB_TOKEN"),
        *("CI_COMMIT_SHA", "GITLAB_CI", "BUILD_NUMBER", "JENKINS_URL", "CIRCLECI", "TRAVIS", "BUILDKITE", "TF_BUILD"),
        *("HEROKU_APP_NAME", "HEROKU_POSTGRESQL_RED_URL", "HEROKU_SLUG_COMMIT", "STACK", "PS", "WEB_MEMORY"),
        *("RAILWAY_PUBLIC_DOMAIN", "RAILWAY_SERVICE_NAME", "RAILWAY_REPLICA_ID", "RAILWAY_DEPLOYMENT_ID", "PGHOST"),
        *(
            "SIGNUP_SERVICE_HOST",
            "METRICS_SERVICE_PORT",
            "WORKER_PORT_80_TCP",
            "KUBERNETES_PORT",
            "container",
            "NOTIFY_SOCKET",
        ),
        *(
            "JOURNAL_STREAM",
            "LISTEN_PID",
            "LISTEN_FDS",
            "SYSTEMD_EXEC_PID",
            "MEMORY_PRESSURE_WATCH",
            "TMPDIR",
            "GPG_KEY",
        ),
        *(
            "PYTHON_VERSION",
            "PYTHON_SHA256",
            "PIP_NO_CACHE_DIR",
            "NODE_ENV",
            "NVM_DIR",
            "PYENV_ROOT",
            "DEBIAN_FRONTEND",
        ),
        *("XDG_RUNTIME_DIR", "SSH_AUTH_SOCK", "MAIL", "OLDPWD", "SHLVL", "DISPLAY", "CI", "GITHUB_TOKEN", "A" * 10_000),
    ]
    settings = [setting.metadata["env"] for setting in fields(Config)]
    environ = dict.fromkeys([*misspelt, *others, *settings, "JWT_SECRET_KEY_FILE", "DATABASE_URL_FILE"], "x")
    assert dict(find_misspelt(environ)) == misspelt


def test_what_other_services_call_a_setting_is_found_unless_the_setting_is_set() -> None:
    names = {"JWT_SECRET": "JWT_SECRET_KEY", "TRUSTED_PROXY": "TRUSTED_PROXIES", "WORKERS": "WEB_CONCURRENCY"}
    for name, setting in names.items():
        assert find_misspelt({name: "x"}) == [(name, setting)]
        assert find_misspelt({name: "x", setting: "x"}) == []
    assert find_misspelt({"JWT_SECRET": "x", "JWT_SECRET_KEY_FILE": "x"}) == []


def test_secrets_may_be_read_from_files(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s" * 40 + "\n")
    (tmp_path / "url").write_text("postgres://h/d\n")
    config = read(tmp_path, JWT_SECRET_KEY_FILE=str(tmp_path / "secret"), DATABASE_URL_FILE=str(tmp_path / "url"))
    assert (config.jwt_secret_key, config.database_url) == ("s" * 40, "postgresql+psycopg://h/d")


def test_switches_and_choices_are_read_in_any_case(tmp_path: Path) -> None:
    config = read(tmp_path, RATELIMIT_ENABLED="False", SIGNUP="CLOSED", ALLOW_EPHEMERAL="1", PORT="5000")
    assert (config.ratelimit_enabled, config.signup, config.allow_ephemeral) == (False, "closed", True)
    assert (config.host, config.port) == ("0.0.0.0", 5000)


def test_a_platform_without_a_secret_refuses_to_start_and_says_what_to_set(tmp_path: Path) -> None:
    for platform in (HEROKU, RAILWAY):
        with pytest.raises(ConfigError, match=r"JWT_SECRET_KEY is not set\. .*at least 32 bytes: python3 -c"):
            read(tmp_path, **{**platform, "JWT_SECRET_KEY": ""})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("platform", "changes"),
    [
        (HEROKU, {"DATABASE_URL": ""}),
        (HEROKU, {"DATABASE_URL": "sqlite:////data/x.db"}),
        (RAILWAY, {"RAILWAY_VOLUME_MOUNT_PATH": ""}),
        (RAILWAY, {"DATABASE_URL": "sqlite:////elsewhere/x.db"}),
        (RAILWAY, {"DATABASE_URL": "sqlite:////data/../x.db"}),
    ],
)
def test_a_sqlite_file_on_an_ephemeral_disk_is_refused_unless_allowed(
    tmp_path: Path, platform: dict[str, str], changes: dict[str, str]
) -> None:
    environ = {**platform, **changes}
    with pytest.raises(ConfigError, match="set DATABASE_URL"):
        read(tmp_path, **environ)
    assert read(tmp_path, **environ, ALLOW_EPHEMERAL="on").database_url.startswith("sqlite:///")


def test_platforms_have_their_own_defaults(tmp_path: Path) -> None:
    heroku = read(tmp_path, **HEROKU, PORT="5000")
    assert (heroku.host, heroku.trusted_proxies, heroku.database_url) == ("0.0.0.0", 1, "postgresql+psycopg://u:p@h/d")
    railway = read(tmp_path, **RAILWAY)
    assert railway.database_url == "sqlite:////data/promptcrafter.db"


@pytest.mark.slow
def test_gunicorn_does_not_start_on_a_bad_setting(tmp_path: Path) -> None:
    environment = {"INSTANCE_PATH": str(tmp_path), "SIGNUP": "perhaps"}
    command = [bin_path("gunicorn"), "-c", "gunicorn.conf.py", "wsgi:app"]
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=30)
    assert ended.returncode != 0
    assert "SIGNUP must be open or invited or closed (it is 'perhaps')." in ended.stderr


def test_a_bad_value_is_quoted_in_one_short_line_unless_it_may_hold_a_password(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^WEB_THREADS must be a whole number from 1 to 64 \(it is '0'\)\.$"):
        read(tmp_path, WEB_THREADS="0")
    for name, value in {"PORT": "9" * 10_000, "SIGNUP": "a\nb" * 1000, "INSTANCE_PATH": "/proc/" + "x" * 5000}.items():
        with pytest.raises(ConfigError) as raised:
            read(tmp_path, **{name: value})
        assert "\n" not in str(raised.value)
        assert len(str(raised.value)) < 300
    for name, value in {
        "RATELIMIT_STORAGE_URI": "redis://:hush@h:port",
        "DATABASE_URL": "postgres://u:hush@h:port/d",
    }.items():
        with pytest.raises(ConfigError) as raised:
            read(tmp_path, **{name: value})
        assert "hush" not in str(raised.value)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("*", "*"),
        (" https://App.Example.com , http://127.0.0.1:5173,", "https://app.example.com,http://127.0.0.1:5173"),
        ("http://localhost:3000,http://[::1]:3000", "http://localhost:3000,http://[::1]:3000"),
        ("chrome-extension://abcdef", "chrome-extension://abcdef"),
        ("", ""),
    ],
)
def test_origins_are_kept_as_browsers_send_them(tmp_path: Path, given: str, kept: str) -> None:
    assert read(tmp_path, CORS_ORIGINS=given).cors_origins == kept


@pytest.mark.parametrize(
    "entry",
    [
        *("https://app.example.com/", "https://app.example.com/page", "app.example.com", "//app.example.com", "null"),
        *("https://*.example.com", "*.example.com", "https://app.example.com:443", "http://app.example.com:80"),
        *("https://user@app.example.com", "https://app.example.com?x", "https://", "https://app.example.com:99999"),
        *("https://app.example.com:", "https://app..com", "https://a b", "https://bücher.example", "ftp://host", "*"),
    ],
)
def test_what_is_no_origin_is_refused_by_name(tmp_path: Path, entry: str) -> None:
    with pytest.raises(ConfigError) as raised:
        read(tmp_path, CORS_ORIGINS=f"https://good.example,{entry}")
    text = str(raised.value)
    assert text.startswith("CORS_ORIGINS must be * or origins such as https://app.example.com")
    assert f"{entry!r} is none" in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("given", "kept"),
    [("/promptcrafter", "/promptcrafter"), ("/tools/pc/", "/tools/pc"), ("/", ""), ("/a.b/c-d_~9", "/a.b/c-d_~9")],
)
def test_a_script_name_is_kept_without_a_slash_at_the_end(tmp_path: Path, given: str, kept: str) -> None:
    assert read(tmp_path, SCRIPT_NAME=given).script_name == kept


@pytest.mark.parametrize(
    "value",
    [
        *("promptcrafter", "//evil.example", "https://host/promptcrafter", "/a//b", "/a b", "/../a", "/a/.", "/é"),
        *("/a?b", "/a#b", "/%41", "/a\r\nX: y", "/" + "a" * 200, "\\a", "/a\\b"),
    ],
)
def test_a_malformed_script_name_is_refused(tmp_path: Path, value: str) -> None:
    with pytest.raises(ConfigError, match=r"^SCRIPT_NAME must be a path such as /promptcrafter") as raised:
        read(tmp_path, SCRIPT_NAME=value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:9000"),
        ("localhost", "http://localhost:9000"),
        ("192.0.2.1", "http://192.0.2.1:9000"),
        ("::1", "http://[::1]:9000"),
        ("[2001:db8::1]", "http://[2001:db8::1]:9000"),
        ("0.0.0.0", "http://127.0.0.1:9000"),
        ("0", "http://127.0.0.1:9000"),
        ("::", "http://[::1]:9000"),
        ("[0:0:0:0:0:0:0:0]", "http://[::1]:9000"),
    ],
)
def test_the_own_url_is_one_that_this_machine_can_open(tmp_path: Path, host: str, url: str) -> None:
    variables = {"INSTANCE_PATH": str(tmp_path), "HOST": host, "PORT": "9000"}
    assert Config.from_env(variables).own_url == url
    assert Config.from_env({**variables, "SCRIPT_NAME": "/prompts/"}).own_url == f"{url}/prompts"

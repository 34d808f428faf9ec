"""The browser of the end-to-end tests."""

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium: .ci/install-debian.sh installs it."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert chromium, "this test needs Chromium: .ci/install-debian.sh installs it"
    quiet = [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
    ]
    quiet.append("--host-resolver-rules=MAP team.example 127.0.0.1")  # a host name that is not localhost
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=quiet)
        yield browser
        browser.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the fuzzer, which takes as long as all others together: they run beside it on another core."""
    items.sort(key=lambda item: item.path.name != "test_fuzz.py")

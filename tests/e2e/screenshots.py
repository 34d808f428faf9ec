"""Take pictures of the main pages, with the content of the demonstration: `make screenshots`.

A service is started for it, on a database of its own that is removed afterwards. The pictures are written to
docs/screenshots/, light, dark and as on a phone, as PNG files of 256 colours, so that they stay small.
"""

import base64
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import sleep
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from playwright.sync_api import Page, sync_playwright

from tests.support.environment import ROOT, SECRET, bin_path

FOLDER = ROOT / "docs" / "screenshots"
# Name of the picture, path behind that of the workspace, and the text of a link to follow from there
PAGES = (
    ("home", "", None),
    ("prompts", "/prompts", None),
    ("prompt", "/prompts", "Reply to a customer"),
    ("changes", "/prompts", "Reply to a customer > Changes"),
    ("statistics", "/prompts", "Reply to a customer > Statistics"),
    ("statistics-by-model", "/statistics?groupBy=model", None),
    ("outputs", "/outputs", None),
    ("output", "/outputs?scored=true&hasNotes=true", "What you can do"),
    ("review", "/review?raters=2", None),
    ("experiment", "/experiments", "Polite, or the answer first?"),
    ("run", "/runs?status=error", "answer a mail"),
    ("team", "/settings/team", None),
)
LOOKS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light", "viewport": {"width": 1200, "height": 800}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1200, "height": 800}},
    "phone": {"color_scheme": "light", "viewport": {"width": 390, "height": 800}},
}
MAX_HEIGHT = 1300
MAX_BYTES, MAX_BYTES_OF_ALL = 120_000, 2_500_000
# The most frequent colours of a picture, at most 256 that can be told apart, and for each pixel the place of the
# nearest one of them
_TO_PALETTE = """async (data) => {
    const image = await createImageBitmap(await (await fetch(data)).blob());
    const context = new OffscreenCanvas(image.width, image.height).getContext('2d');
    context.drawImage(image, 0, 0);
    const pixels = new Uint32Array(context.getImageData(0, 0, image.width, image.height).data.buffer);
    const counts = new Map();
    for (const pixel of pixels) counts.set(pixel, (counts.get(pixel) || 0) + 1);
    const parts = (pixel) => [pixel & 255, pixel >> 8 & 255, pixel >> 16 & 255];
    const measure = ([r, g, b], [x, y, z]) => (r - x) ** 2 + (g - y) ** 2 + (b - z) ** 2;
    const palette = [], colours = [];
    for (const pixel of [...counts.keys()].sort((a, b) => counts.get(b) - counts.get(a))) {
        const colour = parts(pixel);
        if (palette.length < 256 && colours.every((other) => measure(colour, other) > 70)) {
            palette.push(pixel);
            colours.push(colour);
        }
    }
    const places = new Map(palette.map((pixel, place) => [pixel, place]));
    const find = (pixel) => {
        const colour = parts(pixel);
        let best = 0, least = Infinity;
        colours.forEach((other, place) => {
            const distance = measure(colour, other);
            if (distance < least) [best, least] = [place, distance];
        });
        places.set(pixel, best);
        return best;
    };
    const indices = new Uint8Array(pixels.length);
    pixels.forEach((pixel, at) => { indices[at] = places.get(pixel) ?? find(pixel); });
    let text = '';
    for (let at = 0; at < indices.length; at += 32768)
        text += String.fromCharCode(...indices.subarray(at, at + 32768));
    return {width: image.width, height: image.height, colours, indices: btoa(text)};
}"""


def main() -> int:
    """Write the pictures; return the exit status."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        print("This needs Chromium: .ci/install-debian.sh installs it.", file=sys.stderr)
        return 1
    FOLDER.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        running_demo(Path(folder)) as sign_in,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        reducer = browser.new_page()
        for look, options in LOOKS.items():
            page = browser.new_context(**options).new_page()
            start = enter(page, *sign_in)
            for name, path, links in PAGES:
                page.goto(start + path)
                for link in links.split(" > ") if links else ():
                    page.locator("main a", has_text=link).first.click()
                page.wait_for_load_state("networkidle")
                height = min(MAX_HEIGHT, page.evaluate("document.documentElement.scrollHeight"))
                page.set_viewport_size({"width": options["viewport"]["width"], "height": height})
                (FOLDER / f"{name}-{look}.png").write_bytes(reduce(reducer, page.screenshot()))
                page.set_viewport_size(options["viewport"])
        browser.close()
    return report()


@contextmanager
def running_demo(folder: Path) -> Iterator[tuple[str, str, str]]:
    """Start a service with the demonstration; yield where to sign in, the address and the password."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    settings = {
        "DATABASE_URL": f"sqlite:///{folder / 'demo.db'}",
        "JWT_SECRET_KEY": SECRET,
        "INSTANCE_PATH": str(folder),
    }
    environment = {**os.environ, **settings, "HOST": "127.0.0.1", "PORT": str(port), "WEB_CONCURRENCY": "1"}
    flask = [bin_path("flask"), "--app", "wsgi"]
    subprocess.run([*flask, "db", "upgrade"], cwd=ROOT, env=environment, check=True, stderr=subprocess.DEVNULL)
    made = subprocess.run([*flask, "demo"], cwd=ROOT, env=environment, check=True, capture_output=True, text=True)
    url, email, password = made.stdout.split()
    command = [bin_path("gunicorn"), "-c", "gunicorn.conf.py", "wsgi:app"]
    log = (folder / "log").open("w")
    with log, subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log) as server:
        try:
            wait_until_up(url)
            yield url, email, password
        finally:
            server.terminate()


def wait_until_up(url: str) -> None:
    """Return when the page answers. Raises URLError after half a minute."""
    for attempts_left in reversed(range(150)):
        try:
            urlopen(url).close()
        except URLError:
            if not attempts_left:
                raise
            sleep(0.2)
        else:
            return


def enter(page: Page, url: str, email: str, password: str) -> str:
    """Sign in, and return the URL of the workspace."""
    page.goto(url)
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/app/w/**")
    head, _, tail = page.url.partition("/app/w/")
    return f"{head}/app/w/{tail.split('/')[0]}"


def reduce(page: Page, picture: bytes) -> bytes:
    """Return a picture with at most 256 colours."""
    found = page.evaluate(_TO_PALETTE, f"data:image/png;base64,{base64.b64encode(picture).decode()}")
    indices, width = base64.b64decode(found["indices"]), found["width"]
    rows = b"".join(b"\0" + indices[start : start + width] for start in range(0, len(indices), width))
    header = struct.pack(">IIBBBBB", width, found["height"], 8, 3, 0, 0, 0)
    palette = bytes(part for colour in found["colours"] for part in colour)
    chunks: Sequence[tuple[bytes, bytes]] = (
        (b"IHDR", header),
        (b"PLTE", palette),
        (b"IDAT", zlib.compress(rows, 9)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(map(_to_chunk, chunks))


def _to_chunk(chunk: tuple[bytes, bytes]) -> bytes:
    kind, data = chunk
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def report() -> int:
    """Print the sizes of the pictures; return 1 if one of them, or all together, are too large."""
    sizes = {path.name: path.stat().st_size for path in sorted(FOLDER.glob("*.png"))}
    for name, size in sizes.items():
        print(f"{size:>8,}  {name}{'  too large' if size > MAX_BYTES else ''}")
    print(f"{sum(sizes.values()):>8,}  all")
    return int(max(sizes.values()) > MAX_BYTES or sum(sizes.values()) > MAX_BYTES_OF_ALL)


if __name__ == "__main__":
    sys.exit(main())
